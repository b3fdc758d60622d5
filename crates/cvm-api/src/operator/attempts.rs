//! `/v1/attempts`: what became of a device's requests, step by step, for `explain`.

use cvm_core::attempt::{self, explain};
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::time::Span;
use cvm_wire::operator::{Attempt, AttemptList, Step, UnknownSerialNumbers};
use http::StatusCode;

use super::query;
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;

/// How far back requests for unknown serial numbers are told.
const UNKNOWN_SINCE: Span = Span(60 * Span::MINUTE.0);

/// `GET /v1/attempts?serialNumber=` or `?code=`: newest first; empty where nothing is known.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let [serial, code] = query::parameters(call.query.as_deref(), ["serialNumber", "code"])?;
    let provisioning = api.provisioning();
    let items = match (serial, code) {
        (Some(serial), None) => {
            let serial: SerialNumber = parsed(&serial)?;
            provisioning.attempts_show(&serial).await?
        }
        (None, Some(code)) => {
            let code: AttemptCode = parsed(&code)?;
            provisioning.attempt_show(code).await?.into_iter().collect()
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refused::invalid("ask with serialNumber or with code"));
        }
    };
    let unknown_serial_numbers = if items.is_empty() { unknown(api).await? } else { Vec::new() };
    let items = items.iter().map(wire_attempt).collect();
    Answer::json(StatusCode::OK, &AttemptList { items, cursor: None, unknown_serial_numbers })
}

/// Where nothing is known of a device, its requests may be among those for unknown ones.
async fn unknown(api: &Api) -> Result<Vec<UnknownSerialNumbers>, Refused> {
    let ports = api.provisioning().ports();
    let since = ports.clock.read().now.minus(UNKNOWN_SINCE);
    let counts = ports.attempts.unknown_since(since).await?;
    let wire = |(address, count)| UnknownSerialNumbers { address, count };
    Ok(counts.into_iter().map(wire).collect())
}

fn parsed<T>(text: &str) -> Result<T, Refused>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| Refused::invalid(error.to_string()))
}

fn wire_attempt(attempt: &attempt::Attempt) -> Attempt {
    let explanation = explain(&attempt.outcome, &attempt.reason);
    let steps = attempt.steps.iter().map(|step| Step {
        name: step.name.as_str().to_owned(),
        passed: step.passed,
        evidence: step.evidence.clone(),
    });
    Attempt {
        attempt: attempt.code.to_string(),
        at: attempt.at.to_string(),
        serial_number: attempt.serial_number.to_string(),
        address: attempt.address.clone(),
        act: attempt.act.as_str().to_owned(),
        outcome: attempt.outcome.clone(),
        reason: attempt.reason.clone(),
        steps: steps.collect(),
        meaning: explanation.map_or("", |told| told.meaning).to_owned(),
        cure: explanation.map_or("", |told| told.cure).to_owned(),
    }
}
