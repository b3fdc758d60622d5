//! `cvm device add|list|show`.

use std::collections::BTreeMap;
use std::path::Path;

use cvm_agent::client::{Client, encode_segment};
use cvm_agent::error::Error;
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_pki::SystemEntropy;
use cvm_wire::SecretText;
use cvm_wire::operator::{Device, List, NewDevice};
use serde::Serialize;
use zeroize::Zeroizing;

use super::remote;
use crate::cli::{DeviceAdd, DeviceList, GivenToken, ServerArgs};
use crate::data_dir::read_secret;
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};
use crate::serve::clock::system_now;

/// How often a registration whose answer was lost is sent again; the same again changes nothing.
const SENDS_MAX: u32 = 4;

/// Registers a device with a token that is made here, and prints it once.
pub(crate) fn add(args: &DeviceAdd) -> Done {
    let client = remote::connect(&args.server)?;
    let mut new = NewDevice {
        serial_number: args.serial.clone(),
        token: None,
        token_expires: args
            .token
            .token_expires
            .as_deref()
            .map(|span| expiry("--token-expires", span))
            .transpose()?,
        thing_name: args.thing_name.clone(),
        policy: args.policy.clone(),
        profile: args.profile.clone(),
        attributes: attributes(&args.attribute)?,
        roads: None,
        again: args.again,
    };
    let token = token(&args.token, &format!("device add {}", args.serial))?;
    let secret = SecretText::new(Zeroizing::new(token.expose().to_owned()));
    new.token = Some(secret.clone());
    let is_shown = args.token.token_out.is_none() && !args.token.token_stdin;
    let mut device = send(&client, "/v1/devices", &new).map_err(|(failure, is_unknown)| {
        // Whatever became of the request: with this token the device gets its certificate.
        if is_shown && is_unknown {
            output::note(format!("The token, if the device was registered: {}", secret.expose()));
        }
        failure
    })?;
    device.token = is_shown.then_some(secret);
    let printed = output::result(args.server.output.output, &device, |device, text| {
        let token = device.token.as_ref().map(|token| ("token", token.expose().to_owned()));
        show_device(device, token, text);
    });
    tell_token(&device, args.token.token_out.as_deref(), &printed);
    printed
}

/// Says where the token is.
pub(crate) fn tell_token(device: &Device, out: Option<&Path>, printed: &Done) {
    match (&device.token, out, printed) {
        // Better here than nowhere: it is not to be had again.
        (Some(token), _, Err(_)) => {
            let serial = &device.serial_number;
            output::note(format!("{serial} is registered; its token: {}", token.expose()));
        }
        (Some(_), _, Ok(())) => {
            output::note("The token is shown this once: put it on the device.");
        }
        (None, Some(path), _) => output::note(format!("The token is in {}.", path.display())),
        (None, None, _) => {}
    }
}

/// The token to register: from standard input, or made here. Where it is to go into a file it is
/// safe there before anybody else knows of it. A file that holds another token is left alone: two
/// devices must not come to share one.
///
/// `command` is what was typed, for the cure.
pub(crate) fn token(args: &GivenToken, command: &str) -> Result<Token, Failure> {
    let token = if args.token_stdin {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::new(Exit::Failed, format!("reading the token: {error}")))?;
        brought(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))?
    } else {
        Token::generate(&SystemEntropy)
    };
    let Some(path) = &args.token_out else { return Ok(token) };
    if path.exists() {
        let there = read_secret("the token", path)?;
        if *there == token.expose() {
            return Ok(token);
        }
        let what = format!("{} holds a token already: nothing was sent", path.display());
        let cure = format!(
            "choose another file; if it is this device's, from an earlier try: \
             cvm {command} --token-stdin < {}",
            path.display()
        );
        return Err(Failure::new(Exit::Failed, what).cure(cure));
    }
    let line = Zeroizing::new(format!("{}\n", token.expose()));
    cvm_pki::files::write_new(path, line.as_bytes())
        .map_err(|error| Failure::file("writing the token to", path, &error))?;
    Ok(token)
}

