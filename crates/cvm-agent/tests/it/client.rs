//! Trust, limits and forms of the HTTPS client.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use cvm_agent::client::{Client, ClientBuilder, Trust, encode_segment};
use cvm_agent::error::{Distrust, Error};
use cvm_wire::SecretText;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::pki::Pki;
use crate::server::{Answer, Server};
use crate::world::{TestClock, World, problem};

const ADMIN: &str = "admin-token-NOBODY-MAY-SEE";

fn builder(world: &World, url: &str, trust: Trust) -> ClientBuilder {
    Client::builder(url)
        .trust(trust)
        .clock(Arc::<TestClock>::clone(&world.clock))
        .timeout(Duration::from_secs(5))
}

fn health(world: &World, url: &str, trust: Trust) -> Result<u16, Error> {
    let client = builder(world, url, trust).build()?;
    Ok(client.get("/healthz").send()?.status())
}

fn distrust(result: Result<u16, Error>) -> Distrust {
    let fault = result.unwrap_err();
    assert_eq!(fault.exit_code(), 76, "{fault}");
    let Error::NotPinned { distrust, .. } = fault else {
        panic!("{fault}");
    };
    distrust
}

fn ok_server(world: &World) -> Server {
    world.server(|request| {
        (request.what == "GET /healthz").then(|| Answer::json(200, "{}".to_owned()))
    })
}

#[test]
fn the_right_root_is_believed_by_file_and_by_fingerprint() {
    let world = World::new();
    let server = ok_server(&world);
    for trust in [world.root_file(), world.fingerprint()] {
        assert_eq!(health(&world, &server.url(), trust).unwrap(), 200);
    }
}

#[test]
fn another_root_is_not_believed_and_nothing_is_sent() {
    let world = World::new();
    let other = World::new();
    let server = ok_server(&world);
    let result = health(&world, &server.url(), other.root_file());
    assert_eq!(distrust(result), Distrust::UnknownIssuer);
    assert!(server.heard.lock().is_empty());
}

#[test]
fn a_fingerprint_that_nothing_matches_is_not_believed() {
    let world = World::new();
    let other = Pki::new("other");
    let server = ok_server(&world);
    let trust = Trust::Fingerprint(other.fingerprint());
    let result = health(&world, &server.url(), trust);
    let fingerprint = other.fingerprint().to_string();
    assert_eq!(distrust(result), Distrust::NoneMatches { fingerprint });
    // One connection, and on it one request.
    assert_only_the_bundle_was_asked_for(&server, 1);
}

#[test]
fn the_unverified_connection_carries_one_request_and_no_secret() {
    let world = World::new();
    let server = ok_server(&world);
    let client = builder(&world, &server.url(), world.fingerprint())
        .bearer(SecretText::new(Zeroizing::new(ADMIN.to_owned())))
        .build()
        .unwrap();
    assert_eq!(client.pinned(), [world.pki.root.der().clone()]);
    assert_only_the_bundle_was_asked_for(&server, 1);
    client.get("/healthz").send().unwrap();
    let heard = server.heard.lock();
    assert_eq!(heard.len(), 2, "the unverified connection is not used again");
    assert!(String::from_utf8_lossy(&heard[1]).contains(ADMIN));
}

