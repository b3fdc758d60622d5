//! TLS as devices speak it: 1.2 and 1.3, verified against the pinned roots, nothing resumed.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::plan::KeyExchange;

/// TLS for everybody, and how a device shows its certificate.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Without a certificate.
    pub(crate) anonymous: Arc<ClientConfig>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        key_exchange: KeyExchange,
    ) -> Result<Self, rustls::Error> {
        let kx_groups = match key_exchange {
            KeyExchange::Hybrid => vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
            ],
            KeyExchange::X25519 => vec![kx_group::X25519],
        };
        let provider = Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() });
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { anonymous: Arc::new(config), provider })
    }

    /// The certificate with its key, if they belong together.
    pub(crate) fn pair(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key_pem: &str,
    ) -> Result<CertifiedKey, rustls::Error> {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|fault| rustls::Error::General(fault.to_string()))?;
        CertifiedKey::from_der(chain, key, &self.provider)
    }

    /// TLS that shows a certificate.
    pub(crate) fn showing(&self, pair: &Arc<CertifiedKey>) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.anonymous);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(pair)));
        Arc::new(config)
    }
}

#[cfg(test)]
mod tests {
    use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
    use rcgen::CertificateParams;

    use super::*;

    #[test]
    fn a_certificate_for_another_key_is_no_pair() {
        let tls = Tls::new(Arc::new(RootCertStore::empty()), KeyExchange::Hybrid).unwrap();
        let [ours, others] = [(); 2].map(|()| DeviceKey::generate(KeyAlgorithm::EcP256).unwrap());
        let chain = |key| vec![CertificateParams::default().self_signed(key).unwrap().into()];
        assert!(tls.pair(chain(&ours), &ours.to_pem()).is_ok());
        assert!(tls.pair(chain(&others), &ours.to_pem()).is_err());
    }
}
