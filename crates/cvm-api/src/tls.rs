//! TLS as both listeners speak it: 1.2 with ECDHE and AEAD only, 1.3 without 0-RTT, rustls over
//! aws-lc-rs, post-quantum key agreement preferred.
//!
//! The server's certificate is replaced without a restart. The device listener asks for a client
//! certificate and demands none; what one is worth is said in [`crate::possession`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use cvm_core::key::PrivateKey;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use crate::limit::Limits;
use crate::possession::PossessionVerifier;

/// What is offered by ALPN, the preferred first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's certificate and key, shared by the listeners and replaced while they run.
pub struct ServerIdentity(ArcSwap<CertifiedKey>);

impl ServerIdentity {
    /// The identity made of a chain in DER, leaf first, and the leaf's private key.
    ///
    /// # Errors
    /// [`TlsError`] where the key cannot be used or is not the leaf's.
    pub fn new(chain: Vec<Vec<u8>>, key: &PrivateKey) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(certified(chain, key)?)))
    }

    /// Handshakes from now on use this chain and key; open connections stay as they are.
    ///
    /// # Errors
    /// [`TlsError`]; the identity is what it was.
    pub fn replace(&self, chain: Vec<Vec<u8>>, key: &PrivateKey) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(chain, key)?));
        Ok(())
    }
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerIdentity")
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Why a listener cannot speak TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The chain is empty, or chain and key do not fit or cannot be used.
    #[error("the server's certificate and key cannot be used")]
    Identity(#[source] rustls::Error),
    /// The library refuses our settings; ours to mend.
    #[error("TLS cannot be set up")]
    Settings(#[source] rustls::Error),
}

/// The device listener's settings: a client certificate is asked for, never demanded.
pub(crate) fn device_config(
    identity: Arc<ServerIdentity>,
    limits: &Limits,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = PossessionVerifier::new(algorithms, limits.client_chain_bytes_max);
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Settings)?
        .with_client_cert_verifier(Arc::new(verifier));
    finish(builder.with_cert_resolver(identity))
}

/// The operator listener's settings: a client certificate is not asked for.
pub(crate) fn operator_config(identity: Arc<ServerIdentity>) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Settings)?
        .with_no_client_auth();
    finish(builder.with_cert_resolver(identity))
}

fn finish(mut config: ServerConfig) -> Result<ServerConfig, TlsError> {
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // Resumption by stateless tickets; a client certificate travels in the ticket, and the
    // registry is asked about it at every request. 0-RTT stays off: it could be replayed.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Settings)?;
    // A device opens one connection at a time: a second ticket is made and sent for nobody.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}

/// rustls knows no TLS 1.2 suites but ECDHE with AEAD; only the groups are ours to order.
fn provider() -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let kx_groups = vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1];
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}

fn certified(chain: Vec<Vec<u8>>, key: &PrivateKey) -> Result<CertifiedKey, TlsError> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.0.as_slice())).clone_key();
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Identity)
}
