//! Many at once: one token yields one certificate, whoever comes first.

use std::collections::BTreeSet;
use std::sync::Barrier;

use cvm_e2e::{Environment, Key, Response};

const REQUESTS: usize = 64;

/// Sends all requests at once, each on a connection of its own.
fn at_once(environment: &Environment, token: &str, csrs: &[String]) -> Vec<Response> {
    let barrier = Barrier::new(csrs.len());
    let ask = |csr: &String| {
        barrier.wait();
        environment.vend("SN-1", token, csr).unwrap()
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = csrs.iter().map(|csr| scope.spawn(|| ask(csr))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn statuses(answers: &[Response]) -> Vec<(u16, String)> {
    answers.iter().map(|answer| (answer.status, answer.slug())).collect()
}

fn certificates_of(environment: &Environment) -> usize {
    let device = environment.operate("GET", "/v1/devices/SN-1", None).unwrap().json().unwrap();
    device["certificates"].as_array().unwrap().len()
}

#[test]
fn one_token_and_64_keys_at_once_yield_one_certificate() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csrs: Vec<String> = (0..REQUESTS).map(|_| Key::new().unwrap().csr().unwrap()).collect();
    let answers = at_once(&environment, &token, &csrs);
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (1, REQUESTS - 1), "{:?}", statuses(&answers));
    assert_eq!(certificates_of(&environment), 1);
}

#[test]
fn one_token_and_one_key_64_times_at_once_yield_the_same_bytes() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let answers = at_once(&environment, &token, &vec![csr; REQUESTS]);
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(200)), (1, REQUESTS - 1), "{:?}", statuses(&answers));
    let bytes: BTreeSet<String> = answers.iter().map(|answer| answer.text("certificate")).collect();
    assert_eq!(bytes.len(), 1);
    assert_eq!(certificates_of(&environment), 1);
}

#[test]
fn one_serial_number_registered_twice_at_once_is_registered_once() {
    let environment = Environment::start(&[]).unwrap();
    let tokens: Vec<String> =
        (0..16).map(|n| format!("token number {n:04} of the race").replace(' ', "-")).collect();
    let barrier = Barrier::new(tokens.len());
    let add = |token: &String| {
        let body = serde_json::json!({"serialNumber": "SN-1", "token": token});
        barrier.wait();
        environment.operate("POST", "/v1/devices", Some(&body)).unwrap().status
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = tokens.iter().map(|token| scope.spawn(|| add(token))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 15, "{statuses:?}");
}
