//! Requests that are signed, because TLS ends before this server: what proves possession, and
//! everything that does not.

mod hand;
mod malformed;
mod proxies;

use std::sync::Arc;

use bytes::Bytes;
use cvm_api::Limits;
use cvm_core::ports::Ports;
use cvm_core::testing::TestClock;
use cvm_core::time::Span;
use http::Request;
use serde_json::json;

use crate::harness::{NOW, Reply};
use crate::socket::{Client, Identity, Protocol, Server, get, post};

use hand::{CONFIRM, Hand, Jws, RENEW, Signer};

/// A server whose clock is set, and one connection that shows no certificate.
struct Site {
    server: Server,
    clock: Arc<TestClock>,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::at(NOW));
        let theirs = clock.clone();
        let replace = |ports| Ports { clock: theirs, ..ports };
        Self::over(Server::with(Limits::default(), replace).await, clock).await
    }

    async fn over(server: Server, clock: Arc<TestClock>) -> Self {
        let client = Client::connect(server.device_addr(), Protocol::Http1, None).await;
        Self { server, clock, client }
    }

    async fn nonce(&mut self) -> String {
        let reply = self.client.send(get("/v1/nonce")).await.unwrap();
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
        reply.json()["nonce"].as_str().unwrap().to_owned()
    }

    /// A device with a key of this kind and its certificate.
    async fn enroll(&self, serial: &str, hand: Hand) -> Signer {
        let certificate = self.server.vend_for(serial, &hand.csr()).await;
        Signer::new(hand, &certificate)
    }

    /// A request that proves what it should, to be spoilt.
    async fn jws(&mut self, signer: &Signer, path: &'static str) -> Jws {
        let nonce = self.nonce().await;
        Jws::new(signer, path, nonce)
    }

    async fn send(&mut self, jws: &Jws, signer: &Signer) -> Reply {
        self.client.send(jws.request(signer)).await.unwrap()
    }

    /// Sends one that is refused with this status and slug, and words that have `told`.
    async fn refused(&mut self, jws: &Jws, signer: &Signer, expected: (u16, &str), told: &str) {
        let reply = self.send(jws, signer).await;
        assert_eq!(reply.problem(), (expected.0, expected.1.to_owned()), "{}", reply.text());
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{detail}");
    }

    async fn unproven(&mut self, jws: &Jws, signer: &Signer, told: &str) {
        self.refused(jws, signer, (401, "certificate-required"), told).await;
    }
}

#[tokio::test]
async fn keys_of_every_kind_sign_by_their_algorithm() {
    let mut site = Site::new().await;
    for alg in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
        let signer = site.enroll(alg, Hand::of(alg)).await;
        let jws = site.jws(&signer, CONFIRM).await;
        let reply = site.send(&jws, &signer).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0), "{alg}");
        let jws = site.jws(&signer, RENEW).await.with_csr(&Hand::of("ES256").csr());
        let reply = site.send(&jws, &signer).await;
        assert_eq!(reply.status, 201, "{alg}: {}", reply.text());
    }
}

#[tokio::test]
async fn who_shows_nothing_is_told_that_it_may_sign() {
    let mut site = Site::new().await;
    for request in [post(CONFIRM, ""), post(RENEW, "{}")] {
        let reply = site.client.send(request).await.unwrap();
        assert_eq!(reply.problem(), (401, "certificate-required".into()));
        assert_eq!(reply.json()["signed"], true);
    }
}

#[tokio::test]
async fn a_nonce_is_good_once_whatever_it_was_used_for() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let first = site.jws(&signer, CONFIRM).await;
    assert_eq!(site.send(&first, &signer).await.status, 204);
    site.unproven(&first, &signer, "used before").await;
    let renewal = site.jws(&signer, RENEW).await.with_csr(&Hand::of("ES256").csr());
    let renewal = Jws { nonce: first.nonce.clone(), ..renewal };
    site.unproven(&renewal, &signer, "used before").await;
    let other = site.enroll("SN-2", Hand::of("ES256")).await;
    let others = Jws { nonce: first.nonce, ..site.jws(&other, CONFIRM).await };
    site.unproven(&others, &other, "used before").await;
}

