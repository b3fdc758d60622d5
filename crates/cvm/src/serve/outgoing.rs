//! HTTP that goes out of the server: verified, bounded, never redirected, past every proxy.

use std::sync::Arc;
use std::time::Duration;

use cvm_core::error::chain_of;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::compose::named_file;
use crate::config::WebhookUrl;
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

/// To connect, TLS included.
const CONNECT_SECONDS_MAX: u64 = 5;

/// For a whole try.
const TRY_SECONDS_MAX: u64 = 10;

/// Somebody outside.
pub(crate) struct Receiver<'a> {
    /// Its section of the configuration.
    pub(crate) section: &'a str,
    /// Where it is.
    pub(crate) url: &'a WebhookUrl,
    /// The file with the roots that it is verified against; by default the system's.
    pub(crate) root_ca: Option<&'a str>,
}

impl Receiver<'_> {
    /// What reaches it; keeps up to `kept_max` connections for the next time.
    pub(crate) fn agent(&self, layout: &Layout, kept_max: usize) -> Result<ureq::Agent, Failure> {
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(self.url.is_https())
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("cvm/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(CONNECT_SECONDS_MAX)))
            .timeout_global(Some(Duration::from_secs(TRY_SECONDS_MAX)))
            .max_idle_connections(kept_max);
        let settings = match self.url.is_https() {
            true => settings.tls_config(tls(&self.roots(layout)?)),
            false => settings,
        };
        Ok(settings.build().new_agent())
    }

    /// What it is verified against: at least one certificate that can be used for it.
    fn roots(&self, layout: &Layout) -> Result<Vec<CertificateDer<'static>>, Failure> {
        let mut store = RootCertStore::empty();
        let Some(file) = self.root_ca else {
            // Some systems ship roots that no library reads.
            let mut roots = rustls_native_certs::load_native_certs().certs;
            roots.retain(|root| store.add(root.clone()).is_ok());
            if roots.is_empty() {
                let what = format!("[{}]: the system has no root certificates", self.section);
                let cure = "name the receiver's in `root_ca`, or install the system's";
                return Err(Failure::new(Exit::Failed, what).cure(cure));
            }
            return Ok(roots);
        };
        let bad = |what: String| {
            let what = format!("[{}] root_ca = {file:?}: {what}", self.section);
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
}

/// What went wrong, without the URL, which two of the errors repeat.
pub(crate) fn words(error: &ureq::Error) -> String {
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
