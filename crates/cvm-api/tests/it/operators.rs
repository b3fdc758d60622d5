//! The operator API: who may, what is answered, how lists page.

use cvm_api::Side;
use cvm_core::policy::DEFAULT_POLICY;
use cvm_core::testing::test_csr;
use cvm_core::time::Span;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, NOW, TOKEN, World, request};

/// Every route that needs an operator.
const GUARDED: [(&str, &str); 16] = [
    ("POST", "/v1/devices"),
    ("POST", "/v1/devices:import"),
    ("GET", "/v1/devices"),
    ("GET", "/v1/devices/SN-1"),
    ("GET", "/v1/certificates"),
    ("GET", "/v1/certificates/00"),
    ("GET", "/v1/policies"),
    ("GET", "/v1/policies/cvm-default"),
    ("PUT", "/v1/policies/cvm-default"),
    ("GET", "/v1/attempts"),
    ("GET", "/v1/journal"),
    ("GET", "/v1/clock"),
    ("POST", "/v1/clock:accept"),
    ("POST", "/v1/admin-tokens"),
    ("GET", "/v1/admin-tokens"),
    ("POST", "/v1/admin-tokens/op-1:revoke"),
];

#[tokio::test]
async fn every_kind_of_unauthenticated_is_one_answer() {
    let world = World::new().await;
    let mut first = None;
    for (method, path) in GUARDED {
        for authorization in [
            None,
            Some(String::from("Bearer wrong")),
            Some(format!("Basic {ADMIN_TOKEN}")),
            Some(format!("Bearer {TOKEN}")),
            Some(format!("Bearer {ADMIN_TOKEN}x")),
        ] {
            let mut asked = request(method, path, "");
            if let Some(value) = authorization {
                asked.headers_mut().insert("authorization", value.parse().unwrap());
            }
            let refused = world.ask(Side::Operator, asked).await;
            assert_eq!(refused.problem(), (401, "unauthenticated".into()), "{method} {path}");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            let answer = refused.without_attempt();
            assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()));
        }
    }
}

#[tokio::test]
async fn the_open_routes_of_the_operator_listener_need_no_token() {
    let world = World::new().await;
    let open = [
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/v1/trust-bundle", "application/pem-certificate-chain"),
        ("/v1/openapi.json", "application/json"),
        ("/problems/weak-key", "text/plain; charset=utf-8"),
    ];
    for (path, media_type) in open {
        let reply = world.ask(Side::Operator, request("GET", path, "")).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["content-type"], media_type);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
    let none = world.ask(Side::Operator, request("GET", "/problems/none", "")).await;
    assert_eq!(none.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn operator_routes_are_on_the_device_listener_only_where_the_settings_say_so() {
    let world = World::new().await;
    let both = World::with(|settings| settings.operator_on_device_listener = true, |p| p).await;
    for (method, path) in GUARDED.into_iter().chain([("GET", "/v1/openapi.json")]) {
        let refused = world.device(method, path, "").await;
        assert_eq!(refused.problem(), (404, "not-found".into()), "{method} {path}");
        let there = both.device(method, path, "").await;
        assert_ne!(there.status, 404, "{method} {path}");
    }
    for path in ["/v1/certificates", "/v1/certificates/confirm"] {
        let refused = world.operator("POST", path, "{}").await;
        assert_eq!(refused.problem(), (404, "not-found".into()), "{path}");
    }
}

#[tokio::test]
async fn a_device_is_registered_shown_and_registered_again() {
    let world = World::new().await;
    let body = json!({
        "serialNumber": "AA:BB/1+2", "token": TOKEN, "tokenExpires": "2026-02-01T00:00:00Z",
        "thingName": "thing-1", "policy": DEFAULT_POLICY, "profile": "default",
        "attributes": {"line": "2"}, "unknown": true,
    });
    let first = world.operator("POST", "/v1/devices", &body.to_string()).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let mut expected = json!({
        "serialNumber": "AA:BB/1+2", "thingName": "thing-1", "policy": DEFAULT_POLICY,
        "profile": "default", "attributes": {"line": "2"}, "roads": ["vend"],
        "state": "registered", "disabled": false, "tokenState": "unused",
        "tokenExpires": "2026-02-01T00:00:00Z", "certificates": [],
        "createdAt": NOW.to_string(), "version": 1,
    });
    assert_eq!(first.json(), expected);
    let again = world.operator("POST", "/v1/devices", &body.to_string()).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected.clone()));
    let path = "/v1/devices/AA%3ABB%2F1+2";
    assert_eq!(world.operator("GET", path, "").await.json(), expected);
    world.clock.set(NOW.plus(Span(60 * Span::DAY.0)));
    expected["tokenState"] = json!("expired");
    assert_eq!(world.operator("GET", path, "").await.json(), expected);
    assert_eq!(world.operator("GET", "/v1/devices", "").await.json()["items"], json!([expected]));
}

