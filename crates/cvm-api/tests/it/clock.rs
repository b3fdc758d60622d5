//! The server's clock, in-process: what operators are shown of it, and what accepting it does.

use cvm_core::ports::Store as _;
use cvm_core::testing::test_csr;
use cvm_core::time::Span;
use serde_json::{Value, json};

use crate::harness::{NOW, TOKEN, World};

async fn shown(world: &World) -> Value {
    let reply = world.operator("GET", "/v1/clock", "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_clock_is_shown_with_the_mark_and_the_reason() {
    let world = World::new().await;
    let now = NOW.to_string();
    let trusted =
        json!({"now": now, "believed": now, "mark": null, "trusted": true, "reason": null});
    assert_eq!(shown(&world).await, trusted);
    world.store.mark_raise(NOW).await.unwrap();
    assert_eq!(shown(&world).await["mark"], now);
    world.clock.trust(false);
    let doubted = shown(&world).await;
    assert_eq!(
        (&doubted["trusted"], &doubted["reason"]),
        (&json!(false), &json!("stepped-forward"))
    );
    world.clock.trust(true);
    world.clock.set(NOW.minus(Span(2 * Span::DAY.0)));
    let early = shown(&world).await;
    assert_eq!((&early["trusted"], &early["reason"]), (&json!(false), &json!("before-issuer")));
}

#[tokio::test]
async fn an_accepted_clock_issues_again_and_its_row_is_in_the_journal() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    world.store.mark_raise(NOW.plus(Span::DAY)).await.unwrap();
    world.clock.trust(false);
    let refused = world.vend("SN-1", TOKEN, &test_csr("key")).await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));

    let accepted = world.operator("POST", "/v1/clock:accept", "").await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let before = NOW.plus(Span::DAY).to_string();
    assert_eq!(accepted.json(), json!({"now": NOW.to_string(), "markBefore": before}));
    assert_eq!(world.store.mark_find().await.unwrap(), Some(NOW), "set back");
    assert_eq!(world.vend("SN-1", TOKEN, &test_csr("key")).await.status, 201);
    let journal = world.operator("GET", "/v1/journal", "").await.json();
    let rows = journal["items"].as_array().unwrap();
    let row = rows.iter().find(|row| row["kind"] == "clock-accepted").unwrap();
    assert_eq!((&row["class"], &row["actor"]), (&json!("change"), &json!("operator op-1")));
    assert!(row["detail"].as_str().unwrap().contains(&before));
}

#[tokio::test]
async fn what_is_not_on_record_is_not_believed() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    world.clock.trust(false);
    world.store.fail();
    let refused = world.operator("POST", "/v1/clock:accept", "").await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
    world.store.recover();
    let refused = world.vend("SN-1", TOKEN, &test_csr("key")).await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
}
