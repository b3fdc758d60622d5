//! Admin tokens: made and shown once, listed without their secret, ended by time or by somebody.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cvm_api::Side;
use cvm_core::time::Span;
use http::Request;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::harness::{ADMIN_TOKEN, NOW, Reply, World};

const PATH: &str = "/v1/admin-tokens";

async fn make(world: &World, by: &str, name: &str, role: &str) -> Reply {
    let body = json!({"name": name, "role": role}).to_string();
    world.bearer(by, "POST", PATH, &body).await
}

/// A token's id and secret.
fn parts(made: &Reply) -> (String, String) {
    assert_eq!(made.status, 201, "{}", made.text());
    let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

async fn revoke(world: &World, by: &str, id: &str) -> Reply {
    world.bearer(by, "POST", &format!("{PATH}/{id}:revoke"), "").await
}

/// Status and slug with which a token is met where every role may read.
async fn met(world: &World, token: &str) -> (u16, Option<String>) {
    let reply = world.bearer(token, "GET", "/v1/devices", "").await;
    (reply.status.as_u16(), (reply.status != 200).then(|| reply.problem().1))
}

#[tokio::test]
async fn a_token_is_shown_in_the_answer_that_made_it_and_nowhere_else() {
    let world = World::new().await;
    let end = NOW.plus(Span::DAY).to_string();
    let body = json!({"name": "ci", "role": "registrar", "expires": end}).to_string();
    let made = world.operator("POST", PATH, &body).await;
    let (id, secret) = parts(&made);
    let mut expected = json!({
        "id": id, "name": "ci", "role": "registrar", "state": "live",
        "createdAt": NOW.to_string(), "expires": end, "revokedAt": null, "token": secret,
    });
    assert_eq!(made.json(), expected);
    assert_eq!(met(&world, &secret).await, (200, None));
    expected.as_object_mut().unwrap().remove("token");
    let listed = world.operator("GET", PATH, "").await;
    assert!(listed.json()["items"].as_array().unwrap().contains(&expected), "{}", listed.text());
    let journal = world.operator("GET", "/v1/journal", "").await;
    for reply in [&listed, &journal] {
        assert!(!reply.text().contains(&secret) && !reply.text().contains("mac"));
    }
    let row = journal.json()["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&row["kind"], &row["actor"]),
        (&json!("admin-token-created"), &json!("operator op-1"))
    );
    assert_eq!(row["detail"], format!("admin token {id} (ci), role registrar, expires {end}"));
}

#[tokio::test]
async fn a_token_is_let_in_through_its_last_second() {
    let world = World::new().await;
    let body = json!({"name": "ci", "role": "viewer", "expires": NOW.plus(Span(10)).to_string()});
    let (_, secret) = parts(&world.operator("POST", PATH, &body.to_string()).await);
    world.clock.set(NOW.plus(Span(10)));
    assert_eq!(met(&world, &secret).await, (200, None));
    world.clock.set(NOW.plus(Span(11)));
    assert_eq!(met(&world, &secret).await, (401, Some("unauthenticated".into())));
    let listed = world.operator("GET", PATH, "").await.json();
    let states = listed["items"].as_array().unwrap().iter().map(|item| item["state"].clone());
    assert!(states.collect::<Vec<Value>>().contains(&json!("expired")));
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_revoking_it_again_changes_nothing() {
    let world = World::new().await;
    let (id, secret) = parts(&make(&world, ADMIN_TOKEN, "ci", "viewer").await);
    let revoked = revoke(&world, ADMIN_TOKEN, &id).await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["state"]), (200, &json!("revoked")));
    assert_eq!(met(&world, &secret).await, (401, Some("unauthenticated".into())));
    world.clock.set(NOW.plus(Span(5)));
    let again = revoke(&world, ADMIN_TOKEN, &id).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, revoked.json()));
    let rows = world.operator("GET", "/v1/journal", "").await.json();
    let rows = rows["items"].as_array().unwrap().clone();
    let kinds = rows.iter().filter(|row| row["kind"] == "admin-token-revoked").count();
    assert_eq!(kinds, 1);
    let unknown = revoke(&world, ADMIN_TOKEN, "none").await;
    assert_eq!(unknown.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn a_live_tokens_name_is_taken_until_that_token_ends() {
    let world = World::new().await;
    let (id, _) = parts(&make(&world, ADMIN_TOKEN, "ci", "viewer").await);
    let refused = make(&world, ADMIN_TOKEN, "ci", "registrar").await;
    assert_eq!(refused.problem(), (409, "already-exists".into()));
    revoke(&world, ADMIN_TOKEN, &id).await;
    parts(&make(&world, ADMIN_TOKEN, "ci", "registrar").await);
}

#[tokio::test]
async fn nobody_makes_or_revokes_a_token_of_a_role_above() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for role in ["viewer", "registrar", "operator", "security", "owner"] {
        tokens.push((role, parts(&make(&world, ADMIN_TOKEN, role, role).await)));
    }
    for (role, (_, by)) in &tokens {
        for (other, (id, _)) in &tokens {
            let may = match *role {
                "owner" => true,
                "security" => *other != "owner",
                _ => false,
            };
            let name = format!("{other}-of-{role}");
            let made = make(&world, by, &name, other).await;
            // Revoked again and again: what is decided is who may.
            let (status, slug) = match may {
                true => {
                    let (id, _) = parts(&made);
                    let revoked = revoke(&world, by, &id).await;
                    (revoked.status.as_u16(), String::new())
                }
                false => {
                    assert_eq!(made.problem(), (403, "role-required".into()), "{name}");
                    revoke(&world, by, id).await.problem()
                }
            };
            let expected = if may { (200, "") } else { (403, "role-required") };
            assert_eq!((status, slug.as_str()), expected, "{name}");
        }
    }
    for (role, (_, secret)) in &tokens {
        assert_eq!(met(&world, secret).await, (200, None), "{role} is as live as before");
    }
}

