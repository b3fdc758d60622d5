//! HTTPS with explicit trust: every connection is verified against what the caller pinned.
//!
//! No redirects, no proxies, nothing from the environment, a bound on every size and time. With a
//! fingerprint one connection is not verified: it sends `GET /v1/trust-bundle` and nothing else,
//! keeps the one certificate that matches, and closes (`contract.md`, section 2).

mod address;
mod duplex;
mod fault;
mod request;
mod signed;
mod tls;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cvm_wire::SecretText;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, UnixTime};
use ureq::http::Method;

use crate::clock::{Clock, FlooredClock, SystemClock};
use crate::error::{Distrust, Error};
use crate::keys::DeviceKey;

pub use address::encode_segment;
pub use request::{Request, Response};
pub use tls::AnyCertificate;
pub use trust::Trust;

use address::Address;
use trust::Anchors;

/// Whether a text is the address of a server.
#[cfg(feature = "service")]
pub(crate) fn check_address(text: &str) -> Result<(), Error> {
    Address::parse(text).map(drop)
}

/// To connect, TLS included.
const CONNECT_SECONDS: u64 = 10;
/// For a whole exchange, unless the caller says otherwise.
const EXCHANGE_SECONDS: u64 = 60;

/// What a client shows of itself: a certificate and its key.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: DeviceKey,
}

impl ClientCertificate {
    /// The leaf first, then what leads to its root.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: DeviceKey) -> Self {
        Self { chain, key }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({:?})", self.key)
    }
}

/// How to make a [`Client`].
pub struct ClientBuilder {
    server: String,
    trust: Option<Trust>,
    certificate: Option<Arc<ClientCertificate>>,
    bearer: Option<SecretText>,
    exchange: Duration,
    clock: FlooredClock,
}

impl ClientBuilder {
    /// What the server is verified against. Without it [`Self::build`] fails (exit code 76).
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// What the client shows of itself; never on a connection that is not verified.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<Arc<ClientCertificate>>) -> Self {
        self.certificate = Some(certificate.into());
        self
    }

    /// The operator's token, sent as `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(mut self, token: SecretText) -> Self {
        self.bearer = Some(token);
        self
    }

    /// How long an exchange may take.
    #[must_use]
    pub fn timeout(mut self, exchange: Duration) -> Self {
        self.exchange = exchange;
        self
    }

    /// Another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = FlooredClock::new(clock);
        self
    }

    /// A time that is known to have passed, for machines whose clock may not know.
    #[must_use]
    pub fn not_earlier_than(mut self, time: UnixTime) -> Self {
        self.clock.raise(time.as_secs());
        self
    }

    pub(crate) fn floored_clock(mut self, clock: FlooredClock) -> Self {
        self.clock = clock;
        self
    }

    /// Reads what is to be read; with a fingerprint, fetches the pinned certificate.
    ///
    /// # Errors
    /// [`Error::Usage`] for an address that is none, [`Error::Local`] for files,
    /// [`Error::NotPinned`] without trust or if nothing matches the fingerprint,
    /// [`Error::TryLater`] if the server is not reached.
    pub fn build(self) -> Result<Client, Error> {
        let address = Address::parse(&self.server)?;
        let limits = Limits {
            connect: Duration::from_secs(CONNECT_SECONDS).min(self.exchange),
            exchange: self.exchange,
        };
        let trust = self.trust.ok_or_else(|| Error::NotPinned {
            server: address.to_string(),
            distrust: Distrust::NothingPinned,
        })?;
        let anchors = trust.resolve(&address, &limits, &self.clock)?;
        let config = tls::verified(&anchors, self.certificate.as_deref(), &self.clock)?;
        let tls = Arc::new(config);
        let agent = tls::agent(Arc::clone(&tls), &limits);
        let Self { bearer, certificate, .. } = self;
        Ok(Client { agent, anchors, address, bearer, certificate, tls })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("server", &self.server)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connect: Duration,
    exchange: Duration,
}

/// A client of one server.
pub struct Client {
    address: Address,
    agent: ureq::Agent,
    anchors: Anchors,
    bearer: Option<SecretText>,
    certificate: Option<Arc<ClientCertificate>>,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// Starts to make a client of `server`: `https://host:port`, or `host:port`.
    #[must_use]
    pub fn builder(server: &str) -> ClientBuilder {
        ClientBuilder {
            server: server.to_owned(),
            trust: None,
            certificate: None,
            bearer: None,
            exchange: Duration::from_secs(EXCHANGE_SECONDS),
            clock: FlooredClock::new(Arc::new(SystemClock)),
        }
    }

    /// The server's address, normalised.
    #[must_use]
    pub fn server(&self) -> String {
        self.address.to_string()
    }

    /// What every connection is verified against; empty with the system's roots.
    #[must_use]
    pub fn pinned(&self) -> &[CertificateDer<'static>] {
        self.anchors.pinned()
    }

    /// `GET path`. Parts of the path that are not ours go through [`encode_segment`].
    pub fn get(&self, path: &str) -> Request<'_> {
        Request::new(self, Method::GET, path)
    }

    /// `POST path`.
    pub fn post(&self, path: &str) -> Request<'_> {
        Request::new(self, Method::POST, path)
    }

    /// `DELETE path`.
    pub fn delete(&self, path: &str) -> Request<'_> {
        Request::new(self, Method::DELETE, path)
    }

    /// `PUT path`.
    pub fn put(&self, path: &str) -> Request<'_> {
        Request::new(self, Method::PUT, path)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}
