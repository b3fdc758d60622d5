//! The certificates that the listeners show: ours, or for devices the one the operator brings.

use std::sync::Arc;

use cvm_api::ServerIdentity;
use cvm_core::error::chain_of;
use cvm_core::key::PrivateKey;
use cvm_core::time::Timestamp;
use cvm_pki::Pki;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::compose;
use crate::config::Config;
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

/// What each listener shows; replaced while they run.
pub(crate) struct Identities {
    /// To devices.
    pub(crate) device: Arc<ServerIdentity>,
    /// To operators: always ours, so that their commands need nothing but our root.
    pub(crate) operator: Arc<ServerIdentity>,
}

impl Identities {
    /// Loads what the configuration names, re-issuing ours where that is due at `now`.
    pub(crate) fn load(
        layout: &Layout,
        config: &Config,
        pki: &Pki,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let (chain, key, _) = compose::server_identity(pki, config, now)?;
        let ours = ServerIdentity::new(chain, &key);
        let ours = Arc::new(ours.map_err(|error| bad("server/cert.pem", &error))?);
        let device = match &config.http.brought {
            None => ours.clone(),
            Some((certificate, key)) => brought(layout, pki, certificate, key)?,
        };
        Ok(Self { device, operator: ours })
    }

    /// Shows a new certificate of ours from the next handshake on.
    pub(crate) fn replace(&self, chain: Vec<Vec<u8>>, key: &PrivateKey) -> Result<(), Failure> {
        let replaced = self.operator.replace(chain, key);
        replaced.map_err(|error| bad("server/cert.pem", &error))
    }
}

fn brought(
    layout: &Layout,
    pki: &Pki,
    certificate: &str,
    key: &str,
) -> Result<Arc<ServerIdentity>, Failure> {
    let chain = CertificateDer::pem_file_iter(compose::named_file(layout, certificate))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificate, &error))?;
    let chain: Vec<Vec<u8>> = chain.into_iter().map(|one| one.to_vec()).collect();
    // No device may use the server's own key, whoever made it.
    if let Some(leaf) = chain.first() {
        pki.issuer().own_key_add(leaf).map_err(|error| bad(certificate, &error))?;
    }
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_file(compose::named_file(layout, key));
    let pkcs8 = pkcs8.map_err(|error| {
        let cure = "the key has to be PKCS #8: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pk8";
        bad(key, &error).cure(cure)
    })?;
    let private = PrivateKey(Zeroizing::new(pkcs8.secret_pkcs8_der().to_vec()));
    let identity =
        ServerIdentity::new(chain, &private).map_err(|error| bad(certificate, &error))?;
    Ok(Arc::new(identity))
}

fn bad(file: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Failed, format!("{file}: {}", chain_of(error)))
}
