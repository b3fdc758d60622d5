//! Which certificates lie in a data directory, and from when until when they hold: for whoever
//! looks after them. Reads files only; nothing is opened, verified or written.

use std::fs;
use std::path::{Path, PathBuf};

use cvm_core::time::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::PkiError;
use crate::pem;
use crate::pki::{DEVICES_FILE, JOURNAL_FILE, ROOT_FILE, SERVERS_FILE};
use crate::server;

/// Which certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The CA that signs devices.
    DevicesCa,
    /// The journal's signer.
    Journal,
    /// The root.
    Root,
    /// The certificate of our own listeners.
    Server,
    /// The CA that signs our own listeners.
    ServersCa,
}

/// From when until when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

/// Where each certificate of a data directory is, from the directory.
#[must_use]
pub fn inventory() -> [(Kept, PathBuf); 5] {
    [
        (Kept::Root, ROOT_FILE.into()),
        (Kept::DevicesCa, DEVICES_FILE.into()),
        (Kept::ServersCa, SERVERS_FILE.into()),
        (Kept::Journal, JOURNAL_FILE.into()),
        (Kept::Server, server::certificate_file()),
    ]
}

/// From when until when the first certificate of a PEM file holds.
///
/// # Errors
/// [`PkiError`] where the file cannot be read or holds none.
pub fn validity(path: &Path) -> Result<Validity, PkiError> {
    of_first(path, |certificate| Validity {
        not_before: Timestamp(certificate.validity().not_before.timestamp()),
        not_after: Timestamp(certificate.validity().not_after.timestamp()),
    })
}

/// What `look` sees in the first certificate of a PEM file.
pub(crate) fn of_first<T>(
    path: &Path,
    look: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, PkiError> {
    let text = fs::read_to_string(path).map_err(|source| PkiError::File {
        operation: "reading",
        path: path.to_owned(),
        source,
    })?;
    let none = || PkiError::certificate("the file", "it holds no certificate in PEM");
    let blocks = pem::all(&text).map_err(|_| none())?;
    let (_, der) =
        blocks.into_iter().find(|(label, _)| *label == "CERTIFICATE").ok_or_else(none)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| none())?;
    Ok(look(&parsed))
}

#[cfg(test)]
mod tests {
    use cvm_core::key::KeyAlgorithm;
    use cvm_core::time::Span;

    use super::*;
    use crate::pki::{CreateOptions, DevicesCa, Pki, VAULT_DIRECTORY};
    use crate::server::ServerOptions;
    use crate::vault::{Protection, Vault};

    /// 2026-01-01.
    const NOW: Timestamp = Timestamp(1_767_225_600);

    #[test]
    fn every_certificate_that_init_makes_is_found_with_its_life() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let vault = Vault::create(&directory.join(VAULT_DIRECTORY), Protection::Unsealed).unwrap();
        let hostnames = [String::from("localhost")];
        let server = ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 };
        let (devices, root_key_out) = (DevicesCa::Made, None);
        let options =
            CreateOptions { data_dir: directory, server, devices, root_key_out, now: NOW };
        let created = Pki::create(&vault, &options).unwrap();
        for (kept, path) in inventory() {
            let validity = validity(&directory.join(path)).unwrap();
            assert_eq!(validity.not_before, NOW.minus(Span::DAY), "{kept:?}");
            assert_eq!(validity.not_after == created.server_not_after, kept == Kept::Server);
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        assert!(matches!(validity(&path), Err(PkiError::File { .. })));
        fs::write(&path, "no certificate").unwrap();
        assert!(validity(&path).unwrap_err().to_string().contains("no certificate"));
    }
}
