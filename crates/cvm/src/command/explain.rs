//! `cvm explain`: the last attempts of a device, step by step, and what to do.

use cvm_core::id::AttemptCode;
use cvm_wire::operator::{Attempt, AttemptList};

use super::remote;
use crate::cli::Explain;
use crate::failure::{Done, Exit, Failure};
use crate::output;

/// Tells what became of a device's requests, or of the one with this code.
pub(crate) fn run(args: &Explain) -> Done {
    let client = remote::connect(&args.server)?;
    // A code may also be somebody's serial number: then that device is told as well.
    let by = if args.what.parse::<AttemptCode>().is_ok() { "code" } else { "serialNumber" };
    let ask = |by: &str| client.get("/v1/attempts").query(by, &args.what).fetch();
    let mut attempts: AttemptList = ask(by).map_err(remote::operator_failure)?;
    if attempts.items.is_empty() && by == "code" {
        attempts = ask("serialNumber").map_err(remote::operator_failure)?;
    }
    output::result(args.server.output.output, &attempts, |attempts| {
        if attempts.items.is_empty() {
            tell_nothing_known(attempts);
        }
        attempts.items.iter().for_each(tell);
    })?;
    match attempts.items.is_empty() {
        true => Err(Failure::new(Exit::Failed, format!("nothing is known of {}", args.what))),
        false => Ok(()),
    }
}

fn tell_nothing_known(attempts: &AttemptList) {
    output::line(
        "Either this serial number is not registered: look with `cvm device show`, and compare it \
         with what the device sends. Or the device has not asked yet, or so long ago that it was \
         overwritten.",
    );
    for unknown in &attempts.unknown_serial_numbers {
        output::line(format!(
            "In the last hour {} asked {} time(s) for serial numbers that nobody registered.",
            unknown.address, unknown.count
        ));
    }
}

fn tell(attempt: &Attempt) {
    output::line(format!(
        "{}  {}  {} from {}: {}",
        attempt.at, attempt.attempt, attempt.act, attempt.address, attempt.outcome
    ));
    for step in &attempt.steps {
        let mark = if step.passed { "passed " } else { "REFUSED" };
        output::line(format!("  {mark}  {:<14}  {}", step.name, step.evidence));
    }
    output::line(format!("  {}", attempt.meaning));
    output::line(format!("  What to do: {}", attempt.cure));
    output::line("");
}
