//! Vending and confirming in-process: the happy path and what travels on it.

use cvm_core::id::CertificateId;
use cvm_core::testing::test_csr;
use serde_json::json;

use crate::harness::{NOW, PUBLIC_URL, TOKEN, World, eventually};

#[tokio::test]
async fn a_device_gets_its_certificate_and_gets_it_again() {
    let world = World::new().await;
    world.register("SN-0001", json!({})).await;
    let first = world.vend("SN-0001", TOKEN, &test_csr("key")).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.headers["cache-control"], "no-store");
    let vended = first.json();
    assert_eq!(vended["thingName"], "SN-0001");
    assert_eq!(vended["serverTime"], NOW.to_string());
    assert_eq!(vended["endpoints"], json!({"https": PUBLIC_URL}));
    assert_eq!(vended["chain"], "devices CA");
    assert_eq!(vended["rootCa"], "root");
    assert!(vended["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(vended.get("privateKey").is_none());

    let again = world.vend("SN-0001", TOKEN, &test_csr("key")).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["certificateId"], vended["certificateId"]);
    assert_eq!(again.json()["certificate"], vended["certificate"]);
    assert_ne!(again.json()["attempt"], vended["attempt"]);
}

#[tokio::test]
async fn the_server_makes_the_key_where_the_profile_lets_it() {
    let world = World::new().await;
    world.register("SN-1", json!({"profile": "open"})).await;
    let body = json!({"serialNumber": "SN-1", "token": TOKEN, "keyAlgorithm": "RSA_2048"});
    let first = world.device("POST", "/v1/certificates", &body.to_string()).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let key = first.json()["privateKey"].as_str().unwrap().to_owned();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let again = world.device("POST", "/v1/certificates", &body.to_string()).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["privateKey"], key);
}

#[tokio::test]
async fn a_csr_wins_over_a_key_algorithm_and_an_unknown_algorithm_is_refused_all_the_same() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let body = |algorithm: &str| json!({"serialNumber": "SN-1", "token": TOKEN, "csr": "CSR k", "keyAlgorithm": algorithm});
    let refused = world.device("POST", "/v1/certificates", &body("DSA").to_string()).await;
    assert_eq!(refused.problem(), (400, "invalid-request".into()));
    let vended = world.device("POST", "/v1/certificates", &body("RSA_2048").to_string()).await;
    assert_eq!(vended.status, 201);
    assert!(vended.json().get("privateKey").is_none());
}

#[tokio::test]
async fn a_certificate_is_confirmed_by_its_first_use_and_again() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let vended = world.vend("SN-1", TOKEN, &test_csr("key")).await.json();
    let id: CertificateId = vended["certificateId"].as_str().unwrap().parse().unwrap();
    for _ in 0..2 {
        let confirmed = world.confirm(Some(id)).await;
        assert_eq!((confirmed.status.as_u16(), confirmed.body.len()), (204, 0));
        assert!(!confirmed.headers.contains_key("content-type"));
    }
    let device = world.operator("GET", "/v1/devices/SN-1", "").await.json();
    assert_eq!(device["state"], "active");
    assert_eq!(device["tokenState"], "burnt");
    assert_eq!(device["certificates"][0]["state"], "current");
}

#[tokio::test]
async fn what_became_of_a_request_is_told_by_its_code() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let refused = world.vend("SN-1", "some-other-token", &test_csr("key")).await;
    assert_eq!(refused.problem(), (403, "access-denied".into()));
    let code = refused.json()["attempt"].as_str().unwrap().to_owned();
    let path = format!("/v1/attempts?code={}", code.to_lowercase());
    eventually(async || {
        let list = world.operator("GET", &path, "").await.json();
        list["items"].as_array().unwrap().len() == 1
    })
    .await;
    let told = &world.operator("GET", &path, "").await.json()["items"][0];
    assert_eq!(told["attempt"], code);
    assert_eq!(told["reason"], "wrong-token");
    assert!(!told["cure"].as_str().unwrap().is_empty());
    let by_serial = world.operator("GET", "/v1/attempts?serialNumber=SN-1", "").await.json();
    assert_eq!(&by_serial["items"][0], told);
}
