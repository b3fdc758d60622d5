//! Requests: how large, how long, how many at once; and how long a stop waits for the last ones.

use std::io::Write;

use cvm_e2e::{Client, Environment, Response, wait_for};
use serde_json::json;

use super::{
    NEIGHBOUR, SOON, assert_others_are_served, assert_refused, curl, finish, health, held_request,
    neighbour, rest, wait_until_served,
};

const LOOPBACK_IS_TRUSTED: (&str, &str) = ("limits.trusted_networks", "[\"127.0.0.0/8\"]");

/// The status of a request whose line and fields are `bytes` long, most of them in its path or in a
/// field; none where it was cut off, which takes away an answer that nobody has read.
fn with_head_of(client: &Client, bytes: usize, in_line: bool) -> Option<u16> {
    let (path, field) = if in_line { ("/PADDING", "x") } else { ("/healthz", "PADDING") };
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: {field}\r\n\r\n");
    let padding = "x".repeat(bytes + "PADDING".len() - head.len());
    let answer = client.exchange(head.replace("PADDING", &padding).as_bytes());
    answer.ok().map(|answer| answer.status)
}

#[test]
fn a_head_fits_at_its_last_byte_and_not_past_it() {
    let environment = Environment::start(&[("limits.header_bytes", "2048")]).unwrap();
    let client = environment.device_client().unwrap();
    for (in_line, fits) in [(false, 200), (true, 404)] {
        assert_eq!(with_head_of(&client, 2_048, in_line), Some(fits));
        assert_eq!(with_head_of(&client, 2_049, in_line), Some(431));
        assert!([None, Some(431)].contains(&with_head_of(&client, 100_000, in_line)));
    }
    for (length, status) in [(1_500, 200), (2_100, 431)] {
        let field = format!("X: {}", "x".repeat(length));
        let (got, said) = curl(&environment, "/healthz", &["--http2", "-H", &field]);
        assert_eq!(got, status, "{said}");
    }
    assert_others_are_served(&environment);
}

#[test]
fn a_request_has_as_many_fields_as_it_may_and_not_one_more() {
    let environment = Environment::start(&[("limits.headers", "16")]).unwrap();
    let client = environment.device_client().unwrap();
    // Host and Connection are two more.
    let fields = |count: usize| vec!["X: y"; count];
    assert_eq!(client.request("GET", "/healthz", &fields(14), None).unwrap().status, 200);
    assert_eq!(client.request("GET", "/healthz", &fields(15), None).unwrap().status, 431);
    for (count, status) in [(16, 200), (17, 431)] {
        // Without what curl sends of its own.
        let fields = ["--http2", "-H", "User-Agent:", "-H", "Accept:"].map(str::to_owned);
        let own = (0..count).flat_map(|number| [String::from("-H"), format!("X-{number}: y")]);
        let all: Vec<String> = fields.into_iter().chain(own).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (got, said) = curl(&environment, "/healthz", &all);
        assert_eq!(got, status, "{said}");
        assert_eq!(said.contains("/problems/header-too-large"), status == 431, "{said}");
    }
    assert_others_are_served(&environment);
}

/// The refusal of a body of `bytes`, which is no request to vend.
fn with_body_of(environment: &Environment, bytes: usize, arguments: &[&str]) -> (u16, String) {
    let file = environment.scratch().join("body");
    std::fs::write(&file, format!("{{}}{}", " ".repeat(bytes - 2))).unwrap();
    let data = format!("@{}", file.display());
    let all = ["-H", "Content-Type: application/json", "--data-binary", &data];
    curl(environment, "/v1/certificates", &[&all, arguments].concat())
}

#[test]
fn a_body_fits_at_its_last_byte_and_not_past_it() {
    let environment = Environment::start(&[("limits.body_bytes", "4096")]).unwrap();
    let ways: [&[&str]; 3] =
        [&["--http1.1"], &["--http1.1", "-H", "Transfer-Encoding: chunked"], &["--http2"]];
    for way in ways {
        for (bytes, status, slug) in [
            (4_096, 400, "invalid-request"),
            (4_097, 413, "too-large"),
            (200_000, 413, "too-large"),
        ] {
            let (got, said) = with_body_of(&environment, bytes, way);
            assert_eq!(got, status, "{bytes}, {way:?}: {said}");
            assert!(said.contains(&format!("/problems/{slug}")), "{bytes}, {way:?}: {said}");
        }
    }
    assert_others_are_served(&environment);
}

#[test]
fn what_stands_around_the_chunks_of_a_body_is_bounded() {
    let environment = Environment::start(&[("limits.header_bytes", "2048")]).unwrap();
    let client = environment.device_client().unwrap();
    let ask = |extension: usize, trailer: usize| {
        let head = "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                    Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (extension, trailer) = ("x".repeat(extension), "x".repeat(trailer));
        let body = format!("2;x={extension}\r\n{{}}\r\n0\r\nX: {trailer}\r\n\r\n");
        // The body is wrong in either case, but in one it is read; who sends too much is cut off.
        let answer = client.exchange(format!("{head}{body}").as_bytes());
        answer.map_or(String::new(), |answer| answer.text("detail"))
    };
    let read = "`serialNumber` is missing";
    for (extension, trailer, fits) in
        [(16_000, 1_500, true), (17_000, 0, false), (0, 2_100, false), (0, 1_000_000, false)]
    {
        let detail = ask(extension, trailer);
        assert_eq!(detail.starts_with(read), fits, "{extension}, {trailer}: {detail}");
    }
    assert_others_are_served(&environment);
}

