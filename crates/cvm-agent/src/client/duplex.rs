//! What another HTTP library needs to speak to the same server by the same rules: for exchanges in
//! which both sides speak at once, which the client here does not do.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use ureq::http::header::HeaderValue;
use ureq::http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use super::request::retry_after;
use super::{Client, Response, fault};
use crate::error::Error;

impl Client {
    /// `host` or `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.address.authority()
    }

    /// How every connection is verified.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// The value of `Authorization`, marked as sensitive, if there is a token.
    ///
    /// # Errors
    /// [`Error::Usage`] where the token has characters that cannot be sent.
    pub fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let Some(token) = &self.bearer else {
            return Ok(None);
        };
        let text = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Error::Usage("the operator's token cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// An answer that was read elsewhere.
    #[must_use]
    pub fn answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Zeroizing<Vec<u8>>,
    ) -> Response {
        let (status, retry_after) = (status.as_u16(), retry_after(headers));
        Response { server: self.server(), status, retry_after, body }
    }

    /// Why an exchange elsewhere failed, as it shows in what the socket or TLS said.
    #[must_use]
    pub fn fault(&self, fault: io::Error) -> Error {
        fault::from_ureq(ureq::Error::Io(fault), &self.address)
    }
}
