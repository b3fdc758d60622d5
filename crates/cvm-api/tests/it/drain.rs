//! Stopping: nothing new, nothing idle, nothing lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cvm_api::Limits;
use cvm_core::id::TokenMac;
use cvm_core::journal::Event;
use cvm_core::operator::AdminToken;
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Attempts as _, CredentialError, Operators, Ports, StoreError};
use cvm_core::time::Timestamp;
use http::Request;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::harness::{ADMIN_TOKEN, Reply, eventually};
use crate::socket::{Client, Protocol, Server, get, post};

const SOON: Duration = Duration::from_secs(8);

/// Operators that are found only while the gate is open.
struct Gated {
    operators: Arc<dyn Operators>,
    gate: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[async_trait]
impl Operators for Gated {
    async fn admin_token_add(
        &self,
        token: AdminToken,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.operators.admin_token_add(token, event).await
    }

    async fn admin_token_show(&self, id: &str) -> Result<Option<AdminToken>, StoreError> {
        self.operators.admin_token_show(id).await
    }

    async fn admin_token_page(&self, page: &PageRequest) -> Result<Page<AdminToken>, StoreError> {
        self.operators.admin_token_page(page).await
    }

    async fn admin_token_revoke(
        &self,
        id: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.operators.admin_token_revoke(id, at, event).await
    }

    async fn admin_token_find(&self, mac: &TokenMac) -> Result<Option<AdminToken>, StoreError> {
        self.waiting.add_permits(1);
        let _open = self.gate.acquire().await;
        self.operators.admin_token_find(mac).await
    }
}

struct Gate {
    open: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), waiting: Arc::new(Semaphore::new(0)) }
    }

    fn before(&self, ports: Ports) -> Ports {
        let gated = Gated {
            operators: ports.operators,
            gate: Arc::clone(&self.open),
            waiting: Arc::clone(&self.waiting),
        };
        Ports { operators: Arc::new(gated), ..ports }
    }

    async fn reached(&self) {
        timeout(SOON, self.waiting.acquire()).await.unwrap().unwrap().forget();
    }
}

fn devices() -> Request<bytes::Bytes> {
    let mut request = get("/v1/devices");
    let token = format!("Bearer {ADMIN_TOKEN}").parse().unwrap();
    request.headers_mut().insert("authorization", token);
    request
}

async fn start(limits: Limits, gate: &Gate) -> Server {
    Server::with(limits, |ports| gate.before(ports)).await
}

async fn asking(mut client: Client) -> hyper::Result<Reply> {
    client.send(devices()).await
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_an_idle_connection_closed_at_once() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let gate = Gate::closed();
        let server = start(Limits::default(), &gate).await;
        let address = server.operator.local_addr();
        let busy = tokio::spawn(asking(Client::connect(address, protocol, None).await));
        gate.reached().await;
        let mut idle = Client::connect(address, protocol, None).await;
        assert_eq!(idle.send(get("/healthz")).await.unwrap().status, 200);

        let draining = tokio::spawn(server.operator.drain());
        timeout(SOON, idle.connection).await.expect("it stays open").unwrap();
        eventually(async || TcpStream::connect(address).await.is_err()).await;
        assert!(!draining.is_finished() && !busy.is_finished());

        gate.open.add_permits(10);
        let reply = timeout(SOON, busy).await.unwrap().unwrap().unwrap();
        assert_eq!(reply.status, 200, "{protocol:?}");
        timeout(SOON, draining).await.expect("it never ends").unwrap();
    }
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off() {
    let gate = Gate::closed();
    let limits = Limits { drain_seconds_max: 1, ..Limits::default() };
    let server = start(limits, &gate).await;
    let client = Client::connect(server.operator.local_addr(), Protocol::Http1, None).await;
    let busy = tokio::spawn(asking(client));
    gate.reached().await;
    timeout(SOON, server.operator.drain()).await.expect("it never ends");
    assert!(busy.await.unwrap().is_err());
}

#[tokio::test]
async fn a_slow_request_holds_up_no_other_on_its_connection() {
    let gate = Gate::closed();
    let server = start(Limits::default(), &gate).await;
    let address = server.operator.local_addr();
    let stream = crate::socket::tls(address, crate::socket::client_config(Protocol::Http2, None));
    let io = hyper_util::rt::TokioIo::new(stream.await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Full<bytes::Bytes>>(
            executor, io,
        )
        .await
        .unwrap();
    let _connection = tokio::spawn(connection);
    let full = |request: Request<bytes::Bytes>| {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("https://localhost{}", parts.uri).parse().unwrap();
        Request::from_parts(parts, http_body_util::Full::new(body))
    };
    let slow = tokio::spawn(sender.send_request(full(devices())));
    gate.reached().await;
    for _ in 0..40 {
        let reply = timeout(SOON, sender.send_request(full(get("/healthz")))).await.unwrap();
        assert_eq!(reply.unwrap().status(), 200);
    }
    assert!(!slow.is_finished());
    gate.open.add_permits(1);
    assert_eq!(timeout(SOON, slow).await.unwrap().unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn what_follows_from_the_last_answer_is_written_before_drain_returns() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Server::start().await;
        server.enroll("SN-1").await;
        let mut client = Client::connect(server.device_addr(), protocol, None).await;
        let body = crate::harness::vend_body("SN-1", "a-wrong-token-altogether", "x");
        let refused = client.send(post("/v1/certificates", &body)).await.unwrap();
        assert_eq!(refused.problem(), (403, "access-denied".into()));
        timeout(SOON, server.device.drain()).await.expect("it never ends");
        let attempts = server.store.attempts_of(&"SN-1".parse().unwrap()).await.unwrap();
        assert_eq!(attempts[0].reason, "wrong-token");
        assert_eq!(attempts[0].address, "127.0.0.1");
        let code = attempts[0].code.to_string();
        assert_eq!(refused.json()["attempt"], code);
    }
}

#[tokio::test]
async fn two_listeners_are_drained_one_after_the_other() {
    let server = Server::start().await;
    server.enroll("SN-1").await;
    timeout(SOON, server.device.drain()).await.expect("it never ends");
    let mut client = Client::connect(server.operator.local_addr(), Protocol::Http1, None).await;
    assert_eq!(client.send(devices()).await.unwrap().status, 200);
    timeout(SOON, server.operator.drain()).await.expect("it never ends");
}
