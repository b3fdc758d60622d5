//! What is refused before any use case: routes, methods, media types, sizes, shapes, addresses.

use bytes::Bytes;
use cvm_api::{Peer, Side};
use cvm_core::id::CertificateId;
use cvm_core::testing::test_csr;
use cvm_core::time::Span;
use http::Request;
use serde_json::json;

use crate::harness::{NOW, TOKEN, World, request, vend_body};

#[tokio::test]
async fn what_is_not_here_is_404_and_another_method_405() {
    let world = World::new().await;
    for (method, path) in [("GET", "/"), ("GET", "/v1/renew"), ("POST", "/v1/certificates/x")] {
        assert_eq!(world.device(method, path, "").await.problem(), (404, "not-found".into()));
    }
    for action in ["rename", "none", "Disable"] {
        let path = format!("/v1/devices/SN-1:{action}");
        assert_eq!(world.operator("POST", &path, "").await.problem(), (404, "not-found".into()));
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/certificates", "POST"),
        ("GET", "/v1/certificates/confirm", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/trust-bundle", "GET, HEAD"),
    ] {
        let refused = world.device(method, path, "").await;
        assert_eq!(refused.problem(), (405, "method-not-allowed".into()));
        assert_eq!(refused.headers["allow"], allow);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    let head = world.device("HEAD", "/v1/trust-bundle", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "4");
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let send = |types: &[&str]| {
        let mut request = Request::post("/v1/certificates");
        for media_type in types {
            request = request.header("content-type", *media_type);
        }
        let body = Bytes::from(vend_body("SN-1", TOKEN, &test_csr("k")));
        world.ask(Side::Device, request.body(body).unwrap())
    };
    for bad in [&[][..], &["text/plain"], &["application/json", "application/json"]] {
        assert_eq!(send(bad).await.problem(), (415, "unsupported-media-type".into()));
    }
    assert_eq!(send(&["application/json; charset=UTF-8"]).await.status, 201);
}

#[tokio::test]
async fn a_body_fits_at_64_kib_and_not_past_it() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let padded = |length: usize| {
        let body = vend_body("SN-1", TOKEN, &test_csr("k"));
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    let fits = world.device("POST", "/v1/certificates", &padded(65_536)).await;
    assert_eq!(fits.status, 201, "{}", fits.text());
    let refused = world.device("POST", "/v1/certificates", &padded(65_537)).await;
    assert_eq!(refused.problem(), (413, "too-large".into()));
    let refused = world.operator("POST", "/v1/devices", &padded(1_000_000)).await;
    assert_eq!(refused.problem(), (413, "too-large".into()));
}

#[tokio::test]
async fn malformed_bodies_are_400_and_never_repeated() {
    let world = World::new().await;
    for body in [
        "{",
        "s3cret",
        r#"{"serialNumber": "SN-1", "token": ["s3cret"]}"#,
        r#"{"serialNumber": 7, "token": "s3cret"}"#,
        r#"{"serialNumber": "SN-1"}"#,
        r#"{"serialNumber": "SN-1", "token": "s3cret", "token": "s3cret"}"#,
        r#"{"serialNumber": "SN-1", "token": "s3cret", "csr": 5}"#,
        r#"{"serialNumber": "SN-1", "token": "s3cret", "keyAlgorithm": "s3cret"}"#,
        r#"{"serialNumber": "SN-1", "token": "s3cret\ud800"}"#,
        "{\"serialNumber\": \"SN-1\", \"token\": \"s3cret\0\"}",
        &"[".repeat(60_000),
    ] {
        let refused = world.device("POST", "/v1/certificates", body).await;
        assert_eq!(refused.problem(), (400, "invalid-request".into()));
        assert!(!refused.text().contains("s3cret"), "{}", refused.text());
    }
    let mut asked = request("POST", "/v1/certificates", "x");
    *asked.body_mut() = Bytes::from_static(b"{\"serialNumber\": \"\xFF\"}");
    let refused = world.ask(Side::Device, asked).await;
    assert_eq!(refused.problem(), (400, "invalid-request".into()));
}

#[tokio::test]
async fn headers_fit_at_64_fields_and_not_past_it() {
    let world = World::new().await;
    let send = |count: usize| {
        let mut request = Request::get("/healthz");
        for number in 0..count {
            request = request.header(format!("x-{number}"), "v");
        }
        world.ask(Side::Device, request.body(Bytes::new()).unwrap())
    };
    assert_eq!(send(64).await.status, 200);
    assert_eq!(send(65).await.problem(), (431, "header-too-large".into()));
}

/// A request of a device at `address`.
async fn from(world: &World, address: &str, body: &str) -> u16 {
    let mut asked = request("POST", "/v1/certificates", body);
    let peer = Peer { address: address.parse().unwrap(), certificate: None };
    asked.extensions_mut().insert(peer);
    world.ask(Side::Device, asked).await.status.as_u16()
}

#[tokio::test]
async fn an_address_is_refused_sixty_times_and_then_waits_and_its_neighbours_do_not() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let wrong = vend_body("SN-1", "a-wrong-token-altogether", &test_csr("k"));
    let right = vend_body("SN-1", TOKEN, &test_csr("k"));
    // Successes never count.
    for _ in 0..5 {
        assert!(from(&world, "192.0.2.1", &right).await < 300);
    }
    for _ in 0..60 {
        assert_eq!(from(&world, "192.0.2.1", &wrong).await, 403);
    }
    for _ in 0..3 {
        assert_eq!(from(&world, "192.0.2.1", &right).await, 429);
    }
    assert_eq!(from(&world, "::ffff:192.0.2.1", "{").await, 429);
    assert_eq!(from(&world, "192.0.2.2", &right).await, 200);
    // Waiting as long as was said is enough, however often it was asked meanwhile.
    world.clock.set(NOW.plus(Span(1)));
    assert_eq!(from(&world, "192.0.2.1", &right).await, 200);
}

#[tokio::test]
async fn what_is_ours_to_mend_does_not_count() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let right = vend_body("SN-1", TOKEN, &test_csr("k"));
    world.store.fail();
    for _ in 0..70 {
        assert_eq!(from(&world, "192.0.2.1", &right).await, 503);
    }
    world.store.recover();
    assert_eq!(from(&world, "192.0.2.1", &right).await, 201);
}

