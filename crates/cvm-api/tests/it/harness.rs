//! A world to test in: the API over fake or real ports, and one way to ask it things.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cvm_api::{Api, Peer, Settings, Side};
use cvm_core::id::CertificateId;
use cvm_core::limit::Rate;
use cvm_core::operator::{Actor, AdminToken, Role};
use cvm_core::ports::Ports;
use cvm_core::profile::{Profile, Profiles};
use cvm_core::provisioning::{Provisioning, admin_token_created_event};

use cvm_core::testing::{TestClock, TestIssuer, default_policy_put, test_ports};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600);
pub(crate) const ADMIN_TOKEN: &str = "the-operators-own-token";
pub(crate) const TOKEN: &str = "a-token-that-the-test-brings";
pub(crate) const PUBLIC_URL: &str = "https://vend.example:8443";

/// The parts behind the API that a test reaches for.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) issuer: Arc<TestIssuer>,
    pub(crate) store: Arc<MemoryStore>,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status and slug of a problem, which is whole in every respect.
    pub(crate) fn problem(&self) -> (u16, String) {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(problem["status"], self.status.as_u16());
        let attempt = problem["attempt"].as_str().unwrap();
        attempt.parse::<cvm_core::id::AttemptCode>().unwrap();
        assert_eq!(attempt.len(), 11);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        let is_signable = problem["signed"] == true;
        assert_eq!(is_signable, problem["type"] == "/problems/certificate-required");
        assert_eq!(problem.as_object().unwrap().len(), 5 + usize::from(is_signable));
        let waits = matches!(self.status.as_u16(), 429 | 503);
        assert_eq!(self.headers.contains_key("retry-after"), waits);
        assert_eq!(self.headers.contains_key("allow"), self.status == 405);
        let slug = problem["type"].as_str().unwrap().strip_prefix("/problems/").unwrap();
        (self.status.as_u16(), slug.to_owned())
    }

    /// The answer without its attempt code, byte for byte.
    pub(crate) fn without_attempt(&self) -> (u16, String, String) {
        let attempt = self.json()["attempt"].as_str().unwrap().to_owned();
        let body = self.text().replace(&attempt, "ATTEMPT");
        (self.status.as_u16(), format!("{:?}", self.headers), body)
    }
}

/// Fake ports but for the store, which is the reference one.
pub(crate) fn fake_ports(store: &Arc<MemoryStore>) -> (Ports, Arc<TestClock>, Arc<TestIssuer>) {
    let clock = Arc::new(TestClock::at(NOW));
    let issuer = Arc::new(TestIssuer::new(NOW.minus(Span::DAY)).owning("server"));
    let ports = test_ports(store, clock.clone(), issuer.clone());
    (ports, clock, issuer)
}

/// The default profile, and `open` in which the server makes keys.
pub(crate) fn profiles() -> Profiles {
    let open = Profile { server_keys: true, ..Profile::default() };
    Profiles {
        default: Profile::default(),
        named: [("open".parse().unwrap(), open)].into_iter().collect(),
    }
}

/// The use cases over `ports`, with the default policy and an operator.
pub(crate) async fn provisioning(ports: &Ports) -> Arc<Provisioning> {
    default_policy_put(ports, NOW).await.unwrap();
    let token = Token::unchecked(Zeroizing::new(ADMIN_TOKEN.to_owned()));
    let admin = AdminToken {
        id: String::from("op-1"),
        name: "tests".parse().unwrap(),
        role: Role::Owner,
        mac: ports.secrets.admin_token_mac(&token),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
    };
    let event = admin_token_created_event(&admin, Actor::Server);
    ports.operators.admin_token_add(admin, event).await.unwrap();
    let budget = Rate { count: 10, per: Span(3_600) };
    Arc::new(Provisioning::new(ports.clone(), profiles(), budget))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, |ports| ports).await
    }

    pub(crate) async fn with(
        settle: impl FnOnce(&mut Settings),
        replace: impl FnOnce(Ports) -> Ports,
    ) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (ports, clock, issuer) = fake_ports(&store);
        let ports = replace(ports);
        let provisioning = provisioning(&ports).await;
        let mut settings = Settings::new(PUBLIC_URL.to_owned());
        settle(&mut settings);
        Self { api: Api::new(provisioning, settings), clock, issuer, store }
    }

    /// Asks in-process.
    pub(crate) async fn ask(&self, side: Side, request: Request<Bytes>) -> Reply {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let response = self.api.router(side).oneshot(request.map(Full::new)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = Reply { status: parts.status, headers: parts.headers, body };
        let is_problem = !reply.status.is_success() && method != "HEAD";
        let slug = is_problem.then(|| reply.problem().1);
        crate::openapi::check(&method, &path, reply.status.as_u16(), slug.as_deref());
        reply
    }

    pub(crate) async fn device(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(Side::Device, request(method, path, body)).await
    }

    pub(crate) async fn operator(&self, method: &str, path: &str, body: &str) -> Reply {
        self.bearer(ADMIN_TOKEN, method, path, body).await
    }

    /// Asks as the operator whose token this is.
    pub(crate) async fn bearer(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let mut request = request(method, path, body);
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        self.ask(Side::Operator, request).await
    }

    /// Registers a device, with [`TOKEN`] unless `more` says otherwise.
    pub(crate) async fn register(&self, serial: &str, more: Value) -> Value {
        let mut body = json!({"serialNumber": serial, "token": TOKEN});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = self.operator("POST", "/v1/devices", &body.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    pub(crate) async fn vend(&self, serial: &str, token: &str, csr: &str) -> Reply {
        self.device("POST", "/v1/certificates", &vend_body(serial, token, csr)).await
    }

    /// Confirms over a connection that proved possession of `certificate`.
    pub(crate) async fn confirm(&self, certificate: Option<CertificateId>) -> Reply {
        let mut request = request("POST", "/v1/certificates/confirm", "");
        let peer = Peer { address: "192.0.2.1".parse().unwrap(), certificate };
        request.extensions_mut().insert(peer);
        self.ask(Side::Device, request).await
    }
}

pub(crate) fn vend_body(serial: &str, token: &str, csr: &str) -> String {
    json!({"serialNumber": serial, "token": token, "csr": csr}).to_string()
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(path);
    let builder = match body {
        "" => builder,
        _ => builder.header("content-type", "application/json"),
    };
    builder.body(Bytes::from(body.to_owned())).unwrap()
}

/// Waits until `is_so`, at most ten seconds.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.expect("never became so");
}
