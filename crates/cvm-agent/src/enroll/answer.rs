//! The server's answer, checked before any of it is kept.
//!
//! It came over a verified connection; what is caught here is a server that is wrong, and a device
//! that would go to the field with a certificate nobody accepts.

use cvm_wire::device::Vended;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{DeviceRecord, EnrollOptions, Key, latest};
use crate::client::Client;
use crate::clock::parse_seconds;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::keys::DeviceKey;
use crate::pki;

/// An answer whose certificate is for our key, under a pinned root or the CA it came with.
#[derive(Debug)]
pub(super) struct CheckedAnswer {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) attempt: String,
    root: Option<Fingerprint>,
    vended: Vended,
}

impl CheckedAnswer {
    pub(super) fn check(
        vended: Vended,
        client: &Client,
        key: &DeviceKey,
        now: UnixTime,
    ) -> Result<Self, Error> {
        let bad = |what: String| Error::BadAnswer {
            server: client.server(),
            what: format!("its answer is not kept: {what} [attempt {}]", vended.attempt),
        };
        let time = |name: &str, text: &str| {
            parse_seconds(text).ok_or_else(|| bad(format!("`{name}` is not a time")))
        };
        time("notBefore", &vended.not_before)?;
        time("notAfter", &vended.not_after)?;
        time("renewAfter", &vended.renew_after)?;
        let told = time("serverTime", &vended.server_time)?;
        let leaf = pki::certificates(vended.certificate.as_bytes())
            .map_err(|fault| bad(format!("`certificate` {fault}")))?;
        let [leaf] = <[CertificateDer<'static>; 1]>::try_from(leaf)
            .map_err(|_| bad("`certificate` holds more than one certificate".to_owned()))?;
        let chain = match vended.chain.trim().is_empty() {
            true => Vec::new(),
            false => pki::certificates(vended.chain.as_bytes())
                .map_err(|fault| bad(format!("`chain` {fault}")))?,
        };
        let spki = key.public_key_der();
        let root = pki::verify(&leaf, &chain, client.pinned(), &spki, latest(now, told))
            .map_err(|fault| bad(fault.to_string()))?;
        Ok(Self {
            attempt: vended.attempt.clone(),
            root: root.or_else(|| client.pinned().first()).map(|root| Fingerprint::of(root)),
            leaf,
            chain,
            vended,
        })
    }

    pub(super) fn record(
        &self,
        options: &EnrollOptions,
        client: &Client,
        key: &Key,
    ) -> DeviceRecord {
        let vended = &self.vended;
        DeviceRecord {
            certificate_id: vended.certificate_id.clone(),
            thing_name: vended.thing_name.clone(),
            serial_number: options.serial_number.clone(),
            not_before: vended.not_before.clone(),
            not_after: vended.not_after.clone(),
            renew_after: vended.renew_after.clone(),
            server_time: vended.server_time.clone(),
            endpoints: vended.endpoints.clone(),
            server: client.server(),
            key_algorithm: key.key.algorithm_name(),
            key_file: key.elsewhere.clone(),
            fingerprint: self.root.map(|root| root.to_string()).unwrap_or_default(),
        }
    }
}
