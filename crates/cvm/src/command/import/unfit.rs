//! Nothing is kept of a row that was refused: the token that was made for it goes, unless a device
//! is registered with that very token, as after a change to a row that was imported before.

use std::collections::HashSet;
use std::thread;

use cvm_agent::client::{Client, encode_segment};
use cvm_agent::error::Error;
use cvm_core::token::Token;
use cvm_wire::SecretText;
use cvm_wire::operator::{Device, NewDevice};
use zeroize::Zeroizing;

use super::tally::Unfit;
use super::tokens::Tokens;
use crate::cli::ServerArgs;
use crate::command::remote;
use crate::failure::Failure;
use crate::output;

/// To ask about so many takes a moment: each is two requests.
const TOLD_FROM: usize = 100;

/// So many are asked about at the same time.
const ASKERS: usize = 8;

/// Takes the tokens of refused rows out of the tokens file, so far as that is safe.
///
/// # Errors
/// Where the file cannot be written.
pub(super) fn forget(
    unfit: &[Unfit],
    tokens: &mut Tokens,
    server: &ServerArgs,
) -> Result<(), Failure> {
    let doubtful = unfit.iter().filter_map(|it| Some((it.serial.as_str(), it.doubtful.as_ref()?)));
    let doubtful: Vec<(&str, &Token)> = doubtful.collect();
    let in_doubt = doubtful.len();
    if in_doubt > TOLD_FROM {
        output::note(format!(
            "asking the server about the tokens of {in_doubt} refused rows, which stay in the \
             tokens file where a device is registered with them"
        ));
    }
    let answers = ask(&doubtful, server);
    let unknown = in_doubt - answers.len();
    let sure = unfit.iter().filter(|it| it.doubtful.is_none()).map(|it| it.serial.as_str());
    let unused = answers.into_iter().filter(|(_, is_used)| !is_used).map(|(serial, _)| serial);
    let useless: HashSet<&str> = sure.chain(unused).collect();
    if unknown > 0 {
        output::note(format!(
            "{unknown} tokens of refused rows stay in the tokens file: the server did not say \
             whether devices are registered with them; the same command again will ask"
        ));
    }
    tokens.forget(&useless)
}

/// Whether devices are registered with these tokens, of each of which the server says so.
fn ask<'a>(doubtful: &[(&'a str, &Token)], server: &ServerArgs) -> Vec<(&'a str, bool)> {
    let asker = |first: usize| {
        let Ok(client) = remote::connect(server) else { return Vec::new() };
        let share = doubtful.iter().skip(first).step_by(ASKERS);
        share
            .filter_map(|(serial, token)| Some((*serial, is_used(&client, serial, token).ok()?)))
            .collect()
    };
    let asker = &asker;
    thread::scope(|scope| {
        let askers = (0..ASKERS.min(doubtful.len())).map(|first| scope.spawn(move || asker(first)));
        let askers: Vec<_> = askers.collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap_or_default()).collect()
    })
}

/// Whether a device has this token: registering it as it is changes nothing, and is refused with
/// any other token.
fn is_used(client: &Client, serial: &str, token: &Token) -> Result<bool, Error> {
    let path = format!("/v1/devices/{}", encode_segment(serial));
    let device: Device = match client.get(&path).fetch() {
        Err(error) if error.slug() == "not-found" => return Ok(false),
        shown => shown?,
    };
    if device.state == "deleted" {
        return Ok(false);
    }
    let same = NewDevice {
        serial_number: device.serial_number,
        token: Some(SecretText::new(Zeroizing::new(token.expose().to_owned()))),
        token_expires: None,
        thing_name: Some(device.thing_name),
        policy: Some(device.policy),
        profile: Some(device.profile),
        attributes: device.attributes,
        roads: None,
        again: false,
    };
    match client.post("/v1/devices").json(&same).fetch::<Device>() {
        Ok(_) => Ok(true),
        Err(error) if error.refusal().is_some_and(|refusal| refusal.status == 409) => Ok(false),
        Err(error) => Err(error),
    }
}