fn assert_only_the_bundle_was_asked_for(server: &Server, connections: usize) {
    let heard = server.heard.lock();
    assert_eq!(heard.len(), connections);
    for bytes in heard.iter() {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let port = server.address.port();
        let mut lines: Vec<&str> = text.split("\r\n").collect();
        lines.sort_unstable();
        let expected = [
            "",
            "",
            "GET /v1/trust-bundle HTTP/1.1",
            "accept: application/json, application/problem+json",
            "connection: close",
            &format!("host: localhost:{port}"),
            "user-agent: cvm-agent",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn what_matches_the_fingerprint_has_to_have_issued_the_server() {
    let world = World::new();
    let stranger = Pki::new("stranger");
    // Somebody between, who passes on the true bundle.
    let bundle = world.pki.root.pem();
    let server = Server::start(stranger.server("localhost"), &stranger, move |_| {
        Answer::Reply(200, "", bundle.clone())
    });
    let result = health(&world, &server.url(), world.fingerprint());
    assert_eq!(distrust(result), Distrust::UnknownIssuer);
    assert_only_the_bundle_was_asked_for(&server, 1);
}

#[test]
fn a_bundle_that_is_none_is_not_believed() {
    let world = World::new();
    let too_long = "x".repeat(1024 * 1024 + 1);
    for (status, body) in [(200, "no PEM"), (404, ""), (302, ""), (200, &too_long)] {
        let body = body.to_owned();
        let server = world.server(move |_| Some(Answer::json(status, body.clone())));
        let found = distrust(health(&world, &server.url(), world.fingerprint()));
        assert!(matches!(found, Distrust::NoneMatches { .. }), "{status}");
    }
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let world = World::new();
    let server =
        Server::start(world.pki.server("elsewhere.example"), &world.pki, |_| Answer::HangUp);
    let result = health(&world, &server.url(), world.root_file());
    let Distrust::WrongName { expected, presented } = distrust(result) else {
        panic!("another reason");
    };
    assert_eq!(expected, "localhost");
    assert!(presented.contains("elsewhere.example"));
    // An address is a name too.
    let server = ok_server(&world);
    let result = health(&world, &server.address.to_string(), world.root_file());
    assert!(matches!(distrust(result), Distrust::WrongName { .. }));
}

#[test]
fn an_expired_certificate_is_not_believed_and_the_clock_is_named() {
    let world = World::new();
    let identity = world.pki.server_until("localhost", 2020);
    let server = Server::start(identity, &world.pki, |_| Answer::HangUp);
    let found = distrust(health(&world, &server.url(), world.root_file()));
    assert_eq!(
        found,
        Distrust::Expired {
            not_after: "2020-01-01T00:00:00Z".to_owned(),
            now: "2026-06-01T00:00:00Z".to_owned(),
        }
    );
    assert!(found.to_string().contains("clock"));
}

#[test]
fn what_does_not_speak_tls_is_not_believed() {
    let world = World::new();
    let server = Server::listen(|mut stream, _| {
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let found = distrust(health(&world, &server.url(), world.root_file()));
    assert_eq!(found, Distrust::NotTls);
}

#[test]
fn without_trust_nothing_is_connected() {
    let fault = Client::builder("localhost:1").build().unwrap_err();
    assert_eq!(fault.exit_code(), 76);
}

#[test]
fn nobody_there_and_nobody_answering_is_for_later() {
    let world = World::new();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("https://localhost:{port}");
    let fault = health(&world, &url, world.root_file()).unwrap_err();
    assert_eq!(fault.exit_code(), 75, "{fault}");
    // Accepts, and is silent until the client gives up.
    let server = Server::listen(|stream, heard| {
        heard.lock().push(Vec::new());
        drop(std::io::Read::bytes(stream).last());
    });
    let client = builder(&world, &server.url(), world.root_file())
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let fault = client.get("/healthz").send().unwrap_err();
    assert_eq!(fault.exit_code(), 75, "{fault}");
}

#[test]
fn a_root_file_that_is_missing_or_no_root_is_a_local_fault() {
    let world = World::new();
    let file = world.home.path().join("bad.pem");
    let check = |expected: &str| {
        let fault = health(&world, "localhost:1", Trust::RootFile(file.clone())).unwrap_err();
        assert_eq!(fault.exit_code(), 77);
        assert!(fault.to_string().contains(expected), "{fault}");
    };
    check("reading");
    std::fs::write(&file, "nothing").unwrap();
    check("holds no certificate");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, garbage).unwrap();
    check("cannot be used as a root");
}

#[test]
fn requests_carry_what_they_were_given() {
    let world = World::new();
    let server = world.server(|_| Some(Answer::json(201, r#"{"token": "sesame"}"#.to_owned())));
    let client = builder(&world, &server.url(), world.root_file())
        .bearer(SecretText::new(Zeroizing::new(ADMIN.to_owned())))
        .build()
        .unwrap();
    let path = format!("/v1/devices/{}:disable", encode_segment("a/b:c"));
    let answer = client
        .post(&path)
        .query("limit", "1 0")
        .query("q", "a&b")
        .idempotency_key("k-1")
        .json(&json!({"serialNumber": "SN"}))
        .send()
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().unwrap()["token"], "sesame");
    let heard = String::from_utf8(server.heard.lock()[0].clone()).unwrap();
    for expected in [
        "POST /v1/devices/a%2Fb%3Ac:disable?limit=1%200&q=a%26b HTTP/1.1\r\n",
        "authorization: Bearer admin-token-NOBODY-MAY-SEE\r\n",
        "idempotency-key: k-1\r\n",
        "content-type: application/json\r\n",
        "\r\n\r\n{\"serialNumber\":\"SN\"}",
    ] {
        assert!(heard.contains(expected), "{expected} in {heard}");
    }
    let printed = format!("{client:?} {answer:?} {:?}", client.put("/x"));
    assert!(!printed.contains(ADMIN) && !printed.contains("sesame"));
}

#[test]
fn an_answer_has_a_bound() {
    let world = World::new();
    for (length, code) in [(1024 * 1024 - 2, None), (1024 * 1024, Some(1))] {
        let body = format!("\"{}\"", "x".repeat(length));
        let server = world.server(move |_| Some(Answer::json(200, body.clone())));
        let client = builder(&world, &server.url(), world.root_file());
        let result = client.build().unwrap().get("/v1/devices").fetch::<String>();
        assert_eq!(result.err().map(|fault| fault.exit_code()), code);
    }
}

#[test]
fn a_request_has_a_bound() {
    let world = World::new();
    let server = ok_server(&world);
    let client = builder(&world, &server.url(), world.root_file()).build().unwrap();
    let body = "x".repeat(64 * 1024 - 1);
    let fault = client.post("/x").json(&body).send().unwrap_err();
    assert_eq!(fault.exit_code(), 2);
    assert!(server.heard.lock().is_empty());
    let answer = client.post("/x").json(&body[1..].to_owned()).send();
    assert_eq!(answer.unwrap().status(), 401);
}

#[test]
fn a_redirect_is_not_followed() {
    let world = World::new();
    let server =
        world.server(|_| Some(Answer::Reply(307, "location: /elsewhere\r\n", String::new())));
    let client = builder(&world, &server.url(), world.root_file()).build().unwrap();
    let fault = client.get("/v1/devices").fetch::<Value>().unwrap_err();
    assert_eq!(fault.exit_code(), 1);
    assert_eq!(client.get("/").send().unwrap().status(), 307);
}

#[test]
fn refusals_are_told_by_blame() {
    let world = World::new();
    for (status, code) in [(202, 75), (401, 1), (403, 1), (409, 1), (429, 75), (503, 75)] {
        let server = world.server(move |_| Some(problem(status, "slug", "retry-after: 7\r\n")));
        let client = builder(&world, &server.url(), world.root_file()).build().unwrap();
        let fault = client.get("/v1/devices").fetch::<Value>().unwrap_err();
        assert_eq!(fault.exit_code(), code, "{status}");
        assert_eq!(fault.attempt(), Some("K7QF2-M8WXA"));
        assert_eq!(fault.refusal().unwrap().status, status);
        let asked = (code == 75).then(|| Duration::from_secs(7));
        assert_eq!(fault.retry_after(), asked, "{status}");
        assert!(fault.to_string().contains("as the test wants it"));
    }
}

#[test]
fn what_is_not_json_is_not_repeated() {
    let world = World::new();
    let server = world.server(|_| Some(Answer::json(200, "sesame".to_owned())));
    let client = builder(&world, &server.url(), world.root_file()).build().unwrap();
    let fault = client.get("/x").fetch::<Value>().unwrap_err();
    assert_eq!(fault.exit_code(), 1);
    assert!(!format!("{fault} {fault:?}").contains("sesame"));
}
