//! What is no signed request is told what is wrong with it, before anything is asked of the
//! registry; each of these is signed rightly over what it has.

use serde_json::{Value, json};

use super::hand::{self, CONFIRM, Hand, Jws, Signer, base64url};
use super::{Reply, Site};

struct Bad {
    site: Site,
    signer: Signer,
    good: Jws,
}

impl Bad {
    async fn new() -> Self {
        let mut site = Site::new().await;
        let signer = site.enroll("SN-1", Hand::of("ES256")).await;
        let good = site.jws(&signer, CONFIRM).await;
        Self { site, signer, good }
    }

    async fn send(&mut self, body: &str) -> Reply {
        self.site.client.send(hand::signed(CONFIRM, body)).await.unwrap()
    }

    async fn check(&mut self, body: &str, told: &str) {
        let reply = self.send(body).await;
        assert_eq!(reply.problem(), (400, "invalid-request".into()), "{body}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{detail} for {body}");
    }

    /// With this protected header, signed.
    async fn check_header(&mut self, more: Value, told: &str) {
        let protected = self.good.protected_with(&more);
        let body = self.good.body_around(&self.signer, &protected);
        self.check(&body.to_string(), told).await;
    }

    /// The whole thing with these members besides, instead or, if `null`, not at all.
    async fn check_body(&mut self, name: &str, value: Value, told: &str) {
        let mut body = self.good.body(&self.signer);
        body[name] = value;
        body.as_object_mut().unwrap().retain(|name, value| name == "header" || !value.is_null());
        self.check(&body.to_string(), told).await;
    }

    async fn end(mut self) {
        let body = self.good.body(&self.signer).to_string();
        assert_eq!(self.send(&body).await.status, 204, "what was spoilt was good before");
    }
}

#[tokio::test]
async fn a_body_that_is_no_flattened_jws_is_refused() {
    let mut bad = Bad::new().await;
    bad.check("", "ends too early").await;
    bad.check("e30.e30.e30", "not JSON").await;
    bad.check("[]", "wrong type").await;
    bad.check("{}", "`protected` is missing").await;
    for name in ["protected", "payload", "signature"] {
        bad.check_body(name, Value::Null, &format!("`{name}` is missing")).await;
        bad.check_body(name, json!(1), "wrong type").await;
        for text in ["====", "e30=", "e+30", "e 30", "\u{e9}"] {
            bad.check_body(name, json!(text), "not base64url").await;
        }
    }
    let doubled = bad.good.body(&bad.signer).to_string().replacen('{', "{\"payload\":\"\",", 1);
    bad.check(&doubled, "twice").await;
    bad.end().await;
}

#[tokio::test]
async fn what_is_not_signed_and_second_signatures_are_refused() {
    let mut bad = Bad::new().await;
    for header in [json!({}), json!({"kid": "x"}), Value::Null] {
        bad.check_body("header", header, "protected header only").await;
    }
    bad.check_body("signatures", json!([]), "one signature").await;
    bad.end().await;
}

#[tokio::test]
async fn a_protected_header_has_what_it_needs_and_nothing_that_must_be_understood() {
    let mut bad = Bad::new().await;
    for name in ["alg", "kid", "nonce", "url"] {
        bad.check_header(json!({name: null}), &format!("`{name}` is missing")).await;
        bad.check_header(json!({name: 1}), "wrong type").await;
    }
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("jwk", json!({"kty": "EC"})),
        ("x5c", json!(["MII"])),
    ] {
        bad.check_header(json!({name: value}), "`crit`, `jwk` or `x5c`").await;
    }
    for kid in ["", "SN-1", &"ab".repeat(31), &"ab".repeat(33), &"gh".repeat(32)] {
        bad.check_header(json!({"kid": kid}), "no certificate id").await;
    }
    let twice = base64url(br#"{"alg":"ES256","alg":"ES256","kid":"","nonce":"","url":""}"#);
    for (protected, told) in [
        (base64url(b"[1,2]"), "protected header"),
        (base64url(b"{"), "in the protected header: the JSON ends too early"),
        (base64url(&[0xFF, 0xFE]), "in the protected header"),
        (twice, "in the protected header: a field is there twice"),
    ] {
        let body = bad.good.body_around(&bad.signer, &protected).to_string();
        bad.check(&body, told).await;
    }
    bad.end().await;
}

#[tokio::test]
async fn no_algorithm_and_algorithms_of_other_kinds_are_refused() {
    let mut bad = Bad::new().await;
    for alg in ["none", "None", "", "HS256", "ES512", "ES256K", "RS1", "RS384", "es256", "Ed25519"]
    {
        bad.check_header(json!({"alg": alg}), "another `alg` than").await;
    }
    // As a library would verify it that believes `none`.
    let mut unsigned =
        bad.good.body_around(&bad.signer, &bad.good.protected_with(&json!({"alg": "none"})));
    unsigned["signature"] = "".into();
    bad.check(&unsigned.to_string(), "another `alg` than").await;
    bad.end().await;
}

#[tokio::test]
async fn a_body_in_a_signed_renewal_is_as_strict_as_any() {
    let mut site = Site::new().await;
    let signer = site.enroll("SN-1", Hand::of("ES256")).await;
    for (payload, expected) in [
        ("", (400, "invalid-request")),
        ("{", (400, "invalid-request")),
        ("{}", (400, "csr-required")),
        (r#"{"csr":"x"}"#, (400, "invalid-csr")),
    ] {
        let jws = site.jws(&signer, hand::RENEW).await;
        site.refused(&Jws { payload: payload.into(), ..jws }, &signer, expected, "").await;
    }
}
