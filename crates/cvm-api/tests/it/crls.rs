//! CRLs and CA certificates: where they are, how long they may be kept, and the listener without
//! TLS that has nothing else.

use std::time::Duration;

use cvm_api::{Limits, Serving, Side, serve_plain};
use cvm_core::time::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{NOW, World, request};

/// The one CA of the fake signer.
const ISSUER: &str = "0707070707070707070707070707070707070707";

#[tokio::test]
async fn a_crl_is_answered_to_anyone_and_may_be_kept_for_five_minutes() {
    let world = World::new().await;
    let path = format!("/v1/crl/{ISSUER}/5a.crl");
    let reply = world.device("GET", &path, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/pkix-crl");
    assert_eq!(reply.headers["cache-control"], "public, max-age=300");
    assert_eq!(reply.text(), format!("crl {} of {NOW}: ", NOW.0));
    assert_eq!(world.device("GET", &path, "").await.body, reply.body);
    let head = world.device("HEAD", &path, "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(world.issuer.signed(), 1);
    world.issuer.fail(true);
    world.clock.set(NOW.plus(Span(Span::DAY.0 - 7)));
    let old = world.device("GET", &path, "").await;
    assert_eq!(old.headers["cache-control"], "public, max-age=7", "until its nextUpdate");
    world.clock.set(NOW.plus(Span(2 * Span::DAY.0)));
    let refused = world.device("GET", &path, "").await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
}

#[tokio::test]
async fn a_ca_certificate_is_answered_to_anyone() {
    let world = World::new().await;
    let reply = world.device("GET", &format!("/v1/ca/{ISSUER}.cer"), "").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "devices CA"));
    assert_eq!(reply.headers["content-type"], "application/pkix-cert");
    assert_eq!(reply.headers["cache-control"], "public, max-age=86400");
}

#[tokio::test]
async fn what_names_no_list_and_no_ca_is_404_and_signs_nothing() {
    let world = World::new().await;
    let other = "0808080808080808080808080808080808080808";
    for path in [
        format!("/v1/crl/{other}/5a.crl"),
        format!("/v1/crl/{}/5a.crl", &ISSUER[1..]),
        format!("/v1/crl/{ISSUER}/5A.crl"),
        format!("/v1/crl/{ISSUER}/5a"),
        format!("/v1/crl/{ISSUER}/5a.crl.crl"),
        format!("/v1/crl/{ISSUER}/5.crl"),
        format!("/v1/crl/{ISSUER}/.crl"),
        format!("/v1/crl/{ISSUER}/%FF.crl"),
        format!("/v1/ca/{other}.cer"),
        format!("/v1/ca/{ISSUER}"),
        format!("/v1/ca/{ISSUER}.crl"),
    ] {
        let reply = world.device("GET", &path, "").await;
        assert_eq!(reply.problem(), (404, "not-found".into()), "{path}");
    }
    let operator = world.operator("GET", &format!("/v1/crl/{ISSUER}/5a.crl"), "").await;
    assert_eq!(operator.problem(), (404, "not-found".into()), "the other listener");
    assert_eq!(world.issuer.signed(), 0);
}

#[tokio::test]
async fn without_tls_there_is_nothing_else_whatever_the_settings_say() {
    let world = World::with(|settings| settings.operator_on_device_listener = true, |ports| ports);
    let world = world.await;
    for path in ["/", "/healthz", "/readyz", "/v1/trust-bundle", "/v1/devices", "/problems/x"] {
        let reply = world.ask(Side::Plain, request("GET", path, "")).await;
        assert_eq!(reply.problem(), (404, "not-found".into()), "{path}");
    }
    for path in ["/v1/certificates", "/v1/certificates/confirm", "/v1/devices"] {
        let reply = world.ask(Side::Plain, request("POST", path, "{}")).await;
        assert_eq!(reply.problem(), (404, "not-found".into()), "{path}");
    }
    let path = format!("/v1/crl/{ISSUER}/5a.crl");
    let reply = world.ask(Side::Plain, request("POST", &path, "")).await;
    assert_eq!(reply.problem(), (405, "method-not-allowed".into()));
    assert_eq!(world.ask(Side::Plain, request("GET", &path, "")).await.status, 200);
}

async fn plain(limits: Limits) -> (Serving, World) {
    let world = World::with(|settings| settings.limits = limits, |ports| ports).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (serve_plain(listener, &world.api).unwrap(), world)
}

async fn ask(serving: &Serving, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(serving.local_addr()).await.unwrap();
    // It may be closed already.
    drop(stream.write_all(request).await);
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // Cut off or closed: what matters is what was said before, and that it ends.
    let reading = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    drop(reading.await.expect("the connection ends"));
    String::from_utf8(answer).unwrap()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_crl_comes_over_plain_http() {
    let (serving, _world) = plain(Limits::default()).await;
    let answer = ask(&serving, &get(&format!("/v1/crl/{ISSUER}/5a.crl"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("crl {} of {NOW}: ", NOW.0)), "{answer}");
    let refused = ask(&serving, &get("/v1/trust-bundle")).await;
    assert!(refused.starts_with("HTTP/1.1 404 Not Found\r\n"), "{refused}");
    // Neither TLS nor HTTP/2 is spoken here.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    assert!(!ask(&serving, hello).await.contains("200"));
    let http2 = ask(&serving, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!http2.contains("200"), "{http2}");
    timeout(Duration::from_secs(5), serving.drain()).await.expect("it drains");
}

#[tokio::test]
async fn who_is_slow_or_silent_without_tls_is_cut_off_too() {
    let limits =
        Limits { header_seconds_max: 1, connections_per_address_max: 2, ..Limits::default() };
    let (serving, _world) = plain(limits).await;
    let mut silent = TcpStream::connect(serving.local_addr()).await.unwrap();
    let mut slow = TcpStream::connect(serving.local_addr()).await.unwrap();
    slow.write_all(b"GET /v1/crl HTTP/1.1\r\n").await.unwrap();
    let third = ask(&serving, &get("/")).await;
    assert_eq!(third, "", "closed without a word");
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut slow).await, "");
    assert!(ask(&serving, &get("/")).await.starts_with("HTTP/1.1 404"));
}
