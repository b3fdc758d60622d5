//! Requests without a connection, as a function gets them: what follows from an answer is done when
//! it is handed over.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cvm_api::{Direct, Peer, Side};
use cvm_core::attempt::Attempt;
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::ports::{Attempts, Ports, StoreError};
use cvm_core::testing::test_csr;
use cvm_core::time::Timestamp;
use http::{Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::{World, request, vend_body};

const ADDRESS: &str = "198.51.100.7";

fn peer() -> Peer {
    Peer { address: ADDRESS.parse().unwrap(), certificate: None }
}

fn vend_request(serial: &str, token: &str) -> Request<Bytes> {
    request("POST", "/v1/certificates", &vend_body(serial, token, &test_csr(serial)))
}

async fn answer(world: &World, request: Request<Bytes>) -> Response<Bytes> {
    Direct::new(&world.api, Side::Device).answer(request, peer()).await
}

fn problem(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

/// Keeps what it is told until somebody waits for it.
struct Late {
    port: Arc<dyn Attempts>,
    waiting: Mutex<Vec<Attempt>>,
}

#[async_trait]
impl Attempts for Late {
    fn attempt_record(&self, attempt: Attempt) {
        self.waiting.lock().push(attempt);
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        self.port.unknown_count(address, at);
    }

    async fn settled(&self) {
        tokio::task::yield_now().await;
        for attempt in self.waiting.lock().drain(..) {
            self.port.attempt_record(attempt);
        }
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        self.port.attempts_of(serial).await
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        self.port.attempt_by_code(code).await
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.port.unknown_since(since).await
    }
}

#[tokio::test]
async fn the_attempt_of_an_answer_that_is_handed_over_is_written() {
    let late = |ports: Ports| {
        let late = Late { port: ports.attempts.clone(), waiting: Mutex::default() };
        Ports { attempts: Arc::new(late), ..ports }
    };
    let world = World::with(|_| {}, late).await;
    world.register("SN-1", json!({})).await;
    let refused = answer(&world, vend_request("SN-1", "a-wrong-token-altogether")).await;
    assert_eq!(refused.status(), 403);
    let written = world.store.attempts_of(&"SN-1".parse().unwrap()).await.unwrap();
    let codes: Vec<String> = written.iter().map(|attempt| attempt.code.to_string()).collect();
    assert_eq!(codes, [problem(&refused)["attempt"].as_str().unwrap()]);
    assert_eq!(written[0].address, ADDRESS);
}

#[tokio::test]
async fn a_request_for_an_unknown_serial_number_is_counted_by_its_address() {
    let world = World::new().await;
    let refused = answer(&world, vend_request("SN-9", "a-wrong-token-altogether")).await;
    assert_eq!(refused.status(), 403);
    let counted = world.store.unknown_since(Timestamp(0)).await.unwrap();
    assert_eq!(counted, [(ADDRESS.to_owned(), 1)]);
}

#[tokio::test]
async fn a_device_is_answered_as_over_a_connection() {
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    let vended = answer(&world, vend_request("SN-1", crate::harness::TOKEN)).await;
    assert_eq!(vended.status(), 201);
    let vended: Value = serde_json::from_slice(vended.body()).unwrap();
    assert_eq!(vended["thingName"], "SN-1");
    let roots = answer(&world, request("GET", "/v1/trust-bundle", "")).await;
    assert_eq!(roots.headers()["content-type"], "application/pem-certificate-chain");
    let operators = answer(&world, request("GET", "/v1/devices", "")).await;
    assert_eq!(operators.status(), 404);
}

#[tokio::test]
async fn one_request_after_the_other_is_answered_and_followed() {
    let world = World::new().await;
    let direct = Direct::new(&world.api, Side::Device);
    for count in 1..=3 {
        direct.answer(vend_request("SN-9", "a-wrong-token-altogether"), peer()).await;
        let counted = world.store.unknown_since(Timestamp(0)).await.unwrap();
        assert_eq!(counted, [(ADDRESS.to_owned(), count)]);
    }
}