#[tokio::test]
async fn a_token_that_the_server_made_is_told_once_or_again_by_its_idempotency_key() {
    let world = World::new().await;
    let made = |body: Value, key: Option<&str>| {
        let mut asked = request("POST", "/v1/devices", &body.to_string());
        let token = format!("Bearer {ADMIN_TOKEN}").parse().unwrap();
        asked.headers_mut().insert("authorization", token);
        if let Some(key) = key {
            asked.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        world.ask(Side::Operator, asked)
    };
    let random = made(json!({"serialNumber": "SN-1"}), None).await;
    assert_eq!(random.status, 201);
    assert!(random.json()["token"].as_str().unwrap().starts_with("cvm1-"));
    let refused = made(json!({"serialNumber": "SN-1"}), None).await;
    assert_eq!(refused.problem(), (409, "already-exists".into()));

    let first = made(json!({"serialNumber": "SN-2"}), Some("once")).await;
    let again = made(json!({"serialNumber": "SN-2"}), Some("once")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.json()["token"], again.json()["token"]);
    let other = made(json!({"serialNumber": "SN-2"}), Some("twice")).await;
    assert_eq!(other.problem(), (409, "already-exists".into()));
    let bad = made(json!({"serialNumber": "SN-3"}), Some("")).await;
    assert_eq!(bad.problem(), (400, "invalid-request".into()));
    let shown = world.operator("GET", "/v1/devices/SN-2", "").await.json();
    assert!(shown.get("token").is_none());
}

#[tokio::test]
async fn every_refusal_of_a_registration_is_said() {
    let world = World::new().await;
    world.register("SN-1", json!({"thingName": "thing-1"})).await;
    world.register("gone", json!({})).await;
    let delete = |device: &mut cvm_core::device::Device| device.deleted_at = Some(NOW);
    crate::refusals::change(&world, "gone", Vec::new(), delete).await;
    for (body, status, slug) in [
        (json!({"serialNumber": "SN-1", "token": "another-token-of-it"}), 409, "already-exists"),
        (json!({"serialNumber": "SN-2", "thingName": "thing-1"}), 409, "thing-name-taken"),
        (json!({"serialNumber": "gone", "token": TOKEN}), 409, "device-deleted"),
        (json!({"serialNumber": "SN-2", "policy": "none"}), 400, "unknown-policy"),
        (json!({"serialNumber": "SN-2", "profile": "none"}), 400, "unknown-profile"),
        (json!({"serialNumber": "SN 2"}), 400, "invalid-request"),
        (json!({"serialNumber": "/".repeat(64)}), 400, "invalid-request"),
        (json!({"serialNumber": "SN-2", "token": "short"}), 400, "invalid-request"),
        (json!({}), 400, "invalid-request"),
    ] {
        let refused = world.operator("POST", "/v1/devices", &body.to_string()).await;
        assert_eq!(refused.problem(), (status, slug.into()), "{body}");
    }
}

#[tokio::test]
async fn devices_are_listed_by_one_filter_at_a_time() {
    let world = World::new().await;
    for number in 0..3 {
        world.register(&format!("SN-{number}"), json!({})).await;
    }
    for number in 1..3 {
        let serial = format!("SN-{number}");
        assert_eq!(world.vend(&serial, TOKEN, &test_csr(&serial)).await.status, 201);
    }
    world.operator("POST", "/v1/devices/SN-0:disable", "").await;
    let listed = async |query: &str| {
        let page = world.operator("GET", &format!("/v1/devices{query}"), "").await.json();
        let items = page["items"].as_array().unwrap().clone();
        let serials: Vec<_> = items.into_iter().map(|item| item["serialNumber"].clone()).collect();
        (json!(serials), page["cursor"].as_str().map(str::to_owned))
    };
    for (query, wanted) in [
        ("?state=registered", json!(["SN-0"])),
        ("?state=issued", json!(["SN-1", "SN-2"])),
        ("?state=active", json!([])),
        ("?state=deleted", json!([])),
        ("?state=disabled", json!(["SN-0"])),
        ("?expiring=100y", json!([])),
    ] {
        assert_eq!(listed(query).await, (wanted, None), "{query}");
    }
    let (first, cursor) = listed("?state=issued&limit=1").await;
    assert_eq!(first, json!(["SN-1"]));
    let cursor = cursor.unwrap();
    let rest = listed(&format!("?state=issued&limit=1&cursor={cursor}")).await;
    assert_eq!(rest, (json!(["SN-2"]), None));
    for bad in [
        "?state=active&expiring=30d",
        "?state=",
        "?state=ACTIVE",
        "?state=active&state=issued",
        "?expiring=30",
        "?expiring=",
        "?state=issued&cursor=SN-1",
    ] {
        let refused = world.operator("GET", &format!("/v1/devices{bad}"), "").await;
        assert_eq!(refused.problem(), (400, "invalid-request".into()), "{bad}");
    }
}

#[tokio::test]
async fn lists_go_on_from_their_cursor_to_the_end() {
    let world = World::new().await;
    for number in 0..5 {
        let serial = format!("SN-{number}");
        world.register(&serial, json!({})).await;
        let vended = world.vend(&serial, TOKEN, &test_csr(&serial)).await;
        assert_eq!(vended.status, 201);
    }
    for (path, key, count) in [
        ("/v1/devices", "serialNumber", 5),
        ("/v1/certificates", "certificateId", 5),
        ("/v1/policies", "name", 1),
        ("/v1/journal", "number", 12),
        ("/v1/admin-tokens", "id", 1),
    ] {
        let mut keys = Vec::new();
        let mut next = format!("{path}?limit=2");
        loop {
            let page = world.operator("GET", &next, "").await.json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            keys.extend(items.iter().map(|item| item[key].to_string()));
            match page["cursor"].as_str() {
                Some(cursor) => next = format!("{path}?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        keys.dedup();
        assert_eq!(keys.len(), count, "{path}");
        for bad in ["?limit=0", "?limit=1001", "?limit=x", "?cursor=a&cursor=b", "?status=active"] {
            let refused = world.operator("GET", &format!("{path}{bad}"), "").await;
            assert_eq!(refused.problem(), (400, "invalid-request".into()), "{path}{bad}");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_shown_by_its_id() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let vended = world.vend("SN-1", TOKEN, &test_csr("k")).await.json();
    let path = format!("/v1/certificates/{}", vended["certificateId"].as_str().unwrap());
    let shown = world.operator("GET", &path, "").await.json();
    assert_eq!(shown["certificate"], vended["certificate"]);
    assert_eq!((&shown["state"], &shown["origin"]), (&json!("unconfirmed"), &json!("token")));
    assert_eq!((&shown["revokedAt"], &shown["reason"]), (&Value::Null, &Value::Null));
    world.clock.set(NOW.plus(Span(366 * Span::DAY.0)));
    assert_eq!(world.operator("GET", &path, "").await.json()["state"], "expired");
    for none in ["00", "x", &"0".repeat(64)] {
        let refused = world.operator("GET", &format!("/v1/certificates/{none}"), "").await;
        assert_eq!(refused.problem(), (404, "not-found".into()));
    }
}

#[tokio::test]
async fn a_policy_is_put_replaced_and_shown() {
    let world = World::new().await;
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]});
    let path = "/v1/policies/line-2";
    let first = world.operator("PUT", path, &format!(" {document} ")).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(world.operator("PUT", path, &document.to_string()).await.status, 200);
    let shown = world.operator("GET", path, "").await.json();
    let expected = json!({"name": "line-2", "document": document, "updatedAt": NOW.to_string()});
    assert_eq!(shown, expected);
    let doubled = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow",
        "Action":"*","Resource":"*"}]}"#;
    for bad in ["{}", "[]", "7", doubled] {
        let refused = world.operator("PUT", path, bad).await;
        assert_eq!(refused.problem(), (400, "invalid-request".into()), "{bad}");
    }
    let refused = world.operator("PUT", "/v1/policies/a%20b", &document.to_string()).await;
    assert_eq!(refused.problem(), (400, "invalid-request".into()));
    let none = world.operator("GET", "/v1/policies/none", "").await;
    assert_eq!(none.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn attempts_are_asked_for_in_exactly_one_way() {
    let world = World::new().await;
    for bad in
        ["", "?serialNumber=a&code=K7QF2-M8WXA", "?code=x", "?serialNumber=a%20b", "?limit=1"]
    {
        let refused = world.operator("GET", &format!("/v1/attempts{bad}"), "").await;
        assert_eq!(refused.problem(), (400, "invalid-request".into()), "{bad}");
    }
    for empty in ["?serialNumber=SN%2F1", "?code=k7qf2m8wxa"] {
        let list = world.operator("GET", &format!("/v1/attempts{empty}"), "").await.json();
        assert_eq!(list, json!({"items": [], "cursor": null}));
    }
}

#[tokio::test]
async fn the_journal_tells_who_did_what() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let vended = world.vend("SN-1", TOKEN, &test_csr("k")).await.json();
    let rows = world.operator("GET", "/v1/journal", "").await.json();
    assert_eq!(rows["items"][1]["kind"], "admin-token-created");
    assert_eq!(rows["items"][1]["actor"], "server");
    assert_eq!(rows["items"][2]["kind"], "device-registered");
    assert_eq!(rows["items"][2]["actor"], "operator op-1");
    assert_eq!(rows["items"][3]["kind"], "certificate-issued");
    assert_eq!(rows["items"][3]["certificateId"], vended["certificateId"]);
    assert_eq!(rows["items"][3]["attempt"], vended["attempt"]);
}
