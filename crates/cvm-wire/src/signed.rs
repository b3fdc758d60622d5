//! Signed requests, for devices whose TLS ends before the server: a flattened JWS (RFC 7515,
//! section 7.2.2) as RFC 8555 section 6 shapes it.

use serde::{Deserialize, Serialize};

/// The media type of a signed request.
pub const MEDIA_TYPE: &str = "application/jose+json";

/// What `GET /v1/nonce` answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct FreshNonce {
    /// Good once, for five minutes.
    pub nonce: String,
}

/// A signed request; each part in base64url without padding.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Flattened {
    /// The JSON of a [`ProtectedHeader`].
    pub protected: String,
    /// The body that the request would have without a signature.
    pub payload: String,
    /// Over `protected`, a full stop and `payload`.
    pub signature: String,
}

/// What is signed besides the body.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ProtectedHeader {
    /// `ES256`, `ES384`, `EdDSA`, `RS256` or `PS256`, as the certificate's key is.
    pub alg: String,
    /// The certificate's id.
    pub kid: String,
    /// From `GET /v1/nonce`.
    pub nonce: String,
    /// The server's public URL and the path, byte for byte.
    pub url: String,
}