#[tokio::test]
async fn the_last_live_owner_stays() {
    let world = World::new().await;
    let refused = revoke(&world, ADMIN_TOKEN, "op-1").await;
    assert_eq!(refused.problem(), (409, "wrong-state".into()));
    let (_, heir) = parts(&make(&world, ADMIN_TOKEN, "heir", "owner").await);
    assert_eq!(revoke(&world, ADMIN_TOKEN, "op-1").await.status, 200);
    assert_eq!(met(&world, ADMIN_TOKEN).await.0, 401);
    assert_eq!(met(&world, &heir).await.0, 200);
}

#[tokio::test]
async fn a_refusal_names_the_roles_that_may() {
    let world = World::new().await;
    let (_, viewer) = parts(&make(&world, ADMIN_TOKEN, "v", "viewer").await);
    let refused = world.bearer(&viewer, "GET", "/v1/journal", "").await;
    assert_eq!(refused.problem(), (403, "role-required".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("security or owner"), "{detail}");
}

#[tokio::test]
async fn every_refusal_of_a_new_token_is_said() {
    let world = World::new().await;
    for body in [
        json!({"name": "ci"}),
        json!({"role": "viewer"}),
        json!({"name": "c i", "role": "viewer"}),
        json!({"name": "", "role": "viewer"}),
        json!({"name": "ci", "role": "admin"}),
        json!({"name": "ci", "role": "viewer", "expires": "tomorrow"}),
        json!({"name": "ci", "role": "viewer", "expires": NOW.to_string()}),
    ] {
        let refused = world.operator("POST", PATH, &body.to_string()).await;
        assert_eq!(refused.problem(), (400, "invalid-request".into()), "{body}");
    }
    let listed = world.operator("GET", PATH, "").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "nothing was made");
}

/// A body that comes as its test sends it.
struct Slow(mpsc::Receiver<Bytes>);

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test]
async fn what_a_revoked_token_began_is_not_finished() {
    let world = World::new().await;
    let (id, secret) = parts(&make(&world, ADMIN_TOKEN, "stolen", "registrar").await);
    let (sender, receiver) = mpsc::channel(1);
    let request = Request::post("/v1/devices")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {secret}"))
        .body(Slow(receiver))
        .unwrap();
    let asking = tokio::spawn(world.api.router(Side::Operator).oneshot(request));
    let body =
        json!({"serialNumber": "SN-1", "token": "a-token-that-the-thief-brings"}).to_string();
    let (begin, end) = body.split_at(9);
    // The second one is taken once the first is: the request is let in, and its body read.
    for part in [begin, &end[..1]] {
        sender.send(Bytes::copy_from_slice(part.as_bytes())).await.unwrap();
    }
    assert_eq!(revoke(&world, ADMIN_TOKEN, &id).await.status, 200);
    sender.send(Bytes::copy_from_slice(&end.as_bytes()[1..])).await.unwrap();
    drop(sender);
    assert_eq!(asking.await.unwrap().unwrap().status(), 401);
    assert_eq!(world.operator("GET", "/v1/devices/SN-1", "").await.status, 404);
}
