//! What a server is verified against, and how a fingerprint becomes a certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use ureq::http;

use super::address::Address;
use super::request::read_body;
use super::{Limits, fault, tls};
use crate::clock::FlooredClock;
use crate::error::{Distrust, Error};
use crate::fingerprint::Fingerprint;
use crate::{files, pki};

/// What a server is verified against.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The root certificate with this fingerprint, which the server itself is asked for.
    Fingerprint(Fingerprint),
    /// The root certificates in a PEM file.
    RootFile(PathBuf),
    /// These root certificates.
    Roots(Vec<CertificateDer<'static>>),
    /// What the operating system trusts. For operator commands; devices pin.
    #[cfg(feature = "system-roots")]
    SystemRoots,
}

impl Trust {
    /// Turns it into certificates; the only place that may connect without verifying.
    pub(super) fn resolve(
        self,
        address: &Address,
        limits: &Limits,
        clock: &FlooredClock,
    ) -> Result<Anchors, Error> {
        match self {
            Self::Fingerprint(fingerprint) => {
                let found = fetch(fingerprint, address, limits, clock)?;
                Anchors::new(vec![found]).map_err(|fault| Error::BadAnswer {
                    server: address.to_string(),
                    what: format!("the pinned certificate cannot be used as a root: {fault}"),
                })
            }
            Self::RootFile(path) => {
                let content = |fault: String| Error::LocalContent {
                    what: format!("{} {fault}", path.display()),
                };
                let pem = files::read_needed(&path)?;
                let roots = pki::certificates(&pem).map_err(content)?;
                Anchors::new(roots)
                    .map_err(|fault| content(format!("cannot be used as a root: {fault}")))
            }
            Self::Roots(roots) => Anchors::new(roots).map_err(|fault| Error::LocalContent {
                what: format!("what is pinned cannot be used as a root: {fault}"),
            }),
            #[cfg(feature = "system-roots")]
            Self::SystemRoots => system(),
        }
    }
}

/// Certificates to verify against: at least one.
#[derive(Debug)]
pub(super) struct Anchors {
    pinned: Vec<CertificateDer<'static>>,
    store: RootCertStore,
}

impl Anchors {
    fn new(pinned: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in &pinned {
            store.add(root.clone())?;
        }
        Ok(Self { pinned, store })
    }

    pub(super) fn pinned(&self) -> &[CertificateDer<'static>] {
        &self.pinned
    }

    pub(super) fn store(&self) -> &RootCertStore {
        &self.store
    }
}

#[cfg(feature = "system-roots")]
fn system() -> Result<Anchors, Error> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some systems ship roots that no library reads.
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(Error::LocalContent {
            what: "the operating system has no root certificates".to_owned(),
        });
    }
    let pinned = Vec::new();
    Ok(Anchors { pinned, store })
}

/// Asks an unverified server for its roots and keeps the one that matches. Nothing it says is
/// used for anything else.
fn fetch(
    fingerprint: Fingerprint,
    address: &Address,
    limits: &Limits,
    clock: &FlooredClock,
) -> Result<CertificateDer<'static>, Error> {
    let none = || Error::NotPinned {
        server: address.to_string(),
        distrust: Distrust::NoneMatches { fingerprint: fingerprint.to_string() },
    };
    let agent = tls::agent(Arc::new(tls::unverified(clock)?), limits);
    let request = http::Request::get(address.url("/v1/trust-bundle"))
        .header(http::header::CONNECTION, "close")
        .body(())
        .map_err(|_| Error::Usage("the server's address cannot be asked".to_owned()))?;
    let answer = agent.run(request).map_err(|error| fault::from_ureq(error, address))?;
    let status = answer.status();
    if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
        return Err(Error::TryLater {
            what: format!("{address} answered {status}; try again later"),
            retry_after: None,
            refusal: None,
        });
    }
    let body = read_body(answer, address).map_err(|error| match error.exit_code() {
        75 => error,
        _ => none(),
    })?;
    let offered = pki::certificates(&body).map_err(|_| none())?;
    let found = offered.into_iter().find(|certificate| Fingerprint::of(certificate) == fingerprint);
    found.ok_or_else(none)
}
