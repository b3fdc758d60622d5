//! AWS IoT's control and data plane, by `crates/cvm-e2e/aws/iot/`: what it accepts and answers is
//! held against AWS's published service models.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::process::Process;
use crate::client::{parse, request_bytes};

const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// AWS IoT in memory, one account: `000000000000`.
#[derive(Debug)]
pub struct IotStandIn(Process);

impl IotStandIn {
    /// One of its own.
    ///
    /// # Errors
    /// Where it is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Ok(Self(Process::start("iot_server.py", &[])?))
    }

    /// Where control plane and data plane listen, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    /// Everything that it keeps: `certificates` (oldest first, each with `id`, `arn`, `status`,
    /// `pem`, `publicKeySha256`, `subject`, `things`, `policies`, `history` of its statuses),
    /// `things`, `policies`, `cas`, `shadows`, `disconnected`, `calls`, and `faults`: answers of its
    /// own that the model does not know, which no test may leave behind.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn state(&self) -> Result<Value> {
        self.side_door("GET", "/_state", None)
    }

    /// Changes how it behaves: `latencyMs` of every call, `quotas` (calls a second by operation;
    /// above it, `ThrottlingException`), `detachLagMs` (until a detached thing may be deleted),
    /// `listLagMs` (until a new certificate is listed), `clockAheadSeconds` (of the dates it notes).
    ///
    /// # Errors
    /// Where it does not know a setting.
    pub fn set(&self, settings: &Value) -> Result<()> {
        self.side_door("POST", "/_settings", Some(settings)).map(drop)
    }

    /// Makes an IoT policy, as an operator would have.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn policy_create(&self, name: &str) -> Result<()> {
        self.side_door("POST", "/_policies", Some(&json!({"name": name}))).map(drop)
    }

    /// Registers a CA (PEM), ACTIVE, as an operator would have.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn ca_register(&self, pem: &str) -> Result<()> {
        self.side_door("POST", "/_authorities", Some(&json!({"pem": pem}))).map(drop)
    }

    /// Notes that a client is connected, for `DeleteConnection` to end it.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn client_connect(&self, client_id: &str) -> Result<()> {
        self.side_door("POST", "/_connections", Some(&json!({"clientId": client_id}))).map(drop)
    }

    fn side_door(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0.port()))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&request_bytes(method, path, &["Connection: close"], body))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let response = parse(&answer)?;
        ensure!(response.status == 200, "{method} {path}: {response:?}");
        response.json().with_context(|| format!("{method} {path}"))
    }
}
