//! Who is told of answered requests, and that nothing a stranger wrote is told with them.

use std::sync::Arc;

use bytes::Bytes;
use cvm_api::{Answered, Observer, Side};
use http::Request;
use parking_lot::Mutex;

use crate::harness::{World, request};

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Answered>>);

impl Observer for Seen {
    fn request_answered(&self, answered: Answered) {
        self.0.lock().push(answered);
    }
}

async fn seen(requests: Vec<(Side, Request<Bytes>)>) -> Vec<(&'static str, &'static str, u16)> {
    let seen = Arc::new(Seen::default());
    let world = World::with(|settings| settings.observer = Some(seen.clone()), |it| it).await;
    for (side, request) in requests {
        world.ask(side, request).await;
    }
    let answered = seen.0.lock();
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
