//! One answer and one cost for every kind of no, and nothing written before it has left.

use cvm_api::{Peer, Side};
use cvm_core::device::TokenState;
use cvm_core::id::CertificateId;
use cvm_core::ports::Attempts as _;
use cvm_core::testing::{Calls, record, test_bad_csr, test_csr};
use cvm_core::time::Span;
use http_body_util::Full;
use serde_json::json;
use tower::ServiceExt as _;

use crate::harness::{NOW, TOKEN, World, eventually, request, vend_body};
use crate::refusals::change;

/// What every kind of no costs: the attempt's code, one HMAC, one read, one compare with four
/// slots of which the missing ones are random.
const COST: [&str; 4] = ["fill", "token_mac", "device_find", "fill"];

async fn recorded() -> (World, Calls) {
    let mut noted = None;
    let world = World::with(
        |_| {},
        |ports| {
            let (ports, calls) = record(ports);
            noted = Some(calls);
            ports
        },
    )
    .await;
    (world, noted.unwrap())
}

/// A world with a device for every kind of no, and the requests that hear it.
async fn kinds_of_no() -> (World, Calls, Vec<(&'static str, String)>) {
    let (world, calls) = recorded().await;
    for serial in ["known", "expired", "taken-back", "disabled", "deleted", "confirmed"] {
        let expires = if serial == "expired" { NOW } else { NOW.plus(Span::DAY) };
        world.register(serial, json!({"tokenExpires": expires.to_string()})).await;
    }
    let vended = world.vend("confirmed", TOKEN, &test_csr("k")).await.json();
    let id: CertificateId = vended["certificateId"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.confirm(Some(id)).await.status, 204);
    let burn = |device: &mut cvm_core::device::Device| {
        device.tokens[0].state = TokenState::BurntByOperator(cvm_core::device::Burning {
            by: String::from("tok"),
            word: cvm_core::device::Word::NewToken,
            at: cvm_core::time::Timestamp(0),
        });
    };
    change(&world, "taken-back", Vec::new(), burn).await;
    change(&world, "disabled", Vec::new(), |device| device.disabled = true).await;
    change(&world, "deleted", Vec::new(), |device| device.deleted_at = Some(NOW)).await;
    world.clock.set(NOW.plus(Span(1)));
    let ask = |serial: &str, token: &str, csr: &str| vend_body(serial, token, csr);
    let no_csr = json!({"serialNumber": "known", "token": "wrong"}).to_string();
    let requests = vec![
        ("unknown serial number", ask("nobody", TOKEN, &test_csr("x"))),
        ("invalid serial number", ask("no body", TOKEN, &test_csr("x"))),
        ("empty serial number", ask("", TOKEN, &test_csr("x"))),
        ("long serial number", ask(&"a".repeat(65), TOKEN, &test_csr("x"))),
        ("wrong token", ask("known", "a-wrong-token-altogether", &test_csr("x"))),
        ("empty token", ask("known", "", &test_csr("x"))),
        ("wrong token, no CSR", no_csr),
        ("wrong token, bad CSR", ask("known", "wrong", "not a CSR")),
        ("expired", ask("expired", TOKEN, &test_csr("x"))),
        ("burnt by an operator", ask("taken-back", TOKEN, &test_csr("x"))),
        ("burnt by confirmation", ask("confirmed", TOKEN, &test_csr("x"))),
        ("burnt by confirmation, bad CSR", ask("confirmed", TOKEN, &test_bad_csr("k"))),
        ("disabled", ask("disabled", TOKEN, &test_csr("x"))),
        ("deleted", ask("deleted", TOKEN, &test_csr("x"))),
    ];
    (world, calls, requests)
}

#[tokio::test]
async fn every_kind_of_no_is_the_same_byte_for_byte_but_for_its_attempt() {
    let (world, _, requests) = kinds_of_no().await;
    let mut first = None;
    for (kind, body) in requests {
        let refused = world.device("POST", "/v1/certificates", &body).await;
        assert_eq!(refused.problem(), (403, "access-denied".into()), "{kind}");
        let answer = refused.without_attempt();
        assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "{kind}");
    }
}

#[tokio::test]
async fn every_kind_of_no_makes_the_same_calls_and_writes_only_after_its_answer() {
    let (world, calls, requests) = kinds_of_no().await;
    // What the preparations left to do.
    eventually(async || calls.take().is_empty()).await;
    for (kind, body) in requests {
        let asked = request("POST", "/v1/certificates", &body).map(Full::new);
        let response = world.api.router(Side::Device).oneshot(asked).await.unwrap();
        assert_eq!(calls.take(), COST, "{kind}");
        // The answer is still here: nothing may happen, however long its reader takes.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(calls.take(), [""; 0], "{kind}");
        drop(response);
        let mut after = Vec::new();
        eventually(async || {
            after.extend(calls.take());
            after.contains(&"attempt_record") || after.contains(&"unknown_count")
        })
        .await;
    }
}

#[tokio::test]
async fn what_follows_from_an_answer_happens_when_nobody_waits_for_it() {
    let (world, calls) = recorded().await;
    world.register("SN-1", json!({})).await;
    eventually(async || calls.take().is_empty()).await;
    let body = vend_body("SN-1", "a-wrong-token-altogether", &test_csr("k"));
    let asked = request("POST", "/v1/certificates", &body).map(Full::new);
    let mut asking = Box::pin(world.api.router(Side::Device).oneshot(asked));
    // Polled until the use case runs in its own task, then forgotten.
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    drop(asking);
    let mut after = Vec::new();
    eventually(async || {
        after.extend(calls.take());
        after.contains(&"attempt_record")
    })
    .await;
}

#[tokio::test]
async fn strangers_are_counted_per_network_and_not_per_address() {
    let world = World::new().await;
    for address in ["2001:db8::1", "2001:db8::ffff:1", "::ffff:192.0.2.1", "192.0.2.1"] {
        let body = vend_body("SN-X", TOKEN, &test_csr("k"));
        let mut asked = request("POST", "/v1/certificates", &body);
        let peer = Peer { address: address.parse().unwrap(), certificate: None };
        asked.extensions_mut().insert(peer);
        assert_eq!(world.ask(Side::Device, asked).await.status, 403);
    }
    eventually(async || {
        let mut counts = world.store.unknown_since(NOW).await.unwrap();
        counts.sort();
        counts == [("192.0.2.1".to_owned(), 2), ("2001:db8::/64".to_owned(), 2)]
    })
    .await;
}
