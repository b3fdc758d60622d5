//! An alarm as a webhook says it: one JSON document, made once, the same for every receiver and
//! every try.
//!
//! It follows Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): `type`, `timestamp`,
//! `data`, and an id by which a receiver tells a repeat.

use std::time::Instant;

use cvm_core::id::hex;
use cvm_core::journal::Event;
use cvm_core::ports::Entropy;
use serde::Serialize;

/// What is sent.
pub(super) struct Message {
    /// `webhook-id`.
    pub(super) id: String,
    /// The JSON, to the byte what is signed.
    pub(super) body: Vec<u8>,
    /// What kind of alarm it is, for the log.
    pub(super) kind: &'static str,
    /// In which request, for the log.
    pub(super) attempt: String,
    /// When the alarm was raised.
    pub(super) raised: Instant,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    name: String,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    kind: &'static str,
    serial_number: Option<&'a str>,
    certificate_id: Option<String>,
    attempt: Option<String>,
    actor: String,
    detail: &'a str,
    at: String,
}

impl Message {
    /// The message of `event`.
    pub(super) fn new(event: &Event, entropy: &dyn Entropy) -> Self {
        let kind = event.kind.as_str();
        let at = event.at.to_string();
        let attempt = event.attempt.as_ref().map(ToString::to_string);
        let body = Body {
            name: format!("alarm.{kind}"),
            timestamp: at.clone(),
            data: Data {
                kind,
                serial_number: event.serial_number.as_ref().map(|serial| serial.as_str()),
                certificate_id: event.certificate.as_ref().map(ToString::to_string),
                attempt: attempt.clone(),
                actor: event.actor.to_string(),
                detail: &event.detail,
                at,
            },
        };
        let mut random = [0_u8; 16];
        entropy.fill(&mut random);
        Self {
            id: format!("msg_{}", hex(&random)),
            // Strings and nothing else: it cannot fail.
            body: serde_json::to_vec(&body).unwrap_or_default(),
            kind,
            attempt: attempt.unwrap_or_default(),
            raised: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cvm_core::journal::{EventClass, EventKind};
    use cvm_core::operator::Actor;
    use cvm_core::time::Timestamp;
    use cvm_pki::SystemEntropy;
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Event {
        Event {
            at: Timestamp(1_767_225_600),
            class: EventClass::Alarm,
            kind: EventKind::AnotherKeyRefused,
            serial_number: Some("SN-1".parse().unwrap()),
            certificate: None,
            attempt: Some("K7QF2-M8WXA".parse().unwrap()),
            actor: Actor::Device("192.0.2.1".into()),
            detail: String::from("key \"1\""),
        }
    }

    #[test]
    fn a_message_says_what_the_journals_row_says() {
        let message = Message::new(&event(), &SystemEntropy);
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "alarm.another-key-refused",
                "timestamp": "2026-01-01T00:00:00Z",
                "data": {
                    "kind": "another-key-refused",
                    "serialNumber": "SN-1",
                    "certificateId": null,
                    "attempt": "K7QF2-M8WXA",
                    "actor": "device 192.0.2.1",
                    "detail": "key \"1\"",
                    "at": "2026-01-01T00:00:00Z",
                },
            })
        );
    }

    #[test]
    fn no_two_messages_have_one_id() {
        let ids = [(), ()].map(|()| Message::new(&event(), &SystemEntropy).id);
        assert_ne!(ids[0], ids[1]);
        assert!(ids[0].starts_with("msg_") && ids[0].len() == 36, "{ids:?}");
    }
}
