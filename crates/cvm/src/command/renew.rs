//! `cvm device renew`: the device's next certificate, on the agent's library.

use cvm_agent::enroll::DeviceRecord;
use cvm_agent::error::Error;
use cvm_agent::renew::{RenewOptions, Renewal, When, renew};
use serde::Serialize;

use super::enroll::{Steps, algorithm, token};
use super::remote;
use crate::cli::Renew;
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};

/// What is printed as JSON: what happened, and what `device.json` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'r> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<&'r str>,
    #[serde(flatten)]
    record: &'r DeviceRecord,
}

/// Makes a key, asks for its certificate, proves it, puts both in place.
pub(crate) fn run(args: &Renew) -> Done {
    let when = if args.if_due { When::IfDue } else { When::Now };
    let mut options = RenewOptions::new(&args.dir, when);
    options.key_algorithm = args.key_algorithm.map(algorithm);
    options.token = token(&args.token)?;
    let renewal = renew(&options, &Steps).map_err(|error| failure(error, args))?;
    let (outcome, attempt) = match &renewal {
        Renewal::AlreadyRenewed { .. } => ("already-renewed", None),
        Renewal::NotDue { .. } => ("not-due", None),
        Renewal::Renewed { attempt, .. } => ("renewed", attempt.as_deref()),
    };
    let record = renewal.record();
    let told = Outcome { outcome, attempt, record };
    output::result(args.output.output, &told, |_, text| tell(&renewal, text))
}

fn tell(renewal: &Renewal, text: &mut Text) {
    let record = renewal.record();
    let what = match renewal {
        Renewal::AlreadyRenewed { .. } => "already renewed",
        Renewal::NotDue { .. } => "not due yet",
        Renewal::Renewed { .. } => "renewed",
    };
    text.line(format!(
        "{what}: {}, certificate {}, valid until {}, renew after {}",
        record.serial_number, record.certificate_id, record.not_after, record.renew_after
    ));
}

fn failure(error: Error, args: &Renew) -> Failure {
    let enroll_again = "an operator has to issue a new token: `cvm device new-token SERIAL`; with \
                        it, remove device.json and run `cvm device enroll` with --out";
    let dir = args.dir.display();
    let cure = match error.slug() {
        "certificate-expired" => String::from(
            "run it again with the device's token (--token-file FILE); if that is refused, an \
             operator has to issue a new one: `cvm device new-token SERIAL`",
        ),
        "certificate-inactive" => String::from(
            "an operator has disabled the device: `cvm device enable SERIAL`, then run it again",
        ),
        "certificate-revoked" | "certificate-superseded" | "certificate-unknown" => {
            format!("{enroll_again} {dir}")
        }
        "already-issued" => format!(
            "the token is bound to the key that is in use: run `cvm device enroll` with it and \
             --out {dir}"
        ),
        "access-denied" => String::from(
            "the certificate has expired and the token is not good either: an operator has to \
             issue a new one, `cvm device new-token SERIAL`; `cvm explain CODE` tells more",
        ),
        _ => String::new(),
    };
    let failure = remote::failure(error);
    match (failure.exit, cure.is_empty()) {
        (Exit::Later, _) => failure.cure(
            "run the same command again: it goes on where this one ended, and the certificate in \
             use keeps its place until then",
        ),
        (_, false) => failure.cure(cure),
        (_, true) => failure,
    }
}
