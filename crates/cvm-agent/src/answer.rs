//! The server's answer, checked before any of it is kept.
//!
//! It came over a verified connection; what is caught here is a server that is wrong, and a device
//! that would go to the field with a certificate nobody accepts.

use std::path::PathBuf;
use std::time::Duration;

use cvm_wire::device::Vended;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::clock::parse_seconds;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::identity::DeviceRecord;
use crate::keys::DeviceKey;
use crate::pki;

/// An answer whose certificate is for our key, under a pinned root or the CA it came with.
#[derive(Debug)]
pub(crate) struct CheckedAnswer {
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) attempt: String,
    root: Option<Fingerprint>,
    vended: Vended,
}

impl CheckedAnswer {
    /// Looks at everything that is kept of it; `server` is whose answer it is, `roots` what is
    /// pinned.
    pub(crate) fn check(
        vended: Vended,
        server: &str,
        roots: &[CertificateDer<'static>],
        key: &DeviceKey,
        now: UnixTime,
    ) -> Result<Self, Error> {
        let bad = |what: String| not_kept(server, &vended.attempt, &what);
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
        let root = pki::verify(&leaf, &chain, roots, &spki, latest(now, told))
            .map_err(|fault| bad(fault.to_string()))?;
        Ok(Self {
            attempt: vended.attempt.clone(),
            root: root.or_else(|| roots.first()).map(|root| Fingerprint::of(root)),
            leaf,
            chain,
            vended,
        })
    }

    /// What `device.json` is to say of it.
    pub(crate) fn record(&self, about: About) -> DeviceRecord {
        let vended = &self.vended;
        DeviceRecord {
            certificate_id: vended.certificate_id.clone(),
            thing_name: vended.thing_name.clone(),
            serial_number: about.serial_number,
            not_before: vended.not_before.clone(),
            not_after: vended.not_after.clone(),
            renew_after: vended.renew_after.clone(),
            server_time: vended.server_time.clone(),
            endpoints: vended.endpoints.clone(),
            server: about.server,
            key_algorithm: about.key_algorithm,
            key_file: about.key_file,
            fingerprint: self.root.map(|root| root.to_string()).unwrap_or_default(),
        }
    }
}

/// What `device.json` says beside the answer.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) serial_number: String,
    pub(crate) server: String,
    pub(crate) key_algorithm: String,
    pub(crate) key_file: Option<PathBuf>,
}

/// An answer that cannot be used, and why.
pub(crate) fn not_kept(server: &str, attempt: &str, why: &str) -> Error {
    Error::BadAnswer {
        server: server.to_owned(),
        what: format!("its answer is not kept: {why} [attempt {attempt}]"),
    }
}

/// The latest of what the clock says and a time that the server told.
fn latest(now: UnixTime, told: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().max(told)))
}
