//! Nothing is kept of a row that was refused: the token that was made for it goes, unless a device
//! is registered with that very token, as after a change to a row that was imported before.

use std::collections::HashSet;

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

/// Takes the tokens of refused rows out of the tokens file, so far as that is safe.
///
/// # Errors
/// Where the file cannot be written.
pub(super) fn forget(
    unfit: &[Unfit],
    tokens: &mut Tokens,
    server: &ServerArgs,
) -> Result<(), Failure> {
    let in_doubt = unfit.iter().filter(|unfit| unfit.doubtful.is_some()).count();
    if in_doubt > TOLD_FROM {
        output::note(format!(
            "asking the server about the tokens of {in_doubt} refused rows, which stay in the \
             tokens file where a device is registered with them"
        ));
    }
    let client = (in_doubt > 0).then(|| remote::connect(server).ok()).flatten();
    let mut useless = HashSet::with_capacity(unfit.len());
    let mut unknown = 0_usize;
    for Unfit { serial, doubtful } in unfit {
        let is_used = match (doubtful, &client) {
            (None, _) => Some(false),
            (Some(_), None) => None,
            (Some(token), Some(client)) => is_used(client, serial.as_str(), token).ok(),
        };
        match is_used {
            Some(false) => drop(useless.insert(serial.as_str())),
            Some(true) => {}
            None => unknown += 1,
        }
    }
    if unknown > 0 {
        output::note(format!(
            "{unknown} tokens of refused rows stay in the tokens file: the server did not say \
             whether devices are registered with them; the same command again will ask"
        ));
    }
    tokens.forget(&useless)
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
