//! A server that vends as CVM does, a clock that stands still, and a device's options.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cvm_agent::client::Trust;
use cvm_agent::clock::Clock;
use cvm_agent::enroll::{EnrollOptions, Reporter};
use cvm_agent::fingerprint::Fingerprint;
use cvm_agent::token::Token;
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::pki::Pki;
use crate::server::{Answer, Request, Server};

pub(crate) const TOKEN: &str = "cvm1-NOBODY-MAY-SEE-THIS";
/// 2026-06-01.
const NOW_SECONDS: u64 = 1_780_272_000;

/// Stands still; does not wait, but remembers for how long it should have.
#[derive(Debug)]
pub(crate) struct TestClock {
    pub(crate) now_seconds: u64,
    pub(crate) waits: Mutex<Vec<Duration>>,
}

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.now_seconds))
    }

    fn wait(&self, duration: Duration) {
        self.waits.lock().push(duration);
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<String>>);

impl Reporter for Told {
    fn step(&self, text: &str) {
        self.0.lock().push(text.to_owned());
    }
}

impl Told {
    pub(crate) fn text(&self) -> String {
        self.0.lock().join("\n")
    }
}

/// A PKI, a place for files, and a clock.
pub(crate) struct World {
    pub(crate) pki: Arc<Pki>,
    pub(crate) home: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) told: Told,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let pki = Pki::new("ours");
        std::fs::write(home.path().join("root.pem"), pki.root.pem()).unwrap();
        Self {
            pki: Arc::new(pki),
            home,
            clock: Arc::new(TestClock { now_seconds: NOW_SECONDS, waits: Mutex::default() }),
            told: Told::default(),
        }
    }

    pub(crate) fn root_file(&self) -> Trust {
        Trust::RootFile(self.home.path().join("root.pem"))
    }

    pub(crate) fn fingerprint(&self) -> Trust {
        Trust::Fingerprint(self.pki.fingerprint())
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.home.path().join("device")
    }

    /// A server whose answers are ours unless `before` has one.
    pub(crate) fn server(
        &self,
        before: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Server {
        let pki = Arc::clone(&self.pki);
        Server::start(self.pki.server("localhost"), &self.pki, move |request| {
            before(request).unwrap_or_else(|| route(&pki, request))
        })
    }

    pub(crate) fn options(&self, server: &Server, trust: Trust) -> EnrollOptions {
        let token = Token::new(Zeroizing::new(TOKEN.to_owned())).unwrap();
        let mut options = EnrollOptions::new(&server.url(), trust, "SN-0001", token, &self.out());
        options.clock = Arc::<TestClock>::clone(&self.clock);
        options
    }
}

fn route(pki: &Pki, request: &Request) -> Answer {
    match request.what.as_str() {
        "GET /v1/trust-bundle" => {
            let other = Pki::new("other");
            Answer::Reply(200, "", format!("{}{}", other.root.pem(), pki.root.pem()))
        }
        "POST /v1/certificates" => {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let certificate = pki.device(asked["csr"].as_str().unwrap());
            Answer::json(201, vended(pki, &certificate).to_string())
        }
        "POST /v1/certificates/confirm" if request.shown.is_some() => {
            Answer::json(204, String::new())
        }
        _ => problem(401, "certificate-required", ""),
    }
}

pub(crate) fn vended(pki: &Pki, certificate: &rcgen::Certificate) -> Value {
    json!({
        "certificateId": Fingerprint::of(certificate.der()).to_string(),
        "certificate": certificate.pem(),
        "chain": pki.devices.pem(),
        "rootCa": pki.root.pem(),
        "thingName": "SN-0001",
        "notBefore": "2026-05-01T00:00:00Z",
        "notAfter": "2027-05-01T00:00:00Z",
        "renewAfter": "2027-01-01T00:00:00Z",
        "serverTime": "2026-06-01T00:00:00Z",
        "endpoints": {"mqtt": "localhost:8883"},
        "attempt": "K7QF2-M8WXA",
        "unknown": true
    })
}

pub(crate) fn problem(status: u16, slug: &str, headers: &'static str) -> Answer {
    let body = json!({
        "type": format!("/problems/{slug}"),
        "title": slug,
        "status": status,
        "detail": "as the test wants it",
        "attempt": "K7QF2-M8WXA"
    });
    Answer::Reply(status, headers, body.to_string())
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}
