//! `POST /v1/devices:import`: each line as if it came alone, in order, and none harms another.

mod streams;

use std::sync::Arc;

use bytes::Bytes;
use cvm_api::Side;
use cvm_core::page::PageRequest;
use cvm_core::ports::{Journal as _, Ports, Store as _};
use http::Request;
use serde_json::{Value, json};

use crate::failures::Broken;
use crate::harness::{ADMIN_TOKEN, NOW, Reply, TOKEN, World};

const PATH: &str = "/v1/devices:import";

/// A request that imports `body`.
fn import_request(body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(PATH)
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", "application/x-ndjson")
        .body(body.into())
        .unwrap()
}

async fn answer(world: &World, body: impl Into<Bytes>) -> Reply {
    world.ask(Side::Operator, import_request(body)).await
}

/// The results of importing `body`.
async fn import(world: &World, body: impl Into<Bytes>) -> Vec<Value> {
    let reply = answer(world, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    assert_eq!(reply.headers["cache-control"], "no-store");
    results(&reply.body)
}

fn results(body: &[u8]) -> Vec<Value> {
    assert!(body.is_empty() || body.ends_with(b"\n"), "every result is a whole line");
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Line, status and slug.
fn brief(result: &Value) -> (u64, u64, &str) {
    let slug = match result["problem"]["type"].as_str() {
        Some(kind) => {
            assert_eq!(result["problem"]["status"], result["status"]);
            assert_eq!(result["problem"].as_object().unwrap().len(), 4);
            kind.strip_prefix("/problems/").unwrap()
        }
        None => "",
    };
    (result["line"].as_u64().unwrap(), result["status"].as_u64().unwrap(), slug)
}

fn row(serial: &str) -> String {
    json!({"serialNumber": serial, "token": TOKEN}).to_string() + "\n"
}

fn rows(count: usize) -> String {
    (0..count).map(|number| row(&format!("SN-{number}"))).collect()
}

#[tokio::test]
async fn each_line_has_its_result_and_a_bad_one_harms_no_other() {
    let world = World::new().await;
    world.register("SN-0", json!({"thingName": "taken"})).await;
    let long = format!("{{\"serialNumber\": \"{}\"}}", "x".repeat(1_024 * 1_024));
    let refused = [
        ("{", 400, "invalid-request"),
        ("null", 400, "invalid-request"),
        (r#"{"token": "no serial number here"}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "a b", "token": "a s3cret of its own"}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "SN-1", "serialNumber": "SN-2"}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "SN-1", "token": "short"}"#, 400, "invalid-request"),
        (
            r#"{"serialNumber": "SN-1", "tokenExpires": "2020-01-01T00:00:00Z"}"#,
            400,
            "invalid-request",
        ),
        (r#"{"serialNumber": "SN-1", "attributes": {"a b": ""}}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "SN-1", "attributes": {"a": "1", "a": "2"}}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "SN-1", "policy": "none"}"#, 400, "unknown-policy"),
        (r#"{"serialNumber": "SN-1", "profile": "none"}"#, 400, "unknown-profile"),
        (r#"{"serialNumber": "SN-1", "thingName": "taken"}"#, 409, "thing-name-taken"),
        (r#"{"serialNumber": "SN-0", "token": "another token"}"#, 400, "invalid-request"),
        (r#"{"serialNumber": "SN-0", "token": "another s3cret of it"}"#, 409, "already-exists"),
        (&long, 413, "too-large"),
    ];
    let mut body = String::from("\n  \r\n");
    let (mut line, mut wanted) = (2, Vec::new());
    for (text, status, slug) in &refused {
        let good = format!("good-{line}");
        body.push_str(&format!("{text}\r\n{}\n", row(&good)));
        wanted.extend([(line + 1, *status, *slug), (line + 2, 201, "")]);
        line += 3;
    }
    body.push_str(row("last").trim_end());
    wanted.push((line + 1, 201, ""));
    let results = import(&world, body).await;
    assert_eq!(results.iter().map(brief).collect::<Vec<_>>(), wanted);
    assert!(
        !results.iter().any(|result| result.to_string().contains("s3cret")),
        "nothing is repeated"
    );
    assert_eq!(results[1]["serialNumber"], "good-2");
    assert_eq!(results[18]["serialNumber"], "SN-1", "a refused line's, where it has one");
    assert_eq!(results[6].get("serialNumber"), None);
    assert!(results[0]["problem"]["detail"].as_str().unwrap().contains("column 1"));
    assert!(world.store.device_find(&"SN-1".parse().unwrap()).await.unwrap().is_none());
    let last = world.store.device_find(&"last".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((last.thing_name.as_str(), last.version), ("last", 1));
}

#[tokio::test]
async fn a_line_is_judged_as_a_registration_alone_is() {
    let world = World::new().await;
    world.register("SN-0", json!({"thingName": "taken"})).await;
    for body in [
        json!({"serialNumber": "SN-1", "token": "short"}),
        json!({"serialNumber": "SN-1", "policy": "none"}),
        json!({"serialNumber": "SN-1", "roads": ["jitr"]}),
        json!({"serialNumber": "SN-1", "thingName": "taken"}),
        json!({"serialNumber": "SN-0", "token": TOKEN}),
        json!({"serialNumber": "SN-0", "token": TOKEN, "thingName": "taken"}),
        json!({"serialNumber": "SN-2", "token": TOKEN, "attributes": {"site": "Zürich"}}),
        json!({"serialNumber": "SN-2", "token": TOKEN, "attributes": {"site": "Zürich"}}),
    ] {
        let imported = import(&world, body.to_string()).await.remove(0);
        let alone = world.operator("POST", "/v1/devices", &body.to_string()).await;
        if imported["status"] == 201 {
            assert_eq!(alone.status, 200, "{imported}");
            continue;
        }
        assert_eq!(imported["status"], alone.status.as_u16(), "{imported}");
        let alone = alone.json();
        for member in ["type", "title", "status", "detail"] {
            assert_eq!(
                imported["problem"].get(member),
                alone.get(member).filter(|_| { imported["status"] != 200 }),
                "{imported}"
            );
        }
    }
}

#[tokio::test]
async fn the_same_lines_again_change_nothing() {
    let world = World::new().await;
    let body = rows(600);
    let all = |results: Vec<Value>, status| {
        let briefs: Vec<_> = results.iter().map(brief).collect();
        assert_eq!(briefs, (1..=600).map(|line| (line, status, "")).collect::<Vec<_>>());
    };
    all(import(&world, body.clone()).await, 201);
    let journal =
        world.store.journal_page(&PageRequest { after: None, limit: 1_000 }).await.unwrap();
    let registered: Vec<_> =
        journal.items.iter().filter(|row| row.kind == "device-registered").collect();
    assert_eq!(registered.len(), 600);
    assert!(registered.iter().all(|row| row.actor == "operator op-1"), "{:?}", registered[0]);
    all(import(&world, body).await, 200);
    let after = world.store.journal_page(&PageRequest { after: None, limit: 1_000 }).await.unwrap();
    assert_eq!(after.items.len(), journal.items.len());
    let device = world.store.device_find(&"SN-7".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((device.version, device.created_at), (1, NOW));
}

#[tokio::test]
async fn of_two_lines_with_one_serial_number_the_second_is_the_same_again_or_refused() {
    let world = World::new().await;
    let other = json!({"serialNumber": "SN-1", "token": "another token of it"}).to_string();
    let body = format!("{}{}{other}\n{other}", row("SN-1"), row("SN-1"));
    let results = import(&world, body).await;
    let briefs: Vec<_> = results.iter().map(brief).collect();
    let taken = "already-exists";
    assert_eq!(briefs, [(1, 201, ""), (2, 200, ""), (3, 409, taken), (4, 409, taken)]);
    let body = format!("{{\"serialNumber\":\"SN-2\",\"policy\":\"none\"}}\n{}", row("SN-2"));
    let results = import(&world, body).await;
    let briefs: Vec<_> = results.iter().map(brief).collect();
    assert_eq!(briefs, [(1, 400, "unknown-policy"), (2, 201, "")], "a refused one is none");
}

#[tokio::test]
async fn a_token_is_told_where_the_server_made_it_and_can_be_asked_for_again_with_a_key() {
    let world = World::new().await;
    let body =
        || format!("{{\"serialNumber\":\"SN-1\"}}\n{{\"serialNumber\":\"SN-2\"}}\n{}", row("SN-3"));
    let mut request = import_request(body());
    request.headers_mut().insert("idempotency-key", "monday".parse().unwrap());
    let first = results(&world.ask(Side::Operator, request.clone()).await.body);
    let second = results(&world.ask(Side::Operator, request).await.body);
    let tokens = |results: &[Value]| {
        results.iter().map(|it| it["token"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(first.iter().map(brief).map(|it| it.1).collect::<Vec<_>>(), [201; 3]);
    assert_eq!(second.iter().map(brief).map(|it| it.1).collect::<Vec<_>>(), [200; 3]);
    assert_eq!(tokens(&first), tokens(&second));
    assert!(first[0]["token"].as_str().unwrap().starts_with("cvm1-"));
    assert_ne!(first[0]["token"], first[1]["token"]);
    assert_eq!(first[2].get("token"), None, "it was brought");
    let token = first[0]["token"].as_str().unwrap();
    let csr = cvm_core::testing::test_csr("K");
    assert_eq!(world.vend("SN-1", token, &csr).await.status, 201);

    let without = import(&world, "{\"serialNumber\":\"SN-4\"}").await;
    assert!(without[0]["token"].as_str().unwrap().starts_with("cvm1-"));
    let again = import(&world, "{\"serialNumber\":\"SN-4\"}").await;
    assert_eq!(brief(&again[0]), (1, 409, "already-exists"), "another random token");
}

#[tokio::test]
async fn a_deleted_device_begins_another_life_only_where_its_line_says_so() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    assert_eq!(world.operator("DELETE", "/v1/devices/SN-1", "").await.status, 200);
    let again = |token: &str| json!({"serialNumber": "SN-1", "token": token, "again": true});
    let lines = [row("SN-1"), again(TOKEN).to_string(), again("its second token").to_string()];
    let results = import(&world, lines.join("\n")).await;
    let briefs: Vec<_> = results.iter().map(brief).collect();
    let wanted = [(1, 409, "device-deleted"), (3, 409, "token-reused"), (4, 201, "")];
    assert_eq!(briefs, wanted);
}

#[tokio::test]
async fn an_import_of_nothing_has_no_results() {
    let world = World::new().await;
    for body in ["", "\n", "\n\n  \n"] {
        assert_eq!(import(&world, body).await, Vec::<Value>::new(), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_no_import_is_refused_before_a_line_is_read() {
    let world = World::new().await;
    for (field, value, problem) in [
        ("content-type", "application/json", (415, "unsupported-media-type")),
        ("content-type", "application/x-ndjson; charset=latin1", (415, "unsupported-media-type")),
        ("content-encoding", "gzip", (415, "unsupported-media-type")),
        ("authorization", "Bearer nobody's", (401, "unauthenticated")),
        ("idempotency-key", "", (400, "invalid-request")),
    ] {
        let mut request = import_request(rows(3));
        request.headers_mut().insert(field, value.parse().unwrap());
        let refused = world.ask(Side::Operator, request).await;
        assert_eq!(refused.problem(), (problem.0, problem.1.into()), "{field}: {value}");
    }
    assert_eq!(
        world.store.devices_find(vec!["SN-0".parse().unwrap()]).await.remove(0).unwrap(),
        None
    );
}

#[tokio::test]
async fn lines_that_the_store_cannot_take_now_are_503_and_the_others_are_not() {
    let broken = |ports: Ports| Ports { policies: Arc::new(Broken(ports.policies)), ..ports };
    let world = World::with(|_| {}, broken).await;
    let down = |serial: &str| json!({"serialNumber": serial, "policy": "down"}).to_string();
    let body = [row("SN-1"), down("SN-2"), row("SN-3"), down("SN-4")].join("\n");
    let results = import(&world, body).await;
    let statuses: Vec<_> = results.iter().map(|result| brief(result).1).collect();
    assert_eq!(statuses, [201, 503, 201, 503]);
    let detail = results[1]["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("succeeds later") && !detail.contains("told to"), "{detail}");
}
