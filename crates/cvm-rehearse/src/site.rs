//! The server that is rehearsed against.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use cvm_wire::SecretText;
use http::Uri;
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use thiserror::Error;

/// A server and what lets in to it.
#[derive(Clone)]
pub struct Site {
    /// The device API.
    pub device: Endpoint,
    /// The operator API.
    pub operator: Endpoint,
    /// The operator's token.
    pub admin_token: SecretText,
    /// What both are verified against.
    pub roots: Arc<RootCertStore>,
    /// The time, in milliseconds since 1970: for what is said of when phases began and ended.
    pub unix_ms: fn() -> u64,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({}, {})", self.device, self.operator)
    }
}

/// Where one of a server's listeners is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) authority: String,
    pub(crate) name: ServerName<'static>,
    pub(crate) addresses: Arc<[SocketAddr]>,
}

/// Not somewhere that can be connected to.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// Not an address of a server.
    #[error("the server's address is written https://host:port")]
    Form,
    /// Its name stands for nothing.
    #[error("{0} cannot be resolved")]
    Unknown(String, #[source] std::io::Error),
}

impl Endpoint {
    /// Looks up `https://host:port`.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn look_up(url: &str) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|_| EndpointError::Form)?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(EndpointError::Form);
        }
        let authority = uri.authority().ok_or(EndpointError::Form)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Form);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(443);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| EndpointError::Form)?;
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|error| EndpointError::Unknown(host.to_owned(), error))?;
        Ok(Self { authority: authority.as_str().to_owned(), name, addresses: found.collect() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}
