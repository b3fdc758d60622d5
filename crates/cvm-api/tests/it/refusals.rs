//! The contract's table of refusals, row by row.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Device, Moved, MovedBy};
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change, Store as _};
use cvm_core::testing::{test_bad_csr, test_csr};
use cvm_core::time::Span;
use serde_json::json;

use crate::harness::{NOW, TOKEN, World};

/// Changes a device as no route can yet.
pub(crate) async fn change(
    world: &World,
    serial: &str,
    certificates: Vec<CertificateChange>,
    alter: impl FnOnce(&mut Device),
) {
    let serial = serial.parse().unwrap();
    let mut device = world.store.device_find(&serial).await.unwrap().unwrap();
    alter(&mut device);
    let change = Change::new(device, certificates, Vec::new());
    world.store.device_commit(change).await.unwrap();
}

async fn vended(world: &World, serial: &str) -> CertificateId {
    world.register(serial, json!({})).await;
    let reply = world.vend(serial, TOKEN, &test_csr(serial)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["certificateId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn another_key_for_a_valid_token_is_409() {
    let world = World::new().await;
    vended(&world, "SN-1").await;
    let refused = world.vend("SN-1", TOKEN, &test_csr("another")).await;
    assert_eq!(refused.problem(), (409, "already-issued".into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_csr_is_said_to_the_holder_of_a_valid_token() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let said = async |csr: &str| world.vend("SN-1", TOKEN, csr).await.problem();
    assert_eq!(said("hello").await, (400, "invalid-csr".into()));
    assert_eq!(said("").await, (400, "invalid-csr".into()));
    assert_eq!(said(&test_bad_csr("k")).await, (400, "invalid-csr".into()));
    assert_eq!(said(&test_csr("server")).await, (400, "key-not-acceptable".into()));
    let body = json!({"serialNumber": "SN-1", "token": TOKEN}).to_string();
    let none = world.device("POST", "/v1/certificates", &body).await;
    assert_eq!(none.problem(), (400, "csr-required".into()));
    let refused = world.vend("SN-1", "a-wrong-token-altogether", "hello").await;
    assert_eq!(refused.problem(), (403, "access-denied".into()));
}

#[tokio::test]
async fn a_key_that_another_device_has_proven_is_not_acceptable() {
    let world = World::new().await;
    let id = vended(&world, "SN-1").await;
    assert_eq!(world.confirm(Some(id)).await.status, 204);
    world.register("SN-2", json!({})).await;
    let refused = world.vend("SN-2", TOKEN, &test_csr("SN-1")).await;
    assert_eq!(refused.problem(), (400, "key-not-acceptable".into()));
}

#[tokio::test]
async fn a_device_that_asks_too_often_waits_and_nothing_else() {
    let world = World::new().await;
    vended(&world, "SN-1").await;
    for _ in 0..9 {
        assert_eq!(world.vend("SN-1", TOKEN, &test_csr("SN-1")).await.status, 200);
    }
    let refused = world.vend("SN-1", TOKEN, &test_csr("SN-1")).await;
    assert_eq!(refused.problem(), (429, "slow-down".into()));
    let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 360);
    world.clock.set(NOW.plus(Span(720)));
    assert_eq!(world.vend("SN-1", TOKEN, &test_csr("SN-1")).await.status, 200);
}

#[tokio::test]
async fn what_is_down_is_503_and_the_same_request_succeeds_later() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let ask = async || world.vend("SN-1", TOKEN, &test_csr("k")).await;

    world.store.fail();
    assert_eq!(ask().await.problem(), (503, "unavailable".into()));
    assert_eq!(world.device("GET", "/readyz", "").await.problem(), (503, "unavailable".into()));
    assert_eq!(world.device("GET", "/healthz", "").await.status, 200);
    assert_eq!(world.device("GET", "/v1/trust-bundle", "").await.status, 200);
    let refused = world.operator("GET", "/v1/devices", "").await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
    assert!(!refused.text().contains("told to fail"));
    world.store.recover();
    assert_eq!(world.device("GET", "/readyz", "").await.status, 200);

    world.issuer.fail(true);
    assert_eq!(ask().await.problem(), (503, "unavailable".into()));
    world.issuer.fail(false);

    world.clock.trust(false);
    let refused = ask().await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
    assert_eq!(refused.headers["retry-after"], "30");
    world.clock.trust(true);
    assert_eq!(ask().await.status, 201);
}

#[tokio::test]
async fn confirming_needs_a_certificate_that_may_be_used() {
    let world = World::new().await;
    let said = async |id| world.confirm(id).await.problem();
    assert_eq!(said(None).await, (401, "certificate-required".into()));
    let unknown = CertificateId([7; 32]);
    assert_eq!(said(Some(unknown)).await, (403, "certificate-unknown".into()));

    let inactive = vended(&world, "SN-1").await;
    change(&world, "SN-1", Vec::new(), |device| device.disabled = true).await;
    assert_eq!(said(Some(inactive)).await, (403, "certificate-inactive".into()));

    for (serial, state, reason, slug) in [
        ("SN-2", CertificateState::Revoked, Reason::KeyCompromise, "certificate-revoked"),
        ("SN-3", CertificateState::Superseded, Reason::Superseded, "certificate-superseded"),
        ("SN-4", CertificateState::Dropped, Reason::Superseded, "certificate-superseded"),
    ] {
        let id = vended(&world, serial).await;
        let ended = CertificateChange::Move(
            Moved { id, state, reason: Some(reason), by: MovedBy::Act },
            NOW,
        );
        // Revoked and superseded are said before inactive.
        change(&world, serial, vec![ended], |device| {
            device.live.clear();
            device.disabled = true;
        })
        .await;
        assert_eq!(said(Some(id)).await, (403, slug.into()));
    }

    let expired = vended(&world, "SN-5").await;
    world.clock.set(NOW.plus(Span(366 * Span::DAY.0)));
    assert_eq!(said(Some(expired)).await, (403, "certificate-expired".into()));
}

#[tokio::test]
async fn routes_that_need_no_certificate_ignore_the_one_that_was_shown() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let peer = cvm_api::Peer {
        address: "192.0.2.1".parse().unwrap(),
        certificate: Some(CertificateId([7; 32])),
    };
    for (method, path) in [("GET", "/v1/trust-bundle"), ("POST", "/v1/certificates")] {
        let body = match method {
            "POST" => crate::harness::vend_body("SN-1", TOKEN, &test_csr("k")),
            _ => String::new(),
        };
        let mut request = crate::harness::request(method, path, &body);
        request.extensions_mut().insert(peer);
        assert!(world.ask(cvm_api::Side::Device, request).await.status.is_success());
    }
}
