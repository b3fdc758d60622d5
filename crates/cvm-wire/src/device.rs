//! The device API: `POST /v1/certificates` and what it answers.

use serde::{Deserialize, Serialize};

use crate::SecretText;

/// The body of `POST /v1/certificates`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VendRequest {
    /// The device's serial number.
    pub serial_number: String,
    /// Its one-time token.
    pub token: SecretText,
    /// A PKCS #10 request in PEM; without it the server makes the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
    /// Of a key that the server makes: `EC_P256` (default) or `RSA_2048`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<String>,
}

/// The body of `POST /v1/certificates/renew`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct RenewRequest {
    /// A PKCS #10 request in PEM; the server makes no keys for renewals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

/// The answer: 201 the first time, 200 when the same request is answered again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vended {
    /// 64 hexadecimal digits.
    pub certificate_id: String,
    /// The leaf, PEM.
    pub certificate: String,
    /// The CA that signed it, PEM.
    pub chain: String,
    /// The roots, PEM, newest first.
    pub root_ca: String,
    /// The private key, PEM, if the server made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<SecretText>,
    /// The registry entry the certificate is bound to.
    pub thing_name: String,
    /// As in the certificate.
    pub not_before: String,
    /// As in the certificate.
    pub not_after: String,
    /// When to renew.
    pub renew_after: String,
    /// The server's time, for devices without a clock.
    pub server_time: String,
    /// Where to go next; a listener that is off is left out.
    pub endpoints: Endpoints,
    /// The code of this request.
    pub attempt: String,
}

/// Where a device goes next.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<String>,
    /// `https://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
}
