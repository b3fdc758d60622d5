//! One receiver over HTTP: a signed POST, verified, bounded, and never redirected.

use std::sync::Arc;
use std::time::Duration;

use cvm_core::error::chain_of;
use cvm_core::ports::Clock;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use ureq::http;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::message::Message;
use super::secret::Secret;
use crate::compose::named_file;
use crate::config::{Notify, WebhookUrl};
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

/// To connect, TLS included.
const CONNECT_SECONDS_MAX: u64 = 5;

/// For a whole try.
const TRY_SECONDS_MAX: u64 = 10;

/// A receiver, and how it is reached.
pub(super) struct Webhook {
    url: WebhookUrl,
    secret: Secret,
    agent: ureq::Agent,
    clock: Arc<dyn Clock>,
}

/// Why a message was not delivered.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// Nobody answered, or not in time, or not who should.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// What was answered is no success.
    #[error("it answered {0}")]
    Status(u16),
}

impl Fault {
    /// Whether the receiver does not want the message, now or later.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::NoAnswer(_) => false,
            // RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4: another time it may do.
            Self::Status(status) => *status < 500 && ![408, 425, 429].contains(status),
        }
    }
}

impl Webhook {
    /// What `notify` says, with everything that it names.
    pub(super) fn new(
        layout: &Layout,
        notify: &Notify,
        secret: Secret,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let url = notify.url.clone();
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(url.is_https())
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("cvm/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(CONNECT_SECONDS_MAX)))
            .timeout_global(Some(Duration::from_secs(TRY_SECONDS_MAX)))
            .max_idle_connections(0);
        let settings = match url.is_https() {
            true => settings.tls_config(tls(&roots(layout, notify)?)),
            false => settings,
        };
        Ok(Self { url, secret, agent: settings.build().new_agent(), clock })
    }

    /// Sends a message once. Every try has its own time, by which the receiver tells it from what
    /// somebody recorded and sends again; it is the system's, which TLS goes by too, for the receiver
    /// compares it with its own.
    pub(super) fn send(&self, message: &Message) -> Result<(), Fault> {
        let timestamp = self.clock.status().system.0.to_string();
        let signature = self.secret.sign(&message.id, &timestamp, &message.body);
        let request = http::Request::post(self.url.uri().clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.as_slice())
            .map_err(|error| Fault::NoAnswer(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| Fault::NoAnswer(words(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Fault::Status(status.as_u16())),
        }
    }
}

/// What went wrong, without the URL, which two of the errors repeat.
fn words(error: &ureq::Error) -> String {
    match matches!(error, ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_)) {
        true => String::from("the url cannot be asked"),
        false => chain_of(error),
    }
}

fn tls(roots: &[CertificateDer<'_>]) -> TlsConfig {
    let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .build()
}

/// What the receiver is verified against: at least one certificate that can be used for it.
fn roots(layout: &Layout, notify: &Notify) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let mut store = RootCertStore::empty();
    let Some(file) = &notify.root_ca else {
        // Some systems ship roots that no library reads.
        let mut roots = rustls_native_certs::load_native_certs().certs;
        roots.retain(|root| store.add(root.clone()).is_ok());
        if roots.is_empty() {
            let what = format!("[{}] url: the system has no root certificates", notify.name);
            let cure = "name the receiver's in `root_ca`, or install the system's";
            return Err(Failure::new(Exit::Failed, what).cure(cure));
        }
        return Ok(roots);
    };
    let bad = |what: String| {
        let what = format!("[{}] root_ca = {file:?}: {what}", notify.name);
        Failure::new(Exit::Failed, what).cure("name a PEM file with the receiver's root")
    };
    let roots = CertificateDer::pem_file_iter(named_file(layout, file))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(chain_of(&error)))?;
    for root in &roots {
        store.add(root.clone()).map_err(|error| bad(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(bad(String::from("there is no certificate in it"))),
        false => Ok(roots),
    }
}