#[tokio::test]
async fn a_trusted_network_is_never_made_to_wait() {
    let trusted = vec!["192.0.2.0/24".parse().unwrap()];
    let world = World::with(|settings| settings.trusted_networks = trusted, |ports| ports).await;
    for _ in 0..70 {
        assert_eq!(from(&world, "192.0.2.1", "{").await, 400);
    }
    for _ in 0..60 {
        assert_eq!(from(&world, "198.51.100.1", "{").await, 400);
    }
    assert_eq!(from(&world, "198.51.100.1", "{").await, 429);
}

#[tokio::test]
async fn refused_confirmations_count_with_refused_certificates() {
    let world = World::with(
        |settings| settings.refusals_per_address = "2/1m".parse().unwrap(),
        |ports| ports,
    )
    .await;
    let unknown = Some(CertificateId([7; 32]));
    assert_eq!(world.confirm(unknown).await.status, 403);
    assert_eq!(from(&world, "192.0.2.1", "{").await, 400);
    let refused = world.confirm(unknown).await;
    assert_eq!(refused.problem(), (429, "slow-down".into()));
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(from(&world, "192.0.2.1", "{").await, 429);
}

#[tokio::test]
async fn what_belongs_to_no_device_is_told_by_its_code_as_well() {
    let world = World::new().await;
    let told = async |refused: crate::harness::Reply| {
        let code = refused.json()["attempt"].as_str().unwrap().to_owned();
        let list = world.operator("GET", &format!("/v1/attempts?code={code}"), "").await;
        let attempt = list.json()["items"][0].clone();
        assert!(!attempt["cure"].as_str().unwrap().is_empty(), "{attempt}");
        (attempt["outcome"].clone(), attempt["serialNumber"].clone(), attempt["steps"].clone())
    };
    let unknown = world.vend("SN-NOBODY", TOKEN, &test_csr("k")).await;
    let (outcome, serial, steps) = told(unknown).await;
    assert_eq!((outcome, serial), (json!("access-denied"), json!("SN-NOBODY")));
    assert_eq!(steps[0]["name"], "serial-number");

    let (outcome, serial, steps) = told(world.device("POST", "/v1/certificates", "{").await).await;
    assert_eq!((outcome, serial), (json!("invalid-request"), json!("?")));
    assert_eq!(steps[0]["name"], "request");

    let by_serial = world.operator("GET", "/v1/attempts?serialNumber=SN-NOBODY", "").await;
    assert_eq!(by_serial.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_belongs_to_no_device_takes_no_more_than_its_room() {
    let world = World::new().await;
    let first = world.vend("SN-NOBODY", TOKEN, &test_csr("k")).await;
    let code = first.json()["attempt"].as_str().unwrap().to_owned();
    let path = format!("/v1/attempts?code={code}");
    let is_known = async || world.operator("GET", &path, "").await.json()["items"] != json!([]);
    crate::harness::eventually(&is_known).await;
    for _ in 0..4_096 {
        world.device("GET", "/none", "").await;
    }
    assert!(!is_known().await, "pushed out by others");
}
