//! `cvm explain`: the last attempts of a device, step by step, and what to do.

use cvm_agent::client::encode_segment;
use cvm_core::id::AttemptCode;
use cvm_wire::operator::{Attempt, AttemptList, Device};

use super::remote;
use crate::cli::Explain;
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};

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
    let path = format!("/v1/devices/{}", encode_segment(&args.what));
    let is_registered = attempts.items.is_empty() && client.get(&path).fetch::<Device>().is_ok();
    output::result(args.server.output.output, &attempts, |attempts, text| {
        if attempts.items.is_empty() {
            tell_nothing_known(is_registered, attempts, text);
        }
        attempts.items.iter().for_each(|attempt| tell(attempt, text));
    })?;
    match attempts.items.is_empty() {
        true => Err(Failure::new(Exit::Failed, format!("nothing is known of {}", args.what))),
        false => Ok(()),
    }
}

fn tell_nothing_known(is_registered: bool, attempts: &AttemptList, text: &mut Text) {
    if is_registered {
        text.line("This device is registered and has not asked yet, or so long ago that it was overwritten.");
        text.line(
            "What to do: look whether it reaches the server at all, by its address and port.",
        );
        return;
    }
    text.line(
        "No device is registered under this serial number, and no attempt has this code. Attempts \
         on unknown serial numbers are kept in memory only: the last few thousand since the server \
         started.",
    );
    text.line(
        "What to do: compare the serial number with what the device sends; `cvm device list`.",
    );
    for unknown in &attempts.unknown_serial_numbers {
        text.line(format!(
            "In the last hour {} asked {} time(s) for serial numbers that nobody registered.",
            unknown.address, unknown.count
        ));
    }
}

/// What to do, with commands as they are to be typed for this device.
fn cure(attempt: &Attempt) -> String {
    match attempt.serial_number.as_str() {
        "?" => attempt.cure.clone(),
        serial => attempt.cure.replace("SERIAL", serial),
    }
}

fn tell(attempt: &Attempt, text: &mut Text) {
    text.line(format!(
        "{}  {}  {} from {}: {}",
        attempt.at, attempt.attempt, attempt.act, attempt.address, attempt.outcome
    ));
    for step in &attempt.steps {
        let mark = if step.passed { "passed " } else { "REFUSED" };
        text.line(format!("  {mark}  {:<14}  {}", step.name, step.evidence));
    }
    text.line(format!("  {}", attempt.meaning));
    text.line(format!("  What to do: {}", cure(attempt)));
    text.line("");
}
