//! The clock and the store that keeps the latest time on record: as the server tells, or from the
//! store's file.

use cvm_core::ports::{Clock as _, ClockDoubt, ClockStatus};
use cvm_core::time::{Span, Timestamp};
use cvm_wire::operator::Clock;

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::command::remote;
use crate::serve::clock::{MarkedClock, system_now};

const CHECK: Check = Check::Clock;
const STORE: Check = Check::Store;

/// Looks at clock and store; returns the time by which the rest is to be judged.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) -> Timestamp {
    let Server::Up(client) = server else { return check_files(patient, report) };
    match client.get("/v1/clock").fetch::<Clock>() {
        Ok(clock) => {
            report.add(told(&clock));
            let ready = client.get("/readyz").send().map(|answer| answer.status());
            report.add(match ready {
                Ok(200) => Finding::ok(STORE, "the server can write to its store"),
                Ok(_) | Err(_) => {
                    let cure = "look at the server's log: it names what fails; mostly the disk is \
                                full or its file was moved away";
                    Finding::failed(STORE, "the server cannot write to its store", cure)
                }
            });
            clock.believed.parse().unwrap_or_else(|_| system_now())
        }
        Err(error) => {
            report.add(Finding::failure(
                Check::Server,
                &super::mute(remote::operator_failure(error)),
            ));
            check_files(patient, report)
        }
    }
}

/// What the server says of its clock.
fn told(clock: &Clock) -> Finding {
    let mark = clock.mark.as_deref().unwrap_or("none");
    match (clock.trusted, clock.reason.as_deref()) {
        (true, _) => Finding::ok(CHECK, format!("it is {}, as was to be expected", clock.now)),
        (false, reason) => {
            let reason = reason.unwrap_or("not to be trusted");
            doubted(reason, &clock.now, &clock.believed, mark)
        }
    }
}

/// What the store's file and this machine's clock say.
fn check_files(patient: &Patient<'_>, report: &mut Report) -> Timestamp {
    let now = system_now();
    let Some(survey) = &patient.survey else { return now };
    let clock = MarkedClock::start(survey.mark);
    let status = before_issuer(patient, clock.status());
    let mark = survey.mark.map_or_else(|| String::from("none"), |mark| mark.to_string());
    report.add(match status.doubt {
        None => Finding::ok(CHECK, format!("it is {now}, and the latest time on record is {mark}")),
        Some(doubt) => doubted(doubt.as_str(), &now.to_string(), &status.now.to_string(), &mark),
    });
    clock.believed()
}

/// The same, doubted as well where the CA that signs begins later.
fn before_issuer(patient: &Patient<'_>, status: ClockStatus) -> ClockStatus {
    let begins = super::expiry::devices_ca(&patient.layout).map(|validity| validity.not_before);
    let is_early = begins.is_some_and(|begins| status.now < begins);
    let early = is_early.then_some(ClockDoubt::BeforeIssuer);
    let doubt = status.doubt.or(early);
    ClockStatus { doubt, ..status }
}

fn doubted(reason: &str, now: &str, believed: &str, mark: &str) -> Finding {
    const SET: &str = "set the clock right; if it is right already, `cvm doctor --accept-time`";
    let off = |other: &str| {
        let (now, other) = (now.parse::<Timestamp>(), other.parse::<Timestamp>());
        now.ok().zip(other.ok()).map_or(Span(0), |(now, other)| Span(now.since(other).0.abs()))
    };
    let (what, cure) = match reason {
        "behind-mark" => {
            (format!("it is {now}, {} before the latest time on record, {mark}", off(mark)), SET)
        }
        "ahead-of-mark" => {
            (format!("it is {now}, {} after the latest time on record, {mark}", off(mark)), SET)
        }
        "stepped-forward" => {
            (format!("it stepped forward to {now}, where {believed} was to be expected"), SET)
        }
        "before-issuer" => {
            (format!("it is {now}, before the CA that signs devices begins"), "set the clock right")
        }
        other => (format!("it is {now}, and the server does not trust it: {other}"), SET),
    };
    Finding::failed(CHECK, format!("{what}: nothing is issued"), cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doubt_is_told_with_its_cure() {
        let doubts = [
            ClockDoubt::AheadOfMark,
            ClockDoubt::BeforeIssuer,
            ClockDoubt::BehindMark,
            ClockDoubt::SteppedForward,
        ];
        let (now, other) = ("2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z");
        for doubt in doubts {
            let finding = format!("{:?}", doubted(doubt.as_str(), now, other, other));
            assert!(finding.contains("nothing is issued") && finding.contains("set the clock"));
            assert!(!finding.contains("does not trust it"), "{finding}");
            let is_accepted = finding.contains("--accept-time");
            assert_eq!(is_accepted, doubt != ClockDoubt::BeforeIssuer, "{finding}");
        }
        let behind = format!("{:?}", doubted("behind-mark", other, other, now));
        assert!(behind.contains("2d before the latest"), "{behind}");
    }
}