#[tokio::test]
async fn of_one_request_that_comes_many_times_at_once_one_is_answered() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let jws = site.jws(&signer, CONFIRM).await;
    let mut sending = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(site.server.device_addr(), Protocol::Http2, None).await;
        let request = jws.request(&signer);
        sending.push(tokio::spawn(async move { client.send(request).await.unwrap().status }));
    }
    let mut statuses = Vec::new();
    for sent in sending {
        statuses.push(sent.await.unwrap().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[204].as_slice(), &[401; 9]].concat());
}

#[tokio::test]
async fn a_nonce_is_good_for_five_minutes() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let (last, late) = (site.jws(&signer, CONFIRM).await, site.jws(&signer, CONFIRM).await);
    site.clock.set(NOW.plus(Span(300)));
    assert_eq!(site.send(&last, &signer).await.status, 204);
    site.clock.set(NOW.plus(Span(301)));
    site.unproven(&late, &signer, "more than 5 minutes ago").await;
    site.unproven(&last, &signer, "more than 5 minutes ago").await;
}

#[tokio::test]
async fn a_nonce_that_was_made_up_proves_nothing() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let good = site.jws(&signer, CONFIRM).await;
    let mut flipped = good.nonce.clone();
    flipped.replace_range(20..21, if flipped[20..].starts_with('0') { "1" } else { "0" });
    for nonce in [flipped, String::new(), "0".repeat(112), good.nonce.to_uppercase()] {
        let jws = Jws { nonce, ..good.clone() };
        site.unproven(&jws, &signer, "none of this server's").await;
    }
    assert_eq!(site.send(&good, &signer).await.status, 204, "and none of it has used the nonce up");
}

#[tokio::test]
async fn a_request_is_for_one_address_byte_for_byte() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let good = site.jws(&signer, CONFIRM).await;
    for url in [
        "https://localhost:8443/v1/certificates/renew",
        "https://localhost:8443/v1/certificates/confirm/",
        "https://localhost:8443/v1/certificates/confirm?x=y",
        "https://LOCALHOST:8443/v1/certificates/confirm",
        "https://localhost/v1/certificates/confirm",
        "http://localhost:8443/v1/certificates/confirm",
        "https://elsewhere:8443/v1/certificates/confirm",
        "/v1/certificates/confirm",
        "",
    ] {
        let jws = Jws { url: url.into(), ..good.clone() };
        site.unproven(&jws, &signer, "https://localhost:8443/v1/certificates/confirm").await;
    }
    assert_eq!(site.send(&good, &signer).await.status, 204);
}

#[tokio::test]
async fn an_algorithm_that_is_not_the_keys_proves_nothing() {
    let mut site = Site::new().await;
    for (kind, others) in [
        ("ES256", ["ES384", "EdDSA", "RS256", "PS256"].as_slice()),
        ("ES384", &["ES256", "EdDSA", "RS256"]),
        ("EdDSA", &["ES256", "RS256"]),
        ("RS256", &["ES256", "EdDSA"]),
    ] {
        let signer = site.enroll(kind, Hand::of(kind)).await;
        let good = site.jws(&signer, CONFIRM).await;
        for alg in others {
            let jws = Jws { alg: (*alg).into(), ..good.clone() };
            site.unproven(&jws, &signer, "does not fit the certificate's key").await;
        }
        assert_eq!(site.send(&good, &signer).await.status, 204, "{kind}");
    }
}

#[tokio::test]
async fn a_signature_is_the_certificates_and_over_what_came() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let thief = site.enroll("SN-2", Hand::of("ES256")).await;
    let good = site.jws(&signer, CONFIRM).await;
    let told = "not by the certificate's key";
    // The thief's key under the victim's name.
    site.unproven(&good, &thief, told).await;
    let body = good.body(&signer);
    for spoil in [
        json!({"payload": "e30"}),
        json!({"signature": ""}),
        json!({"signature": hand::base64url(&[0; 64])}),
        json!({"signature": hand::base64url(&signer.der_signature(&body))}),
        json!({"protected": good.protected_with(&json!({"alg": "ES256", "more": 1}))}),
    ] {
        let mut spoilt = body.clone();
        for (name, value) in spoil.as_object().unwrap() {
            spoilt[name] = value.clone();
        }
        let reply = site.client.send(hand::signed(CONFIRM, &spoilt.to_string())).await.unwrap();
        assert_eq!(reply.problem(), (401, "certificate-required".into()), "{spoil}");
        assert!(reply.text().contains(told), "{}", reply.text());
    }
    assert_eq!(site.send(&good, &signer).await.status, 204);
}

