//! A server that asks for signatures: when the device signs, how often, and that each time it takes
//! another nonce. That others verify what it signs, the end-to-end tests show.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cvm_agent::enroll::{ConfirmOptions, Silent, confirm, enroll};
use cvm_agent::error::Error;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::server::{Answer, Request, Server};
use crate::world::{World, problem};

const ASKED: &str = "POST /v1/certificates/confirm";
const NONCE: &str = "GET /v1/nonce";
const SIGNED: &str = "signed";

/// What became of signed confirmations, in order, when there are no more answers: 204.
#[derive(Default)]
struct Proxied {
    asked: Mutex<Vec<String>>,
    nonces: Mutex<Vec<Value>>,
    refusals: Mutex<usize>,
}

impl Proxied {
    fn answer(&self, request: &Request) -> Option<Answer> {
        match request.what.as_str() {
            NONCE => {
                let mut asked = self.asked.lock();
                asked.push(NONCE.to_owned());
                Some(Answer::json(200, json!({"nonce": format!("n{}", asked.len())}).to_string()))
            }
            ASKED => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let Some(header) = body["protected"].as_str() else {
                    self.asked.lock().push(ASKED.to_owned());
                    return Some(sign_it());
                };
                self.asked.lock().push(SIGNED.to_owned());
                let header = URL_SAFE_NO_PAD.decode(header).unwrap();
                let header: Value = serde_json::from_slice(&header).unwrap();
                self.nonces.lock().push(header["nonce"].clone());
                let mut refusals = self.refusals.lock();
                let is_refused = *refusals > 0;
                *refusals = refusals.saturating_sub(1);
                Some(if is_refused { sign_it() } else { Answer::json(204, String::new()) })
            }
            _ => None,
        }
    }
}

fn sign_it() -> Answer {
    let body = json!({
        "type": "/problems/certificate-required",
        "title": "A client certificate is needed",
        "status": 401,
        "detail": "sign it",
        "attempt": "K7QF2-M8WXA",
        "signed": true
    });
    Answer::json(401, body.to_string())
}

/// Enrolls, and confirms at a server that refuses so many signed requests.
fn confirmed(refusals: usize) -> (Arc<Proxied>, Result<(), Error>) {
    let world = World::new();
    let proxied = Arc::new(Proxied { refusals: Mutex::new(refusals), ..Proxied::default() });
    let theirs = Arc::clone(&proxied);
    let server = world.server(move |request| theirs.answer(request));
    (proxied, confirm_at(&world, &server))
}

fn confirm_at(world: &World, server: &Server) -> Result<(), Error> {
    enroll(&world.options(server, world.root_file()), &Silent).unwrap();
    let options = ConfirmOptions { retries: 0, ..ConfirmOptions::default() };
    confirm(&world.out(), &options, &Silent).map(|_| ())
}

#[test]
fn a_device_signs_where_it_is_asked_to() {
    let (proxied, result) = confirmed(0);
    result.unwrap();
    assert_eq!(*proxied.asked.lock(), [ASKED, NONCE, SIGNED]);
}

#[test]
fn a_nonce_that_grew_too_old_is_replaced_once() {
    let (proxied, result) = confirmed(1);
    result.unwrap();
    assert_eq!(*proxied.asked.lock(), [ASKED, NONCE, SIGNED, NONCE, SIGNED]);
    let nonces = proxied.nonces.lock();
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn a_signature_that_is_never_taken_is_a_refusal_in_the_end() {
    let (proxied, result) = confirmed(usize::MAX);
    let error = result.unwrap_err();
    assert_eq!((error.slug(), error.exit_code()), ("certificate-required", 1));
    assert_eq!(proxied.nonces.lock().len(), 2);
}

#[test]
fn a_device_that_is_not_asked_to_sign_does_not() {
    let world = World::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&asked);
    let server = world.server(move |request| {
        theirs.lock().push(request.what.clone());
        let is_it = request.what == ASKED;
        is_it.then(|| problem(401, "certificate-required", ""))
    });
    assert_eq!(confirm_at(&world, &server).unwrap_err().slug(), "certificate-required");
    assert!(!asked.lock().iter().any(|what| what == NONCE));
}

#[test]
fn a_nonce_that_is_not_to_be_had_now_is_a_reason_to_come_later() {
    let world = World::new();
    let server = world.server(|request| match request.what.as_str() {
        NONCE => Some(problem(503, "unavailable", "retry-after: 2\r\n")),
        ASKED => Some(sign_it()),
        _ => None,
    });
    assert_eq!(confirm_at(&world, &server).unwrap_err().exit_code(), 75);
}
