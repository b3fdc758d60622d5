//! Connections: how many, how long a handshake, a header and idleness may take, what a client shows.

use std::io::{BufRead as _, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Client, Environment, Key, wait_for};
use rcgen::{CertificateParams, KeyPair};

use super::{
    NEIGHBOUR, SOON, assert_others_are_served, health, held_open, neighbour, rest,
    wait_until_served,
};

const TRUST_LOOPBACK: (&str, &str) = ("limits.trusted_networks", "[\"127.0.0.0/8\"]");

/// Nothing is said within a second, and nothing cut off.
fn says_nothing(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let waited = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    [Err(std::io::ErrorKind::WouldBlock), Err(std::io::ErrorKind::TimedOut)].contains(&waited)
}

#[test]
fn the_last_connection_is_served_and_the_next_waits_for_a_place() {
    let environment = Environment::start(&[("limits.connections", "3"), TRUST_LOOPBACK]).unwrap();
    let client = environment.device_client().unwrap();
    let mut held: Vec<_> = (0..3).map(|_| held_open(&client).unwrap()).collect();
    let mut waiting = client.connect().unwrap();
    waiting.sock.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(waiting.write_all(request).is_err(), "its handshake is not answered");
    // The operator listener has places of its own.
    assert_eq!(environment.operate("GET", "/v1/devices", None).unwrap().status, 200);
    held.pop();
    waiting.sock.set_read_timeout(Some(SOON)).unwrap();
    waiting.write_all(request).unwrap();
    assert!(rest(&mut waiting).starts_with("HTTP/1.1 200"));
}

#[test]
fn an_address_has_its_part_of_the_connections_and_others_have_the_rest() {
    let settings = [("limits.connections", "8"), ("limits.connections_per_address", "2")];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let mut held: Vec<_> = (0..2).map(|_| held_open(&client).unwrap()).collect();
    assert!(held_open(&client).is_err(), "the third is closed");
    assert_others_are_served(&environment);
    held.pop();
    wait_until_served(&client);
}

#[test]
fn a_handshake_that_does_not_end_in_time_is_cut_off() {
    let environment = Environment::start(&[("limits.handshake_seconds", "1")]).unwrap();
    let mut silent = TcpStream::connect(environment.ready("http")).unwrap();
    let mut dripping = TcpStream::connect(environment.ready("http")).unwrap();
    for stream in [&silent, &dripping] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    // A record of 512 bytes, of which one comes now and then.
    dripping.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC]).unwrap();
    let cut = wait_for("the end of a handshake", SOON, || {
        std::thread::sleep(Duration::from_millis(50));
        Ok(dripping.write_all(&[3]).err())
    });
    assert!(cut.is_ok(), "{cut:?}");
    assert_eq!(rest(&mut silent), "");
    assert_others_are_served(&environment);
}

#[test]
fn a_handshake_message_beyond_64_kib_is_refused_at_once() {
    let environment = Environment::start(&[("limits.handshake_seconds", "600")]).unwrap();
    let hello = |length: [u8; 3]| {
        let mut stream = TcpStream::connect(environment.ready("http")).unwrap();
        stream.write_all(&[&[0x16, 3, 1, 0, 4, 1], &length[..]].concat()).unwrap();
        stream
    };
    assert!(says_nothing(&mut hello([0, 0xFF, 0xFF])), "the rest of it is waited for");
    let mut beyond = hello([1, 0, 0]);
    beyond.set_read_timeout(Some(SOON)).unwrap();
    rest(&mut beyond);
    assert_others_are_served(&environment);
}

#[test]
fn a_client_shows_as_many_bytes_of_certificates_as_it_may_and_not_one_more() {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::default().self_signed(&key).unwrap();
    let chain = leaf.pem().repeat(5);
    let bytes = leaf.der().len() * 5;
    for (bytes_max, is_served) in [(bytes, true), (bytes - 1, false)] {
        let setting = ("limits.client_chain_bytes", &*bytes_max.to_string());
        let environment = Environment::start(&[setting]).unwrap();
        let key = Key::from_pem(&key.serialize_pem()).unwrap();
        let client = environment.certificate_client(&chain, &key).unwrap();
        let answer = client.request("GET", "/healthz", &[], None);
        assert_eq!(answer.is_ok_and(|it| it.status == 200), is_served, "{bytes_max} of {bytes}");
        assert_others_are_served(&environment);
    }
}

