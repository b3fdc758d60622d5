//! Places for requests: held until the work is done, also for those who hang up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cvm_api::Limits;
use cvm_core::id::{AttemptCode, Name, SerialNumber, ThingName};
use cvm_core::key::{CheckedCsr, CsrError};
use cvm_core::ports::{CarryOutError, Change, IssueOrder, Issued, Platform, Ports, Sought};
use http::Request;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::harness::{ADMIN_TOKEN, TOKEN, eventually};
use crate::socket::{Client, Protocol, Server, get, post};

const SOON: Duration = Duration::from_secs(60);

/// A platform that issues only while the gate is open.
struct Gated {
    platform: Arc<dyn Platform>,
    gate: Arc<Semaphore>,
    reached: Arc<Semaphore>,
}

#[async_trait]
impl Platform for Gated {
    fn request_judge(&self, csr: &CheckedCsr, thing: &ThingName) -> Result<(), CsrError> {
        self.platform.request_judge(csr, thing)
    }

    fn owe(&self, change: &mut Change) {
        self.platform.owe(change);
    }

    async fn certificate_issue(&self, order: IssueOrder<'_>) -> Result<Issued, CarryOutError> {
        self.reached.add_permits(1);
        let _open = self.gate.acquire().await;
        self.platform.certificate_issue(order).await
    }

    async fn certificate_complete(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError> {
        self.platform.certificate_complete(serial, attempt).await
    }

    async fn device_settle(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError> {
        self.platform.device_settle(serial, attempt).await
    }

    async fn orphans_end(&self, sought: &[Sought]) -> Result<usize, CarryOutError> {
        self.platform.orphans_end(sought).await
    }

    async fn policy_is_known(&self, policy: &Name) -> Result<bool, CarryOutError> {
        self.platform.policy_is_known(policy).await
    }
}

async fn register(server: &Server) {
    let body = json!({"serialNumber": "SN-1", "token": TOKEN, "profile": "open"});
    let mut request = post("/v1/devices", &body.to_string());
    let bearer = format!("Bearer {ADMIN_TOKEN}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let mut client = Client::connect(server.operator.local_addr(), Protocol::Http1, None).await;
    assert_eq!(client.send(request).await.unwrap().status, 201);
}

fn vend() -> Request<bytes::Bytes> {
    post("/v1/certificates", &json!({"serialNumber": "SN-1", "token": TOKEN}).to_string())
}

#[tokio::test]
async fn hanging_up_frees_no_place_before_the_work_is_done() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let [gate, reached] = [(), ()].map(|()| Arc::new(Semaphore::new(0)));
        let limits = Limits { requests_per_address_max: 1, ..Limits::default() };
        let server = Server::with(limits, |ports| {
            let (gate, reached) = (gate.clone(), reached.clone());
            Ports { platform: Arc::new(Gated { platform: ports.platform, gate, reached }), ..ports }
        })
        .await;
        register(&server).await;
        let mut client = Client::connect(server.device_addr(), protocol, None).await;
        let asking = tokio::spawn(async move { client.send(vend()).await });
        timeout(SOON, reached.acquire()).await.unwrap().unwrap().forget();
        asking.abort();
        assert!(asking.await.is_err_and(|error| error.is_cancelled()));

        let ask = async || {
            let mut client = Client::connect(server.device_addr(), protocol, None).await;
            client.send(get("/v1/trust-bundle")).await.unwrap().status.as_u16()
        };
        for _ in 0..5 {
            assert_eq!(ask().await, 429, "{protocol:?}");
        }
        gate.add_permits(1);
        eventually(async || ask().await == 200).await;
    }
}
