//! A device's identity on the disk: five files, of which `device.json` is the last to be written
//! and the first to go, so that a set without it is unfinished.
//!
//! Beside the current set there may be the next one, on its way through a renewal.

use std::path::{Path, PathBuf};

use cvm_wire::device::Endpoints;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::answer::CheckedAnswer;
use crate::error::Error;
use crate::files::{self, Directory, Mode};
use crate::keys::DeviceKey;
use crate::pki;

/// The private key (0600).
pub const KEY_FILE: &str = "device.key";
/// The certificate.
pub const CERTIFICATE_FILE: &str = "device.pem";
/// What leads from the certificate to its root.
pub const CHAIN_FILE: &str = "chain.pem";
/// The pinned roots.
pub const ROOT_CA_FILE: &str = "root-ca.pem";
/// What else there is to know: no secrets.
pub const RECORD_FILE: &str = "device.json";

/// Of which set a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// What the device uses.
    Current,
    /// What a renewal brings, until it is proven.
    Next,
}

impl Set {
    /// What a file is called in this set.
    pub(crate) fn name(self, file: &str) -> String {
        match self {
            Self::Current => file.to_owned(),
            Self::Next => format!("{file}.next"),
        }
    }
}

/// The contents of `device.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRecord {
    /// 64 hexadecimal digits.
    pub certificate_id: String,
    /// The registry entry the certificate is bound to.
    pub thing_name: String,
    /// The device's serial number.
    pub serial_number: String,
    /// As in the certificate.
    pub not_before: String,
    /// As in the certificate.
    pub not_after: String,
    /// When to renew.
    pub renew_after: String,
    /// The server's time when it answered.
    pub server_time: String,
    /// Where the device goes next.
    pub endpoints: Endpoints,
    /// The server that issued it.
    pub server: String,
    /// `EC_P256` and so on.
    pub key_algorithm: String,
    /// The key, if it is not `device.key` of this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// SHA-256 of the pinned root.
    pub fingerprint: String,
}

impl DeviceRecord {
    /// Where the key is.
    #[must_use]
    pub fn key_path(&self, directory: &Path) -> PathBuf {
        match &self.key_file {
            Some(path) => path.clone(),
            None => directory.join(KEY_FILE),
        }
    }
}

/// The record of a finished set, or `None`: a record that cannot be read finishes nothing.
pub(crate) fn record(directory: &Path, set: Set) -> Result<Option<DeviceRecord>, Error> {
    let json = files::read(&directory.join(set.name(RECORD_FILE)))?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}

type LeafAndChain = (CertificateDer<'static>, Vec<CertificateDer<'static>>);

/// The stored certificate and its chain; if they are not there, why.
pub(crate) fn certificate(
    directory: &Path,
    set: Set,
) -> Result<Result<LeafAndChain, String>, Error> {
    let leaf = leaf(directory, set)?;
    let path = directory.join(set.name(CHAIN_FILE));
    let chain = match files::read(&path)? {
        // Nothing stands between the leaf and its root.
        Some(pem) if pem.trim_ascii().is_empty() => Ok(Vec::new()),
        _ => stored(&path)?,
    };
    Ok(leaf.and_then(|leaf| Ok((leaf, chain?))))
}

/// The stored certificate alone.
pub(crate) fn leaf(
    directory: &Path,
    set: Set,
) -> Result<Result<CertificateDer<'static>, String>, Error> {
    let found = stored(&directory.join(set.name(CERTIFICATE_FILE)))?;
    Ok(found.and_then(|found| {
        let first = found.into_iter().next();
        first.ok_or_else(|| format!("{CERTIFICATE_FILE} is empty"))
    }))
}

/// The certificates in a file; if they are not there, why.
pub(crate) fn stored(path: &Path) -> Result<Result<Vec<CertificateDer<'static>>, String>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match files::read(path)? {
        Some(pem) => pki::certificates(&pem).map_err(|fault| format!("{name} {fault}")),
        None => Err(format!("{name} is missing")),
    })
}

pub(crate) fn parse_key(pem: &[u8], path: &Path) -> Result<DeviceKey, Error> {
    DeviceKey::from_pem(pem)
        .map_err(|fault| Error::LocalContent { what: format!("{}: {fault}", path.display()) })
}

/// Writes what an answer brought; without roots, those of the set go.
pub(crate) fn write(
    directory: &Directory,
    set: Set,
    answer: &CheckedAnswer,
    roots: Option<&[CertificateDer<'_>]>,
    record: &DeviceRecord,
) -> Result<(), Error> {
    let mut json = serde_json::to_vec_pretty(record).map_err(|fault| Error::LocalContent {
        what: format!("{RECORD_FILE} cannot be made: {fault}"),
    })?;
    json.push(b'\n');
    let leaf = pki::to_pem(std::slice::from_ref(&answer.leaf));
    directory.remove(&set.name(RECORD_FILE))?;
    let public = |name, bytes: &[u8]| directory.replace(&set.name(name), bytes, Mode::Public);
    match roots {
        Some(roots) => public(ROOT_CA_FILE, pki::to_pem(roots).as_bytes())?,
        None => directory.remove(&set.name(ROOT_CA_FILE))?,
    }
    public(CHAIN_FILE, pki::to_pem(&answer.chain).as_bytes())?;
    public(CERTIFICATE_FILE, leaf.as_bytes())?;
    public(RECORD_FILE, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_may_be_empty_and_may_not_be_missing() {
        let home = tempfile::tempdir().unwrap();
        let leaf = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
        std::fs::write(home.path().join("device.pem.next"), leaf.pem()).unwrap();
        let missing = certificate(home.path(), Set::Next).unwrap();
        assert_eq!(missing.unwrap_err(), "chain.pem.next is missing");
        std::fs::write(home.path().join("chain.pem.next"), "\n").unwrap();
        let (found, chain) = certificate(home.path(), Set::Next).unwrap().unwrap();
        assert_eq!((&found, chain.len()), (leaf.der(), 0));
    }
}
