//! The life of a device as its people tell it, one story a file: with `openssl` and `curl` alone on
//! the device's side (or the thief's), and on the operator's with `cvm`, or `curl` again.

mod approval;
mod compromise;
mod deletion;
mod disabling;
mod explain;
mod first_uses_race;
mod hand;
mod key_lost;
mod new_token_again;
mod open_connections;
mod operator;
mod policies;
mod race;
mod refused_at_first;
mod registrar;
mod renewal;
mod renewal_waits;
mod revocation;
mod second_token_stolen;
mod thief_confirmed;
mod token_stolen_unused;
mod token_stolen_used;
mod two_stations;
mod unreadable;
mod words_hold;

use cvm_e2e::{Environment, Response, wait_for};
use serde_json::Value;

use explain::explained;
use hand::{Ask, Hand, Held, Http, Key};
use operator::{Add, Fate, Operator};

/// How a device stands, in one line: `active, burnt: retiring current`.
fn standing(environment: &Environment, serial: &str) -> String {
    let device = environment.succeed(&["device", "show", serial, "--output", "json"]).unwrap();
    let device: Value = serde_json::from_str(&device).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let disabled = if device["disabled"] == true { " disabled" } else { "" };
    let certificates = device["certificates"].as_array().unwrap().iter();
    let states: Vec<String> = certificates.map(|it| text(&it["state"])).collect();
    let (state, token) = (text(&device["state"]), text(&device["tokenState"]));
    format!("{state}{disabled}, {token}: {}", states.join(" ")).trim_end().to_owned()
}

/// Status and slug, as most checks want them.
fn said(answer: &Response) -> (u16, String) {
    (answer.status, answer.slug())
}

fn no(status: u16, slug: &str) -> (u16, String) {
    (status, slug.to_owned())
}

/// A success without a body.
fn yes() -> (u16, String) {
    no(204, "")
}

/// What `GET /v1/certificates/{id}` says.
fn certificate(environment: &Environment, held: &Held) -> Value {
    let path = format!("/v1/certificates/{}", held.id);
    environment.operate("GET", &path, None).unwrap().json().unwrap()
}

/// Waits until the journal has an alarm of `kind` for the device: it is written after the answer.
fn wait_for_alarm(environment: &Environment, serial: &str, kind: &str) {
    wait_for(kind, std::time::Duration::from_secs(30), || {
        Ok(alarms(environment, serial).iter().any(|alarm| alarm == kind).then_some(()))
    })
    .unwrap();
}

/// The kinds of the device's alarms so far.
fn alarms(environment: &Environment, serial: &str) -> Vec<String> {
    let journal = environment.operate("GET", "/v1/journal?limit=1000", None).unwrap();
    let journal = journal.json().unwrap();
    let rows = journal["items"].as_array().unwrap().iter();
    let of_device = rows.filter(|row| row["class"] == "alarm" && row["serialNumber"] == serial);
    of_device.map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
}