/// Has `openssl s_client` update its keys, or renegotiate, so often; and what is answered then.
fn openssl_asks_again(
    environment: &Environment,
    version: &str,
    command: &str,
    times: u32,
) -> String {
    let address = environment.ready("http");
    let mut child = Command::new("openssl")
        .args(["s_client", version, "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, said) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
    let mut said = std::io::BufReader::new(said);
    for _ in 0..times {
        // One at a time: it takes what comes at once for one command.
        let _ended = input.write_all(format!("{command}\n").as_bytes());
        let mut line = String::new();
        while !["KEYUPDATE", "RENEGOTIATING"].contains(&line.trim()) {
            line.clear();
            if said.read_line(&mut line).unwrap() == 0 {
                break;
            }
        }
    }
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let _ended = input.write_all(request);
    let output = child.wait_with_output().unwrap();
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn keys_are_not_updated_for_ever_and_nothing_is_renegotiated() {
    let environment = Environment::start(&[]).unwrap();
    for (version, command, times, is_served) in [
        ("-tls1_3", "K", 32, true),
        ("-tls1_3", "K", 33, false),
        ("-tls1_2", "R", 0, true),
        ("-tls1_2", "R", 1, false),
    ] {
        let said = openssl_asks_again(&environment, version, command, times);
        assert_eq!(said.contains("HTTP/1.1 200"), is_served, "{version}, {times}: {said}");
        assert_others_are_served(&environment);
    }
}

#[test]
fn a_header_that_does_not_end_in_time_is_cut_off() {
    let environment = Environment::start(&[("limits.header_seconds", "2")]).unwrap();
    let client = environment.device_client().unwrap();
    let mut in_two_parts = client.connect().unwrap();
    in_two_parts.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    in_two_parts.write_all(b"st: h\r\nConnection: close\r\n\r\n").unwrap();
    assert!(rest(&mut in_two_parts).starts_with("HTTP/1.1 200"));

    let mut dripping = client.connect().unwrap();
    dripping.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
    wait_for("the end of a header", SOON, || {
        std::thread::sleep(Duration::from_millis(50));
        Ok(dripping.write_all(b"x").and_then(|()| dripping.flush()).err())
    })
    .unwrap();
    assert_others_are_served(&environment);
}

#[test]
fn a_connection_that_asks_nothing_is_closed_in_the_end() {
    let environment = Environment::start(&[("limits.idle_seconds", "1")]).unwrap();
    let mut idle = held_open(&environment.device_client().unwrap()).unwrap();
    // The body of the answer may come, and then the end: no answer that nobody asked for.
    assert!(!rest(&mut idle).contains("HTTP/1.1"));

    let patient = Environment::start(&[("limits.idle_seconds", "600")]).unwrap();
    let idle = held_open(&patient.device_client().unwrap()).unwrap();
    let mut socket = idle.sock.try_clone().unwrap();
    // What may still come is the body of the answer.
    wait_for("quiet", SOON, || Ok(says_nothing(&mut socket).then_some(()))).unwrap();
    assert_eq!(health(&patient.device_client().unwrap()), 200);
}

#[test]
fn one_who_reads_metrics_is_served_in_the_last_place_and_the_next_waits() {
    let environment = Environment::start(&[("limits.metrics_connections", "2")]).unwrap();
    let connect = || TcpStream::connect(environment.ready("metrics")).unwrap();
    let ask = |mut stream: TcpStream| {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream
    };
    let silent = connect();
    let mut second = ask(connect());
    second.set_read_timeout(Some(SOON)).unwrap();
    assert!(rest(&mut second).starts_with("HTTP/1.1 200"));

    let also_silent = connect();
    let mut waiting = ask(connect());
    assert!(says_nothing(&mut waiting), "both places are taken");
    assert_others_are_served(&environment);
    drop((silent, also_silent));
    waiting.set_read_timeout(Some(SOON)).unwrap();
    assert!(rest(&mut waiting).starts_with("HTTP/1.1 200"));
}

/// The status line of a request to a listener without TLS, whose head is `bytes` long.
fn plain_head_of(address: &str, path: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nConnection: close\r\nX: ");
    let padding = "x".repeat(bytes - head.len() - 4);
    // It may be refused before it is read to its end.
    let _broken_pipe = stream.write_all(format!("{head}{padding}\r\n\r\n").as_bytes());
    rest(&mut stream).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_head_for_metrics_fits_at_8_kib_and_not_past_it() {
    let environment = Environment::start(&[]).unwrap();
    let ask = |bytes| plain_head_of(&environment.ready("metrics"), "/metrics", bytes);
    assert_eq!(ask(8_192), "HTTP/1.1 200 OK");
    assert_eq!(ask(8_193), "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(ask(8_192), "HTTP/1.1 200 OK");
}

#[test]
fn the_listener_without_tls_has_the_same_limits() {
    let settings = [
        ("http.plain_listen", "127.0.0.1:0"),
        ("limits.connections", "8"),
        ("limits.connections_per_address", "2"),
        ("limits.header_seconds", "2"),
        ("limits.header_bytes", "1024"),
    ];
    let environment = Environment::start(&settings).unwrap();
    let ask = |bytes| plain_head_of(&environment.ready("plain"), "/", bytes);
    assert_eq!(ask(1_024), "HTTP/1.1 404 Not Found");
    assert_eq!(ask(1_025), "HTTP/1.1 431 Request Header Fields Too Large");

    let silent = || {
        let stream = TcpStream::connect(environment.ready("plain")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let mut held = [silent(), silent()];
    let mut third = silent();
    assert_eq!(rest(&mut third), "", "an address has two");
    assert_eq!(rest(&mut held[0]), "", "no header comes");
}

#[test]
fn an_ipv4_neighbour_is_another_address() {
    let environment = Environment::start(&[]).unwrap();
    let client: Client = neighbour(&environment);
    let stream = client.connect().unwrap();
    assert_eq!(stream.sock.local_addr().unwrap().ip().to_string(), NEIGHBOUR);
    assert_eq!(health(&client), 200);
}