#[test]
fn a_body_that_does_not_end_in_time_is_refused() {
    let environment = Environment::start(&[("limits.request_seconds", "2")]).unwrap();
    let client = environment.device_client().unwrap();
    let in_time = finish(held_request(&client));
    assert!(in_time.contains("/problems/invalid-request"), "{in_time}");

    let mut stopped = held_request(&client);
    assert_others_are_served(&environment);
    let said = rest(&mut stopped);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("request-timeout"), "{said}");
}

#[test]
fn answers_that_nobody_takes_end_their_connection() {
    // Long before it counts as idle.
    let settings = [("limits.request_seconds", "1"), ("limits.idle_seconds", "600")];
    let environment = Environment::start(&settings).unwrap();
    let mut stream = environment.device_client().unwrap().connect().unwrap();
    stream.sock.set_write_timeout(Some(SOON)).unwrap();
    let requests = b"GET /v1/trust-bundle HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_000);
    let cut = wait_for("the end of a connection", SOON, || Ok(stream.write_all(&requests).err()));
    let kind = cut.unwrap().kind();
    assert!(![std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&kind));
    assert_others_are_served(&environment);
}

#[test]
fn the_last_request_at_once_is_served_and_the_next_told_to_come_later() {
    let settings = [("limits.requests", "3"), LOOPBACK_IS_TRUSTED];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let mut held: Vec<_> = (0..2).map(|_| held_request(&client)).collect();
    let ask = || client.request("GET", "/v1/trust-bundle", &[], None).unwrap();
    assert_eq!(ask().status, 200, "in the third place");
    held.push(held_request(&client));
    for _ in 0..20 {
        assert_refused(&ask(), 503, "unavailable");
    }
    assert_eq!(health(&client), 200, "it is busy, and not dead");
    assert_eq!(
        environment.operate("GET", "/v1/devices", None).unwrap().status,
        200,
        "operators have places of their own"
    );
    for one in held {
        let said = finish(one);
        assert!(said.contains("/problems/invalid-request"), "{said}");
    }
    wait_until_served(&client);
    environment.device_add("SN-1").unwrap();
}

#[test]
fn an_address_has_its_part_of_the_requests_and_others_have_the_rest() {
    let settings = [("limits.requests", "8"), ("limits.requests_per_address", "2")];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let held = [held_request(&client), held_request(&client)];
    let ask = |client: &Client| -> Response {
        client.request("GET", "/v1/trust-bundle", &[], None).unwrap()
    };
    assert_refused(&ask(&client), 429, "slow-down");
    assert_eq!(ask(&neighbour(&environment)).status, 200, "{NEIGHBOUR}");
    assert_others_are_served(&environment);
    for one in held {
        finish(one);
    }
    wait_until_served(&client);
}

#[test]
fn a_refused_body_of_one_too_many_requests_is_not_kept() {
    let settings = [("limits.requests", "8"), ("limits.requests_per_address", "1")];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let held = held_request(&client);
    let token = "x".repeat(60_000);
    let body = json!({"serialNumber": "SN-1", "token": token});
    let answer = client.request("POST", "/v1/certificates", &[], Some(&body)).unwrap();
    assert_refused(&answer, 429, "slow-down");
    finish(held);
    wait_until_served(&client);
}

#[test]
fn a_stop_waits_for_the_last_requests_as_long_as_it_may_and_not_longer() {
    let settings = [("limits.request_seconds", "600"), ("limits.drain_seconds", "600")];
    let mut environment = Environment::start(&settings).unwrap();
    let held = held_request(&environment.device_client().unwrap());
    let pid = environment.pid().unwrap().to_string();
    let told = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(told.success());
    let address = environment.ready("http");
    wait_for("the listener to close", SOON, || Ok(std::net::TcpStream::connect(&address).err()))
        .unwrap();
    let said = finish(held);
    assert!(said.contains("/problems/invalid-request"), "finished after the word: {said}");
    assert!(!environment.log().contains("cut off"), "{}", environment.log());
    environment.kill().unwrap();

    let settings = [("limits.request_seconds", "600"), ("limits.drain_seconds", "1")];
    let mut environment = Environment::start(&settings).unwrap();
    let mut held = held_request(&environment.device_client().unwrap());
    held.flush().unwrap();
    assert_eq!(environment.terminate().unwrap(), Some(0));
    assert_eq!(rest(&mut held), "", "cut off");
    assert!(environment.log().contains("cut off"), "{}", environment.log());
}
