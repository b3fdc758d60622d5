//! When the server itself fails: an answer all the same, and a log that tells why and no secret.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use cvm_api::Side;
use cvm_core::id::Name;
use cvm_core::journal::Event;
use cvm_core::page::{Page, PageRequest};
use cvm_core::policy::Policy;
use cvm_core::ports::{Policies, Ports, StoreError};
use cvm_core::testing::test_csr;
use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{ADMIN_TOKEN, TOKEN, World, request, vend_body};

/// Policies of which one panics, one never comes and one cannot be read.
pub(crate) struct Broken(pub(crate) Arc<dyn Policies>);

#[async_trait]
impl Policies for Broken {
    async fn policy_put(&self, policy: Policy, event: Event) -> Result<(), StoreError> {
        self.0.policy_put(policy, event).await
    }

    async fn policy_find(&self, name: &Name) -> Result<Option<Policy>, StoreError> {
        match name.as_str() {
            "panic" => panic!("a bug"),
            "down" => Err(StoreError::Unavailable("told to fail".into())),
            "never" => std::future::pending().await,
            _ => self.0.policy_find(name).await,
        }
    }

    async fn policy_page(&self, page: &PageRequest) -> Result<Page<Policy>, StoreError> {
        self.0.policy_page(page).await
    }
}

async fn broken() -> World {
    World::with(
        |settings| settings.limits.request_seconds_max = 1,
        |ports| Ports { policies: Arc::new(Broken(ports.policies)), ..ports },
    )
    .await
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_request_is_another_matter() {
    let world = broken().await;
    let failed = world.operator("GET", "/v1/policies/panic", "").await;
    assert_eq!(failed.problem(), (500, "internal-error".into()));
    assert!(!failed.text().contains("a bug"));
    assert_eq!(world.operator("GET", "/v1/policies/cvm-default", "").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_503() {
    let world = broken().await;
    let failed = world.operator("GET", "/v1/policies/never", "").await;
    assert_eq!(failed.problem(), (503, "unavailable".into()));
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        // Where no subscriber is there for a moment, tracing remembers that nobody wants a line; with
        // one that is always there, tests that log at the same time take nothing from each other.
        static ALWAYS: std::sync::Once = std::sync::Once::new();
        ALWAYS.call_once(|| {
            drop(tracing::subscriber::set_global_default(tracing_subscriber::registry()));
        });
        let log = self.clone();
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish()
    }

    /// The lines of ours so far.
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let is_ours = |line: &serde_json::Value| {
            matches!(line["target"].as_str(), Some("cvm_api::answer" | "cvm_api::api"))
        };
        lines.filter(is_ours).collect()
    }
}

#[tokio::test]
async fn every_request_is_one_line_with_its_attempt_and_nothing_that_was_sent() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.subscriber());
    let world = World::new().await;
    world.register("SN-1", json!({})).await;
    world.vend("SN-1", TOKEN, &test_csr("k")).await;
    let refused = world.vend("SN-1", "a-wrong-token-altogether", &test_csr("k")).await;
    world.operator("GET", "/v1/devices/SN-1", "").await;
    world.operator("GET", "/v1/attempts?serialNumber=SN-1", "").await;
    let mut wrong = request("GET", "/v1/devices", "");
    wrong.headers_mut().insert("authorization", "Bearer a-wrong-admin-token".parse().unwrap());
    world.ask(Side::Operator, wrong).await;
    world.device("BREW", "/s3cret-path", "").await;

    let lines = log.lines();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let fields = &line["fields"];
            assert!(fields["micros"].is_u64());
            let text = |name: &str| line["span"][name].as_str().unwrap().to_owned();
            (text("method"), text("route"), fields["status"].as_u64().unwrap())
        })
        .collect();
    let expected = [
        ("POST", "/v1/devices", 201),
        ("POST", "/v1/certificates", 201),
        ("POST", "/v1/certificates", 403),
        ("GET", "/v1/devices/{serialNumber}", 200),
        ("GET", "/v1/attempts", 200),
        ("GET", "/v1/devices", 401),
        ("other", "none", 404),
    ];
    assert_eq!(told, expected.map(|(method, route, status)| (method.into(), route.into(), status)));
    assert_eq!(lines[2]["span"]["attempt"], refused.json()["attempt"]);
    let whole = String::from_utf8(log.0.lock().clone()).unwrap();
    for secret in [TOKEN, ADMIN_TOKEN, "a-wrong", "SN-1", "CSR k", "s3cret", "BREW"] {
        assert!(!whole.contains(secret), "{secret}: {whole}");
    }
}

#[tokio::test]
async fn the_cause_of_a_503_is_in_the_log_under_its_attempt() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.subscriber());
    let world = World::new().await;
    world.store.fail();
    let failed = world.vend("SN-1", TOKEN, &test_csr("k")).await;
    assert_eq!(failed.problem(), (503, "unavailable".into()));
    let lines = log.lines();
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(lines[0]["fields"]["cause"].as_str().unwrap().contains("told to fail"));
    assert_eq!(lines[0]["span"]["attempt"], failed.json()["attempt"]);
}

#[tokio::test]
async fn who_goes_away_is_told_of_under_a_code() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.subscriber());
    let world = World::new().await;
    let body = vend_body("SN-1", TOKEN, &test_csr("k"));
    let asked = request("POST", "/v1/certificates", &body).map(http_body_util::Full::new);
    let mut asking = Box::pin(tower::ServiceExt::oneshot(world.api.router(Side::Device), asked));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    drop(asking);
    let whole = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines = whole.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told = |line: &serde_json::Value| {
        line["fields"]["message"].as_str().is_some_and(|words| words.starts_with("given up"))
    };
    let line = lines.into_iter().find(told).unwrap();
    assert_eq!(line["span"]["route"], "/v1/certificates");
    assert_eq!(line["span"]["attempt"].as_str().unwrap().len(), 11);
}