#[tokio::test]
async fn the_registry_is_asked_what_the_certificate_is_good_for() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let jws = site.jws(&signer, CONFIRM).await;
    let unknown = Jws { kid: "ab".repeat(32), ..jws.clone() };
    site.refused(&unknown, &signer, (403, "certificate-unknown"), "did not issue").await;
    assert_eq!(site.send(&jws, &signer).await.status, 204);
    let renewal = site.jws(&signer, RENEW).await.with_csr(&Hand::of("ES256").csr());
    assert_eq!(site.send(&renewal, &signer).await.status, 201);
    site.server.operate(&format!("/v1/certificates/{}:revoke", signer.kid)).await;
    let jws = site.jws(&signer, CONFIRM).await;
    site.refused(&jws, &signer, (403, "certificate-revoked"), "revoked").await;
    let other = site.enroll("SN-2", Hand::of("ES256")).await;
    site.server.operate("/v1/devices/SN-2:disable").await;
    let jws = site.jws(&other, RENEW).await.with_csr(&Hand::of("ES256").csr());
    site.refused(&jws, &other, (403, "certificate-inactive"), "disabled").await;
}

#[tokio::test]
async fn who_signs_means_that_whatever_certificate_its_tls_stack_sends() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let other: Identity = site.server.enroll("SN-2").await;
    site.client = Client::connect(site.server.device_addr(), Protocol::Http2, Some(&other)).await;
    let renewal = site.jws(&signer, RENEW).await.with_csr(&Hand::of("ES256").csr());
    let reply = site.send(&renewal, &signer).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["thingName"]), (201, &json!("SN-1")));
    // What proves nothing is not made good by the connection.
    let jws = Jws { kid: signer.kid.clone(), ..site.jws(&signer, CONFIRM).await };
    site.unproven(&jws, &Signer::new(Hand::of("ES256"), b"another"), "not by").await;
    let plain = site.client.send(post(CONFIRM, "")).await.unwrap();
    assert_eq!(plain.status, 204);
}

#[tokio::test]
async fn a_signed_request_is_one_by_its_media_type_and_only_where_it_may_be() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    let body = site.jws(&signer, RENEW).await.with_csr(&Hand::of("ES256").csr()).body(&signer);
    let typed = |path: &str, media_type: &str| {
        let request = Request::post(path).header("content-type", media_type);
        request.body(Bytes::from(body.to_string())).unwrap()
    };
    for (path, media_type, expected) in [
        (RENEW, "application/json", (401, "certificate-required")),
        (RENEW, "application/jose", (415, "unsupported-media-type")),
        ("/v1/certificates", "application/jose+json", (415, "unsupported-media-type")),
    ] {
        let reply = site.client.send(typed(path, media_type)).await.unwrap();
        assert_eq!(reply.problem(), (expected.0, expected.1.to_owned()), "{path} {media_type}");
    }
    let request = typed(RENEW, "Application/JOSE+JSON; charset=utf-8");
    assert_eq!(site.client.send(request).await.unwrap().status, 201);
}

#[tokio::test]
async fn a_device_signs_sixty_requests_a_minute_and_then_waits_and_others_do_not() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("EdDSA")).await;
    let other = site.enroll("SN-2", Hand::of("EdDSA")).await;
    for _ in 0..60 {
        let jws = site.jws(&signer, CONFIRM).await;
        assert_eq!(site.send(&jws, &signer).await.status, 204);
    }
    let jws = site.jws(&signer, CONFIRM).await;
    site.refused(&jws, &signer, (429, "slow-down"), "wait").await;
    let jws = site.jws(&other, CONFIRM).await;
    assert_eq!(site.send(&jws, &other).await.status, 204);
}

#[tokio::test]
async fn asking_what_to_show_is_no_refusal_that_counts_and_proving_nothing_is() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("EdDSA")).await;
    for _ in 0..100 {
        assert_eq!(site.client.send(post(CONFIRM, "")).await.unwrap().status, 401);
    }
    let jws = site.jws(&signer, CONFIRM).await;
    let bad = Jws { nonce: "0".into(), ..jws.clone() };
    for _ in 0..60 {
        assert_eq!(site.send(&bad, &signer).await.status, 401);
    }
    assert_eq!(site.send(&jws, &signer).await.status, 429);
}
