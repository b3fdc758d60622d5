//! What strangers send, read as the server reads it: nothing panics, and what was read is read the
//! same again after it was written.
//!
//! The targets call these with whatever libFuzzer comes up with, and a test of the workspace calls
//! them with mutations of what is right.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use cvm_core::device::Place;
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Issuer as _;
use cvm_core::time::{Span, Timestamp};
use cvm_pki::{CreateOptions, DevicesCa, LocalIssuer, Pki, Protection, ServerOptions, Vault};
use cvm_wire::device::{RenewRequest, VendRequest};
use cvm_wire::operator::{NewAdminToken, NewDevice, NewToken, Revocation};

/// Names, ids, times and cursors, as they stand in bodies, paths and queries.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    again::<AttemptCode>(text);
    again::<CertificateId>(text);
    again::<KeyIdentity>(text);
    again::<Name>(text);
    again::<Place>(text);
    again::<SerialNumber>(text);
    again::<Span>(text);
    again::<ThingName>(text);
    again::<Timestamp>(text);
    if let Ok(serial) = text.parse::<SerialNumber>() {
        drop(ThingName::for_serial(&serial));
    }
}

fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert_eq!(written.parse::<T>().ok(), Some(read), "{written:?}");
    }
}

/// Policy documents.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(document) = cvm_core::policy::document_parse(text) {
        assert_eq!(cvm_core::policy::document_parse(&document), Ok(document));
    }
}

/// Bodies of every kind.
pub fn body(data: &[u8]) {
    drop(serde_json::from_slice::<VendRequest>(data));
    drop(serde_json::from_slice::<RenewRequest>(data));
    drop(serde_json::from_slice::<NewAdminToken>(data));
    drop(serde_json::from_slice::<NewToken>(data));
    drop(serde_json::from_slice::<Revocation>(data));
    if let Ok(device) = serde_json::from_slice::<NewDevice>(data) {
        let written = serde_json::to_vec(&device).expect("what was read is written");
        let again: NewDevice = serde_json::from_slice(&written).expect("and read again");
        assert_eq!(again.attributes, device.attributes);
        assert_eq!(again.serial_number, device.serial_number);
    }
}

/// Who reads certificate requests.
pub struct Requests(Arc<LocalIssuer>);

impl Requests {
    /// With CAs that are made for it.
    #[must_use]
    pub fn begin() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let vault = scratch.path().join("vault");
        let vault = Vault::create(&vault, Protection::Unsealed).expect("a vault");
        let server = ServerOptions {
            hostnames: &[String::from("localhost")],
            algorithm: KeyAlgorithm::EcP256,
        };
        let options = CreateOptions {
            data_dir: scratch.path(),
            server,
            devices: DevicesCa::Made,
            root_key_out: None,
            now: Timestamp(1_800_000_000),
        };
        Pki::create(&vault, &options).expect("CAs");
        let pki = Pki::load(scratch.path(), &vault, "http://localhost").expect("what was made");
        Self(pki.issuer())
    }

    /// Reads the bytes as PEM, and as what PEM might hold.
    pub fn read(&self, data: &[u8]) {
        if let Ok(text) = std::str::from_utf8(data) {
            self.read_pem(text);
        }
        let text = base64::engine::general_purpose::STANDARD.encode(data);
        let label = "CERTIFICATE REQUEST";
        self.read_pem(&format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"));
    }

    fn read_pem(&self, pem: &str) {
        let Ok(request) = self.0.csr_parse(pem) else { return };
        let claimed = self.0.csr_claims(&request);
        if let Ok(checked) = self.0.csr_check(&request) {
            assert_eq!(claimed, Some(checked.key.identity));
        }
    }
}