fn brought(text: Zeroizing<String>) -> Result<Token, Failure> {
    Token::brought(text).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// Sends the registration, again where no answer came; the failure says whether it is unknown what
/// became of it.
pub(crate) fn send(
    client: &Client,
    path: &str,
    body: &impl Serialize,
) -> Result<Device, (Failure, bool)> {
    let mut last = None;
    for _ in 0..SENDS_MAX {
        match client.post(path).json(body).fetch::<Device>() {
            Ok(device) => return Ok(device),
            Err(error @ Error::TryLater { .. }) => last = Some(error),
            Err(error) => return Err((remote::operator_failure(error), false)),
        }
    }
    let failure = last.map(remote::operator_failure);
    let failure = failure.unwrap_or_else(|| Failure::new(Exit::Failed, "not sent"));
    let cure = "it is not known whether the server did it: run the same command again with the same \
                token, from its file or by --token-stdin";
    Err((failure.cure(cure), true))
}

/// The moment that lies `span` ahead, for the option called `option`.
pub(crate) fn expiry(option: &str, span: &str) -> Result<String, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, format!("{option}: {what}"));
    let span: Span =
        span.parse().map_err(|error: cvm_core::time::SpanError| usage(error.to_string()))?;
    if span.0 == 0 {
        return Err(usage(String::from("a token that expires at once could never be used")));
    }
    let at: Timestamp = system_now().plus(span);
    Ok(at.to_string())
}

fn attributes(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut attributes = BTreeMap::new();
    for text in texts {
        let (key, value) = attribute(text)?;
        if attributes.insert(key.clone(), value).is_some() {
            return Err(Failure::new(Exit::Usage, format!("--attribute {key}: given twice")));
        }
    }
    Ok(attributes)
}

fn attribute(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new(Exit::Usage, format!("--attribute {text:?}: expected KEY=VALUE"))),
    }
}

/// Lists devices.
pub(crate) fn list(args: &DeviceList) -> Done {
    let span = args.expiring.map(|span| span.to_string());
    let expiring = span.as_deref().map(|span| ("expiring", span));
    let filter = args.status.as_deref().map(|state| ("state", state)).or(expiring);
    let devices: List<Device> = remote::filtered_page(&args.page, "/v1/devices", filter)?;
    output::result(args.page.server.output.output, &devices, |devices, text| {
        let rows: Vec<Vec<String>> = devices
            .items
            .iter()
            .map(|device| {
                let state = if device.disabled {
                    format!("{} (disabled)", device.state)
                } else {
                    device.state.clone()
                };
                vec![
                    device.serial_number.clone(),
                    state,
                    device.token_state.clone(),
                    device.thing_name.clone(),
                    device.policy.clone(),
                    device.created_at.clone(),
                ]
            })
            .collect();
        text.table(&["SERIAL", "STATE", "TOKEN", "THING", "POLICY", "CREATED"], &rows);
        more(devices.cursor.as_deref());
    })
}

/// Says how to get the next page.
pub(crate) fn more(cursor: Option<&str>) {
    if let Some(cursor) = cursor {
        output::note(format!("There is more: --cursor={cursor}"));
    }
}

/// Shows a device.
pub(crate) fn show(serial: &str, server: &ServerArgs) -> Done {
    let path = format!("/v1/devices/{}", encode_segment(serial));
    let device: Device =
        remote::connect(server)?.get(&path).fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &device, |device, text| show_device(device, None, text))
}

pub(crate) fn show_device(device: &Device, token: Option<(&str, String)>, text: &mut Text) {
    let mut facts = vec![
        ("serial", device.serial_number.clone()),
        ("state", device.state.clone()),
        ("disabled", device.disabled.to_string()),
        ("thing", device.thing_name.clone()),
        ("policy", device.policy.clone()),
        ("profile", device.profile.clone()),
        ("token state", device.token_state.clone()),
        ("token expires", device.token_expires.clone()),
        ("created", device.created_at.clone()),
    ];
    let attributes: &BTreeMap<String, String> = &device.attributes;
    for (key, value) in attributes {
        facts.push(("attribute", format!("{key}={value}")));
    }
    for certificate in &device.certificates {
        facts
            .push(("certificate", format!("{} {}", certificate.certificate_id, certificate.state)));
    }
    facts.extend(token);
    text.facts(&facts);
}
