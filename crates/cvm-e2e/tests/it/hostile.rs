//! Bad input of every kind: a clear problem document, never a 500, never a panic, and the server
//! works on.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use cvm_e2e::{Environment, Key, Response};
use serde_json::json;

/// A request with this body, whatever it is.
fn post(environment: &Environment, body: &[u8]) -> Response {
    let head = format!(
        "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    environment.device_client().unwrap().exchange(&request).unwrap()
}

/// What a refusal must look like, whatever was sent.
fn assert_problem(what: &str, answer: &Response) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert!(answer.head.contains("application/problem+json"), "{what}: {answer:?}");
    assert!(!answer.text("detail").is_empty() && !answer.slug().is_empty(), "{what}: {answer:?}");
    assert_eq!(answer.text("attempt").len(), 11, "{what}: {answer:?}");
}

fn assert_alive(environment: &Environment) {
    let token = environment.device_add("SN-alive").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-alive", &token, &csr).unwrap().status, 201);
    let log = environment.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn bodies_of_every_bad_kind() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let good = json!({"serialNumber": "SN-1", "token": token, "csr": csr}).to_string();
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("white space", b"  \n ".to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a number", b"1e999999".to_vec()),
        ("no fields", b"{}".to_vec()),
        ("truncated", good.as_bytes()[..good.len() / 2].to_vec()),
        ("followed by more", format!("{good}{good}").into_bytes()),
        ("deeply nested", nested(30_000).into_bytes()),
        (
            "nested objects",
            format!("{}1{}", "{\"a\":".repeat(9_000), "}".repeat(9_000)).into_bytes(),
        ),
        ("twice the same field", good.replacen('{', "{\"token\":\"x\",", 1).into_bytes()),
        ("NUL bytes", good.replace("SN-1", "SN\0").into_bytes()),
        ("a token that is a number", good.replace(&format!("\"{token}\""), "17").into_bytes()),
        ("a CSR that is a list", br#"{"serialNumber":"a","token":"b","csr":["c"]}"#.to_vec()),
        ("invalid UTF-8", [b"{\"serialNumber\":\"\xff\xfe\"".as_slice(), b"}"].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat()),
        ("half a surrogate", br#"{"serialNumber":"\ud800","token":"x","csr":"y"}"#.to_vec()),
        ("65,536 bytes of spaces", vec![b' '; 65_536]),
        ("one byte too many", [good.as_bytes(), &vec![b' '; 65_537 - good.len()]].concat()),
        ("huge", vec![b'{'; 300_000]),
    ];
    for (what, body) in &cases {
        let answer = post(&environment, body);
        assert_problem(what, &answer);
        assert!(!answer.body.contains(&token), "{what}: the token comes back");
        if body.len() > 65_536 {
            assert_eq!((answer.status, answer.slug().as_str()), (413, "too-large"), "{what}");
        }
    }
    let padded = [good.as_bytes(), &vec![b' '; 65_536 - good.len()]].concat();
    assert_eq!(post(&environment, &padded).status, 201, "exactly 64 KiB are read");
    assert_alive(&environment);
}

#[test]
fn requests_of_every_bad_kind() {
    let environment = Environment::start(&[]).unwrap();
    let client = environment.device_client().unwrap();
    let head = "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    let answered: [(&str, String, u16); 7] = [
        ("no media type", format!("{head}Content-Length: 2\r\n\r\n{{}}"), 415),
        ("text", format!("{head}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"), 415),
        (
            "chunked beyond the limit",
            format!(
                "{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n{}\r\n0\r\n\r\n",
                " ".repeat(0x11170)
            ),
            413,
        ),
        (
            "a method nobody knows",
            String::from("BREW /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            405,
        ),
        (
            "a path with dots",
            String::from("GET /v1/../admin-token HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            404,
        ),
        (
            "a path with NUL",
            String::from("GET /v1/%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            404,
        ),
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "a".repeat(9_000)),
            404,
        ),
    ];
    for (what, request, status) in answered {
        let answer = client.exchange(request.as_bytes()).unwrap();
        assert_problem(what, &answer);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    // What is no HTTP, or too large a head, is cut off by the HTTP library: an answer of its own or
    // none, and never a 5xx.
    let cut_off = [
        String::from("\0\0\0\0\r\n\r\n"),
        String::from("GET / HTTP/9.9\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(40_000)),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(500)),
        String::from(
            "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        ),
        String::from("POST /v1/certificates HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"),
    ];
    for request in cut_off {
        if let Ok(answer) = client.exchange(request.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    assert_alive(&environment);
}

#[test]
fn certificate_requests_of_every_bad_kind() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let label = "CERTIFICATE REQUEST";
    let body: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let wrap = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let long_form = base64_of(&[0x30, 0x84, 0x00, 0x00, 0x00, 0x01, 0x00]);
    let indefinite = base64_of(&[0x30, 0x80, 0x00, 0x00]);
    let deep = base64_of(&nested_der(2_000));
    let cases = [
        ("nothing", String::new()),
        ("no PEM", String::from("MIIB")),
        ("an empty block", wrap(label, "")),
        ("no base64", wrap(label, "!!!!")),
        ("half of it", wrap(label, &body[..body.len() / 2])),
        ("another label", wrap("CERTIFICATE", &body)),
        ("text behind it", format!("{csr}trailing")),
        ("text before it", format!("leading\n{csr}")),
        ("two of them", format!("{csr}{csr}")),
        ("lengths that are not minimal", wrap(label, &long_form)),
        ("indefinite length", wrap(label, &indefinite)),
        ("deeply nested", wrap(label, &deep)),
        ("30 kB of zeros", wrap(label, &"A".repeat(40_000))),
        ("no end", csr.replace("-----END", "")),
        ("NUL in it", csr.replacen('M', "\0", 1)),
    ];
    for (what, csr) in &cases {
        let answer = environment.vend("SN-1", &token, csr).unwrap();
        assert_problem(what, &answer);
        assert_eq!(
            (answer.status, answer.slug().as_str()),
            (400, "invalid-csr"),
            "{what}: {answer:?}"
        );
    }
    for at in [20, 60, 100, body.len() - 20] {
        let mut flipped = body.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let csr = wrap(label, std::str::from_utf8(&flipped).unwrap());
        let answer = environment.vend("SN-1", &token, &csr).unwrap();
        assert_problem("a bit flipped", &answer);
    }
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201, "the token is unspent");
    assert_alive(&environment);
}

#[test]
fn a_csr_with_thousands_of_attributes_is_refused_quickly() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    for count in [900, 3_000] {
        let csr = many_attributes(count);
        let began = Instant::now();
        let answer = environment.vend("SN-1", &token, &csr).unwrap();
        let said = (answer.status, answer.slug());
        assert_eq!(said, (400, String::from("invalid-csr")), "{count}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert_alive(&environment);
}

#[test]
fn slow_and_silent_clients_are_cut_off_and_hold_up_nobody() {
    let settings = [
        ("limits.handshake_seconds", "1"),
        ("limits.header_seconds", "1"),
        ("limits.request_seconds", "1"),
    ];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let mut silent = std::net::TcpStream::connect(environment.ready("http")).unwrap();
    let mut in_head = client.connect().unwrap();
    in_head.write_all(b"GET /healthz HT").unwrap();
    let mut in_body = client.connect().unwrap();
    in_body
        .write_all(b"POST /v1/certificates HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        .unwrap();
    assert_alive(&environment);
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0_u8; 64];
    assert!(matches!(silent.read(&mut bytes), Ok(0) | Err(_)), "no handshake: cut off");
    let mut rest = Vec::new();
    let _cut = in_head.read_to_end(&mut rest);
    let mut answer = Vec::new();
    let _cut = in_body.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_alive_again(&environment);
}

#[test]
fn one_address_cannot_take_every_connection_and_a_trusted_one_may() {
    let settings = [("limits.connections", "8"), ("limits.connections_per_address", "4")];
    let environment = Environment::start(&settings).unwrap();
    let client = environment.device_client().unwrap();
    let hold = || {
        let mut stream = client.connect().unwrap();
        let shaken = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut answer = [0_u8; 12];
        shaken.and_then(|()| stream.read_exact(&mut answer)).map(|()| stream)
    };
    let mut held: Vec<_> = (0..4).map(|_| hold().unwrap()).collect();
    assert!(hold().is_err(), "the fifth is closed");
    held.pop();
    cvm_e2e::wait_for("a place", Duration::from_secs(20), || Ok(hold().ok())).unwrap();

    let trusted = [&settings[..], &[("limits.trusted_networks", "[\"127.0.0.0/8\"]")]].concat();
    let environment = Environment::start(&trusted).unwrap();
    let client = environment.device_client().unwrap();
    let held: Vec<_> = (0..6).map(|_| client.connect().unwrap()).collect();
    assert_alive_again(&environment);
    assert_eq!(held.len(), 6);
}

#[test]
fn hanging_up_does_not_escape_the_limit_of_refusals() {
    let environment = Environment::start(&[("limits.refusals_per_address", "\"10/1h\"")]).unwrap();
    let client = environment.device_client().unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let body = json!({"serialNumber": "SN-9", "token": "no token of any device", "csr": csr});
    // Of those that hang up so quickly many never arrive, and some only in part.
    for _ in 0..200 {
        client.send_and_hang_up("POST", "/v1/certificates", &body).unwrap();
    }
    let answer = client.request("POST", "/v1/certificates", &[], Some(&body)).unwrap();
    assert_eq!((answer.status, answer.slug().as_str()), (429, "slow-down"), "{answer:?}");
}

fn assert_alive_again(environment: &Environment) {
    let response = environment.device_client().unwrap().request("GET", "/healthz", &[], None);
    assert_eq!(response.unwrap().status, 200);
}

fn base64_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[usize::try_from(bits & 63).unwrap()]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let padded = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = padded.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            text.push(if place <= chunk.len() { digit(bits >> shift) } else { '=' });
        }
    }
    text
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 128 => out.push(short),
        _ => out.extend([
            0x82,
            u8::try_from(length >> 8).unwrap(),
            u8::try_from(length & 255).unwrap(),
        ]),
    }
    out.extend(content);
    out
}

fn nested_der(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![0x05, 0x00], |inner, _| tlv(0x30, &inner))
}

/// A well-formed request, but for its signature, with `count` attributes.
fn many_attributes(count: usize) -> String {
    let one = tlv(0x30, &[tlv(0x06, &[0x2A, 0x03]), tlv(0x31, &tlv(0x0C, b"x"))].concat());
    let attributes = tlv(0xA0, &one.repeat(count));
    let curve = [
        tlv(0x06, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]),
        tlv(0x06, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]),
    ];
    let point = [vec![0x00, 0x04], vec![0x11; 64]].concat();
    let spki = tlv(0x30, &[tlv(0x30, &curve.concat()), tlv(0x03, &point)].concat());
    let info = tlv(0x30, &[tlv(0x02, &[0]), tlv(0x30, &[]), spki, attributes].concat());
    let algorithm = tlv(0x30, &tlv(0x06, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]));
    let csr = tlv(0x30, &[info, algorithm, tlv(0x03, &[0, 1, 2, 3])].concat());
    let body = base64_of(&csr);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}
