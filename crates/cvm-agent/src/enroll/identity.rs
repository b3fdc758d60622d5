//! A device's identity on the disk: five files, of which `device.json` is the last to be written
//! and the first to go, so that a set without it is unfinished.

use std::path::{Path, PathBuf};

use cvm_wire::device::Endpoints;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::EnrollOptions;
use super::answer::CheckedAnswer;
use crate::client::Trust;
use crate::error::Error;
use crate::files::{self, Directory, Mode};
use crate::fingerprint::Fingerprint;
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
pub(super) fn record(directory: &Path) -> Result<Option<DeviceRecord>, Error> {
    let json = files::read(&directory.join(RECORD_FILE))?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}

/// Whether a set holds a certificate that is good now, for its key and under what is pinned; if
/// not, why.
pub(super) fn standing(
    record: &DeviceRecord,
    options: &EnrollOptions,
    now: UnixTime,
) -> Result<Result<(), String>, Error> {
    let roots: Vec<_> = match stored(&options.out, ROOT_CA_FILE)? {
        Ok(roots) => pinned(roots, &options.trust)?,
        Err(why) => return Ok(Err(why)),
    };
    if roots.is_empty() {
        return Ok(Err("it stands under another root".to_owned()));
    }
    let (leaf, chain) = match certificate(&options.out)? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let path = options.key.clone().unwrap_or_else(|| record.key_path(&options.out));
    let Some(pem) = files::read(&path)? else {
        return Ok(Err(format!("{} is missing", path.display())));
    };
    let spki = parse_key(&pem, &path)?.public_key_der();
    let verified = pki::verify(&leaf, &chain, &roots, &spki, now);
    Ok(verified.map(|_| ()).map_err(|fault| fault.to_string()))
}

/// Those of the stored roots that the caller pins too.
fn pinned(
    roots: Vec<CertificateDer<'static>>,
    trust: &Trust,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let given = match trust {
        Trust::Fingerprint(fingerprint) => {
            let fits = |root: &CertificateDer<'_>| Fingerprint::of(root) == *fingerprint;
            return Ok(roots.into_iter().filter(fits).collect());
        }
        Trust::RootFile(path) => {
            let pem = files::read_needed(path)?;
            pki::certificates(&pem).map_err(|fault| Error::LocalContent {
                what: format!("{} {fault}", path.display()),
            })?
        }
        #[cfg(feature = "system-roots")]
        Trust::SystemRoots => Vec::new(),
    };
    Ok(roots.into_iter().filter(|root| given.contains(root)).collect())
}

type LeafAndChain = (CertificateDer<'static>, Vec<CertificateDer<'static>>);

/// The stored certificate and its chain; if they are not there, why.
pub(super) fn certificate(directory: &Path) -> Result<Result<LeafAndChain, String>, Error> {
    let leaf = stored(directory, CERTIFICATE_FILE)?;
    let leaf = leaf.and_then(|found| {
        let first = found.into_iter().next();
        first.ok_or_else(|| format!("{CERTIFICATE_FILE} is empty"))
    });
    let chain = stored(directory, CHAIN_FILE)?;
    Ok(leaf.and_then(|leaf| Ok((leaf, chain?))))
}

fn stored(
    directory: &Path,
    name: &str,
) -> Result<Result<Vec<CertificateDer<'static>>, String>, Error> {
    Ok(match files::read(&directory.join(name))? {
        Some(pem) => pki::certificates(&pem).map_err(|fault| format!("{name} {fault}")),
        None => Err(format!("{name} is missing")),
    })
}

pub(super) fn parse_key(pem: &[u8], path: &Path) -> Result<DeviceKey, Error> {
    DeviceKey::from_pem(pem)
        .map_err(|fault| Error::LocalContent { what: format!("{}: {fault}", path.display()) })
}

/// Writes what an answer brought.
pub(super) fn write(
    directory: &Directory,
    answer: &CheckedAnswer,
    roots: &[CertificateDer<'_>],
    record: &DeviceRecord,
) -> Result<(), Error> {
    let mut json = serde_json::to_vec_pretty(record).map_err(|fault| Error::LocalContent {
        what: format!("{RECORD_FILE} cannot be made: {fault}"),
    })?;
    json.push(b'\n');
    let leaf = pki::to_pem(std::slice::from_ref(&answer.leaf));
    directory.remove(RECORD_FILE)?;
    let public = |name, bytes: &[u8]| directory.replace(name, bytes, Mode::Public);
    public(ROOT_CA_FILE, pki::to_pem(roots).as_bytes())?;
    public(CHAIN_FILE, pki::to_pem(&answer.chain).as_bytes())?;
    public(CERTIFICATE_FILE, leaf.as_bytes())?;
    public(RECORD_FILE, &json)
}
