//! Who is told of answered requests, and that nothing a stranger wrote is told with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cvm_api::{Answered, Limit, Notice, Observer, Side};
use cvm_core::limit::Rate;
use cvm_core::time::Span;
use http::Request;
use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{TOKEN, World, request, vend_body};
use cvm_core::testing::test_csr;

#[derive(Debug, Default)]
struct Seen {
    answered: Mutex<Vec<Answered>>,
    reached: Mutex<Vec<(Side, Limit)>>,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Observer for Seen {
    fn request_answered(&self, answered: Answered) {
        self.answered.lock().push(answered);
    }

    fn noticed(&self, side: Side, notice: Notice) {
        match notice {
            Notice::LimitReached(limit) => self.reached.lock().push((side, limit)),
            Notice::RequestBegun => drop(self.begun.fetch_add(1, Ordering::SeqCst)),
            Notice::RequestEnded => drop(self.ended.fetch_add(1, Ordering::SeqCst)),
            Notice::ConnectionClosed | Notice::ConnectionOpened | Notice::HandshakeFailed => {}
        }
    }
}

async fn observed() -> (World, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let world = World::with(
        |settings| {
            settings.observer = Some(seen.clone());
            settings.refusals_per_address = Rate { count: 2, per: Span::MINUTE };
        },
        |it| it,
    )
    .await;
    (world, seen)
}

async fn seen(requests: Vec<(Side, Request<Bytes>)>) -> Vec<(&'static str, &'static str, u16)> {
    let (world, seen) = observed().await;
    for (side, request) in requests {
        world.ask(side, request).await;
    }
    let answered = seen.answered.lock();
    answered.iter().map(|it| (it.method, it.route, it.status)).collect()
}

#[tokio::test]
async fn every_answer_is_told_by_the_pattern_of_its_route() {
    let told = seen(vec![
        (Side::Device, request("GET", "/healthz", "")),
        (Side::Device, request("POST", "/v1/certificates", "{}")),
        (Side::Operator, request("GET", "/v1/devices/SN-0815", "")),
        (Side::Operator, request("HEAD", "/healthz", "")),
    ]);
    assert_eq!(
        told.await,
        [
            ("GET", "/healthz", 200),
            ("POST", "/v1/certificates", 400),
            ("GET", "/v1/devices/{serialNumber}", 401),
            ("GET", "/healthz", 200),
        ]
    );
}

#[tokio::test]
async fn what_a_stranger_makes_up_has_no_name_of_its_own() {
    let told = seen(vec![
        (Side::Device, request("GET", "/made/up", "")),
        (Side::Device, request("BREW", "/healthz", "")),
        (Side::Device, request("GET", "/v1/devices/SN-0815", "")),
    ]);
    let none = [("GET", "none", 404), ("other", "none", 405), ("GET", "none", 404)];
    assert_eq!(told.await, none);
}

#[tokio::test]
async fn refusals_are_told_by_their_slug_and_the_limit_that_was_reached_by_its_key() {
    let (world, seen) = observed().await;
    world.register("SN-1", json!({})).await;
    for _ in 0..3 {
        let body = vend_body("SN-1", "a-wrong-token-altogether", &test_csr("k"));
        world.device("POST", "/v1/certificates", &body).await;
    }
    world.device("GET", "/healthz", "").await;
    let problems: Vec<_> = seen.answered.lock().iter().map(|it| it.problem).collect();
    let denied = Some("access-denied");
    assert_eq!(problems, [None, denied, denied, Some("slow-down"), None]);
    assert_eq!(*seen.reached.lock(), [(Side::Device, Limit::RefusalsPerAddress)]);
    let known: Vec<_> = cvm_api::problems().collect();
    assert!(problems.iter().flatten().all(|problem| known.contains(problem)));
}

#[tokio::test]
async fn every_request_that_begins_ends_also_where_nobody_waits_for_its_answer() {
    let (world, seen) = observed().await;
    world.device("GET", "/healthz", "").await;
    let body = vend_body("SN-1", TOKEN, &test_csr("k"));
    let asked = request("POST", "/v1/certificates", &body).map(http_body_util::Full::new);
    let mut asking = Box::pin(tower::ServiceExt::oneshot(world.api.router(Side::Device), asked));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    let counts = || [&seen.begun, &seen.ended].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts(), [2, 1]);
    drop(asking);
    assert_eq!(counts(), [2, 2]);
}
