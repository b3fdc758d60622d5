//! `cvm device new-token|disable|enable|delete`.

use cvm_agent::client::encode_segment;
use cvm_wire::SecretText;
use cvm_wire::operator::{Device, NewToken as Body};
use zeroize::Zeroizing;

use super::device::{expiry, send, show_device, tell_token, token};
use super::remote;
use crate::cli::{NewToken, OneDevice};
use crate::failure::Done;
use crate::output;

/// Disables or enables a device.
pub(crate) fn act(args: &OneDevice, action: &str) -> Done {
    let client = remote::connect(&args.server)?;
    let path = format!("/v1/devices/{}:{action}", encode_segment(&args.serial));
    let device: Device = client.post(&path).fetch().map_err(remote::operator_failure)?;
    shown(args, &device)
}

/// Decommissions a device.
pub(crate) fn delete(args: &OneDevice, keep_thing: bool) -> Done {
    let client = remote::connect(&args.server)?;
    let path = format!("/v1/devices/{}", encode_segment(&args.serial));
    let request = client.delete(&path).query("keepThing", &keep_thing.to_string());
    let device: Device = request.fetch().map_err(remote::operator_failure)?;
    shown(args, &device)?;
    output::note(format!(
        "Its certificates are revoked and its tokens burnt; `cvm device add --again {}` begins \
         another life.",
        args.serial
    ));
    Ok(())
}

/// Gives a device another token, which is made here, and prints it once.
pub(crate) fn new_token(args: &NewToken) -> Done {
    let client = remote::connect(&args.device.server)?;
    let serial = &args.device.serial;
    let expires = args.token.token_expires.as_deref();
    let token_expires = expires.map(|span| expiry("--token-expires", span)).transpose()?;
    let token = token(&args.token, &format!("device new-token {serial}"))?;
    let secret = SecretText::new(Zeroizing::new(token.expose().to_owned()));
    let body = Body { token: Some(secret.clone()), token_expires, revoke: args.revoke };
    let path = format!("/v1/devices/{}:new-token", encode_segment(serial));
    let is_shown = args.token.token_out.is_none() && !args.token.token_stdin;
    let mut device = send(&client, &path, &body).map_err(|(failure, is_unknown)| {
        if is_shown && is_unknown {
            output::note(format!("The token, if it was given: {}", secret.expose()));
        }
        failure
    })?;
    device.token = is_shown.then_some(secret);
    let printed = output::result(args.device.server.output.output, &device, |device, text| {
        let token = device.token.as_ref().map(|token| ("token", token.expose().to_owned()));
        show_device(device, token, text);
    });
    tell_token(&device, args.token.token_out.as_deref(), &printed);
    printed
}

fn shown(args: &OneDevice, device: &Device) -> Done {
    output::result(args.server.output.output, device, |device, text| {
        show_device(device, None, text);
    })
}
