//! TLS under ureq: our own connector, for a clock that is ours and errors that say what failed.
//!
//! ureq's own takes neither a time provider nor a rustls configuration.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, SignatureScheme,
    StreamOwned, WantsVerifier,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use zeroize::Zeroize;

use super::trust::Anchors;
use super::{ClientCertificate, Limits};
use crate::clock::FlooredClock;
use crate::error::Error;

/// An agent that speaks TLS by `config`, and nothing but TLS.
pub(super) fn agent(config: Arc<ClientConfig>, limits: &Limits) -> ureq::Agent {
    let settings = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(true)
        .proxy(None)
        .max_redirects(0)
        .user_agent("cvm-agent")
        .accept("application/json, application/problem+json")
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.exchange))
        .max_idle_connections_per_host(1)
        .build();
    let connector = TcpConnector::default().chain(TlsConnector(config));
    ureq::Agent::with_parts(settings, connector, DefaultResolver::default())
}

/// Verifies chain and host name against the anchors alone.
pub(super) fn verified(
    anchors: &Anchors,
    certificate: Option<&ClientCertificate>,
    clock: &FlooredClock,
) -> Result<ClientConfig, Error> {
    let builder = versions(clock)?.with_root_certificates(anchors.store().clone());
    match certificate {
        None => Ok(finish(builder.with_no_client_auth())),
        Some(certificate) => with_certificate(builder, certificate).map(finish),
    }
}

fn with_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &ClientCertificate,
) -> Result<ClientConfig, Error> {
    let key = certificate.key.private_key_der().clone_key();
    builder.with_client_auth_cert(certificate.chain.clone(), key).map_err(|fault| {
        Error::LocalContent {
            what: format!("the client certificate and its key cannot be used: {fault}"),
        }
    })
}

/// Verifies nothing, shows nothing: only to fetch what is then compared with a fingerprint.
pub(super) fn unverified(clock: &FlooredClock) -> Result<ClientConfig, Error> {
    let builder = versions(clock)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider())));
    Ok(finish(builder.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn versions(clock: &FlooredClock) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|fault| Error::Usage(format!("TLS cannot be set up: {fault}")))
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

struct TlsConnector(Arc<ClientConfig>);

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::BadUri("the host is no DNS name or address".to_owned()))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut socket =
            TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) }))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output();
        let Some(output) = output.get_mut(..amount) else {
            return Err(ureq::Error::ConnectionFailed);
        };
        let written = self.stream.write_all(output);
        // Tokens pass through here, and this buffer outlives the request.
        output.zeroize();
        Ok(written?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Accepts any certificate, so that it, or what is compared with a fingerprint, can be looked at.
/// It proves nothing: no secret may go over such a connection.
#[derive(Debug)]
pub struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    /// One that checks handshakes' signatures by this provider.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
