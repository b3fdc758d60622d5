//! Requests by the holder of the client's certificate: shown in the handshake, and where TLS ends
//! before the server signed with its key, because the server says so (`contract.md`, section 2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cvm_wire::problem::Signable;
use cvm_wire::signed::{Flattened, FreshNonce, ProtectedHeader};
use serde::Serialize;

use super::{Client, ClientCertificate, Response};
use crate::error::Error;
use crate::fingerprint::Fingerprint;

impl Client {
    /// `POST path` as the holder of the client's certificate; without a body where that is `None`.
    ///
    /// Answers whatever the server does, as [`super::Request::send`] does.
    pub(crate) fn post_as_holder(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response, Error> {
        let plain = match body {
            Some(body) => self.post(path).json(body).send()?,
            None => self.post(path).send()?,
        };
        let Some(certificate) = self.certificate.as_deref().filter(|_| plain.asks_to_sign()) else {
            return Ok(plain);
        };
        let payload =
            body.map_or_else(|| Ok(Vec::new()), serde_json::to_vec).map_err(unwritable)?;
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signed = self.post_signed(path, certificate, payload.clone())?;
        // Its nonce may have been too old when it arrived: once more.
        if signed.asks_to_sign() {
            return self.post_signed(path, certificate, payload);
        }
        Ok(signed)
    }

    fn post_signed(
        &self,
        path: &str,
        certificate: &ClientCertificate,
        payload: String,
    ) -> Result<Response, Error> {
        let unusable = |what: String| Error::LocalContent { what };
        let leaf = certificate.chain.first();
        let leaf = leaf.ok_or_else(|| unusable("there is no client certificate".to_owned()))?;
        let FreshNonce { nonce } = self.get("/v1/nonce").fetch()?;
        let header = ProtectedHeader {
            alg: certificate.key.jws_algorithm().to_owned(),
            kid: Fingerprint::of(leaf).to_string(),
            nonce,
            url: self.address.public_url(path),
        };
        let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(unwritable)?);
        let signature = certificate.key.jws_sign(format!("{protected}.{payload}").as_bytes());
        let signature = signature.map_err(|fault| unusable(format!("a request: {fault}")))?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        self.post(path).signed(&Flattened { protected, payload, signature }).send()
    }
}

impl Response {
    /// Whether the server wants the same request signed.
    fn asks_to_sign(&self) -> bool {
        let said = serde_json::from_slice::<Signable>(&self.body);
        self.status == 401 && said.is_ok_and(|said| said.signed)
    }
}

fn unwritable(fault: serde_json::Error) -> Error {
    Error::Usage(format!("the request is not JSON: {fault}"))
}
