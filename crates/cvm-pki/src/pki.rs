//! Everything that `init` makes and `serve` loads: root, the CAs `devices` and `servers`, the
//! server's certificate, the journal's signer, the vault's secrets.
//!
//! In the data directory: `root-ca.pem`, which may have several roots, the newest and ours first;
//! `vault/` with the sealed keys and the certificates of the CAs and of the journal; `server/` with
//! key and certificate for TLS. Where the vault is kept elsewhere, so are the certificates, and
//! `server/` alone is here. The root's certificate is written last, so where it is, the rest is.

mod devices;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::time::Timestamp;
use zeroize::Zeroizing;

use self::devices::NewDevicesCa;
pub use self::devices::{DevicesCa, ImportedCa, RemotePublicKey};
use crate::ca::{Authority, CaCertificate};
use crate::ca_key::CaKey;
use crate::entropy::random;
use crate::error::PkiError;
use crate::issuer::LocalIssuer;
use crate::key::sha256;
use crate::remote_key::{IssuingKey, RemoteKey, RemoteKeyError};
use crate::secrets::VaultSecrets;
use crate::server::{self, ServerIdentity, ServerOptions};
use crate::vault::{Overwrite, Vault, VaultError};
use crate::{files, pem};

/// The names of the vault's entries.
pub mod entry {
    /// HMAC key of operators' tokens.
    pub const ADMIN_MAC_KEY: &str = "admin-mac-key";
    /// The key of the CA that signs devices.
    pub const DEVICES_CA_KEY: &str = "devices-ca-key";
    /// Where that key is, when it is not in the vault: the reference that `init` was given.
    pub const DEVICES_CA_KEY_REFERENCE: &str = "devices-ca-key-reference";
    /// HMAC key by which tokens are derived from idempotency keys.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// The key that signs the journal's checkpoints, P-256.
    pub const JOURNAL_KEY: &str = "journal-key";
    /// The vault's part of the keys under which private keys are sealed.
    pub const REPLAY_SECRET: &str = "replay-secret";
    /// The root's key, unless it was taken away.
    pub const ROOT_KEY: &str = "root-key";
    /// The key of the CA that signs our own listeners.
    pub const SERVERS_CA_KEY: &str = "servers-ca-key";
    /// HMAC key of devices' tokens.
    pub const TOKEN_MAC_KEY: &str = "token-mac-key";
}

pub(crate) const ROOT_FILE: &str = "root-ca.pem";
pub(crate) const DEVICES_FILE: &str = "vault/devices-ca.pem";
pub(crate) const SERVERS_FILE: &str = "vault/servers-ca.pem";
pub(crate) const JOURNAL_FILE: &str = "vault/journal.pem";
pub(crate) const SERVER_DIRECTORY: &str = "server";
/// The directory of the vault in the data directory.
pub const VAULT_DIRECTORY: &str = "vault";

/// What `init` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions<'a> {
    /// Where `server/` goes; it exists.
    pub data_dir: &'a Path,
    /// The certificate of our own listeners.
    pub server: ServerOptions<'a>,
    /// The CA that signs devices.
    pub devices: DevicesCa<'a>,
    /// Where the root's key goes (PKCS #8, PEM, 0600) instead of into the vault.
    pub root_key_out: Option<&'a Path>,
    /// The time.
    pub now: Timestamp,
}

/// What `init` made and may show.
#[derive(Clone, Debug)]
pub struct Created {
    /// SHA-256 of the root's DER, lower-case hexadecimal: what devices pin.
    pub root_fingerprint: String,
    /// The root, PEM.
    pub root_pem: String,
    /// The CA that signs devices, PEM.
    pub devices_ca_pem: String,
    /// The CA that signs our own listeners, PEM.
    pub servers_ca_pem: String,
    /// The last second of the server's certificate.
    pub server_not_after: Timestamp,
}

/// The loaded PKI.
#[derive(Debug)]
pub struct Pki {
    data_dir: PathBuf,
    root_fingerprint: String,
    servers: Authority,
    issuer: Arc<LocalIssuer>,
    secrets: Arc<VaultSecrets>,
}

impl Pki {
    /// Makes everything; nothing is written before all of it could be made, and nothing that
    /// exists is overwritten.
    ///
    /// # Errors
    /// [`PkiError`] says what cannot be: a bad host name, a CA that cannot be imported, a file.
    pub fn create(vault: &Vault, options: &CreateOptions<'_>) -> Result<Created, PkiError> {
        let CreateOptions { data_dir, now, .. } = *options;
        if vault.has_certificate(ROOT_FILE)? {
            return Err(exists(data_dir.join(ROOT_FILE)));
        }
        let hosts = server::hosts(options.server.hostnames)?;
        let root = Authority::create_root(now)?;
        let servers = root.create_servers(now)?;
        let devices = NewDevicesCa::make(&root, options.devices, now)?;
        let identity = server::issue(&servers, &hosts, options.server.algorithm, now)?;
        let journal = CaKey::generate(KeyAlgorithm::EcP256)?;
        let journal_pem = pem::certificate(&root.certify_journal(&journal, now)?);

        match options.root_key_out {
            Some(path) => write_new(path, pem::private_key(&root.key.to_pkcs8()?).as_bytes())?,
            None => put_key(vault, entry::ROOT_KEY, &root.key)?,
        }
        devices.key.put(vault)?;
        put_key(vault, entry::SERVERS_CA_KEY, &servers.key)?;
        put_key(vault, entry::JOURNAL_KEY, &journal)?;
        put_secrets(vault)?;
        vault.certificate_put(DEVICES_FILE, &devices.certificate.pem())?;
        vault.certificate_put(SERVERS_FILE, &servers.certificate.pem())?;
        vault.certificate_put(JOURNAL_FILE, &journal_pem)?;
        server::store(&data_dir.join(SERVER_DIRECTORY), &identity)?;
        vault.certificate_put(ROOT_FILE, &root.certificate.pem())?;
        Ok(Created {
            root_fingerprint: fingerprint(&root.certificate),
            root_pem: root.certificate.pem(),
            devices_ca_pem: devices.certificate.pem(),
            servers_ca_pem: servers.certificate.pem(),
            server_not_after: identity.not_after,
        })
    }

    /// Loads what [`Self::create`] made. `crl_url` is what leaves name: scheme, host and port;
    /// `data_dir` has `server/`.
    ///
    /// # Errors
    /// [`PkiError`] names the file or the entry that is missing or does not fit;
    /// [`PkiError::RemoteKey`] where the key of the `devices` CA is kept elsewhere.
    pub fn load(data_dir: &Path, vault: &Vault, crl_url: &str) -> Result<Self, PkiError> {
        let certificate = devices_certificate(vault)?;
        let devices = match Self::devices_key_reference(vault)? {
            None => load_authority(vault, certificate, entry::DEVICES_CA_KEY)?,
            Some(reference) => {
                let what = format!("it is kept by {reference}, which this command does not ask");
                return Err(PkiError::RemoteKey(RemoteKeyError(what)));
            }
        };
        Self::load_under(data_dir, vault, crl_url, devices.into())
    }

    /// As [`Self::load`], for a `devices` CA whose key is kept elsewhere. The key is not asked
    /// here: [`LocalIssuer::key_check`] does, and every signature is verified.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_remote(
        data_dir: &Path,
        vault: &Vault,
        crl_url: &str,
        key: Arc<dyn RemoteKey>,
    ) -> Result<Self, PkiError> {
        let devices = Authority::remote(devices_certificate(vault)?, key)?;
        Self::load_under(data_dir, vault, crl_url, devices)
    }

    /// Where the key of the `devices` CA is, if it is not in the vault.
    ///
    /// # Errors
    /// [`PkiError::Vault`] where the vault's entry does not open.
    pub fn devices_key_reference(vault: &Vault) -> Result<Option<String>, PkiError> {
        match vault.get(entry::DEVICES_CA_KEY_REFERENCE) {
            Ok(bytes) => String::from_utf8(bytes.to_vec())
                .map(Some)
                .map_err(|_| PkiError::PrivateKey("its reference in the vault is not a text")),
            Err(VaultError::NoEntry(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn load_under(
        data_dir: &Path,
        vault: &Vault,
        crl_url: &str,
        devices: Authority<IssuingKey>,
    ) -> Result<Self, PkiError> {
        let bundle = vault.certificate(ROOT_FILE)?;
        let roots = CaCertificate::read_pem_bundle(ROOT_FILE, &bundle)?;
        for root in &roots {
            root.verify_signed_by(root, ROOT_FILE)?;
        }
        let servers = CaCertificate::read_pem(SERVERS_FILE, &vault.certificate(SERVERS_FILE)?)?;
        let servers = load_authority(vault, servers, entry::SERVERS_CA_KEY)?;
        verify_under(&roots, &servers.certificate, SERVERS_FILE)?;
        // An imported one stands under another root, or is one.
        if roots.iter().any(|root| root.name == devices.certificate.issuer) {
            verify_under(&roots, &devices.certificate, DEVICES_FILE)?;
        }
        let journal = CaCertificate::read_pem(JOURNAL_FILE, &vault.certificate(JOURNAL_FILE)?)?;
        verify_under(&roots, &journal, JOURNAL_FILE)?;
        let issuer = LocalIssuer::new(devices, &roots, crl_url);
        for own in roots.iter().chain([&servers.certificate, &journal]) {
            issuer.own_key_add(&own.der)?;
        }
        for own in issuer.ca_certificates() {
            issuer.own_key_add(&own)?;
        }
        Ok(Self {
            data_dir: data_dir.to_owned(),
            issuer: Arc::new(issuer),
            secrets: Arc::new(load_secrets(vault)?),
            root_fingerprint: roots.first().map(fingerprint).unwrap_or_default(),
            servers,
        })
    }

    /// The `Issuer` port.
    #[must_use]
    pub fn issuer(&self) -> Arc<LocalIssuer> {
        Arc::clone(&self.issuer)
    }

    /// The `Secrets` port.
    #[must_use]
    pub fn secrets(&self) -> Arc<VaultSecrets> {
        Arc::clone(&self.secrets)
    }

    /// SHA-256 of the newest root's DER, lower-case hexadecimal.
    #[must_use]
    pub fn root_fingerprint(&self) -> String {
        self.root_fingerprint.clone()
    }

    /// The certificate and key for TLS, re-issued first where that is due: less than a third of
    /// the life is left, other names or another kind of key are asked for, or the files are
    /// damaged. Returns whether it was. A timer calls this as well as the start.
    ///
    /// # Errors
    /// [`PkiError`] where a new one is needed and cannot be made or written.
    pub fn server_certificate_renew(
        &self,
        options: &ServerOptions<'_>,
        now: Timestamp,
    ) -> Result<(ServerIdentity, Renewed), PkiError> {
        let hosts = server::hosts(options.hostnames)?;
        let directory = self.data_dir.join(SERVER_DIRECTORY);
        if let Ok(identity) = server::load(&directory)
            && !server::is_due(&identity, &self.servers, &hosts, options.algorithm, now)
        {
            self.own_leaf(&identity)?;
            return Ok((identity, Renewed::NotDue));
        }
        let identity = server::issue(&self.servers, &hosts, options.algorithm, now)?;
        server::store(&directory, &identity)?;
        self.own_leaf(&identity)?;
        Ok((identity, Renewed::Reissued))
    }

    fn own_leaf(&self, identity: &ServerIdentity) -> Result<(), PkiError> {
        identity.chain.first().map_or(Ok(()), |leaf| self.issuer.own_key_add(leaf))
    }
}

/// What [`Pki::server_certificate_renew`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The certificate is the one that was there.
    NotDue,
    /// It is a new one.
    Reissued,
}

/// SHA-256 of a certificate's DER, lower-case hexadecimal.
fn fingerprint(certificate: &CaCertificate) -> String {
    hex(&sha256(&certificate.der))
}

/// What is ours was signed by one of our roots, the newest or one before it.
pub(crate) fn verify_under(
    roots: &[CaCertificate],
    certificate: &CaCertificate,
    name: &'static str,
) -> Result<(), PkiError> {
    let is_signed = roots.iter().any(|root| certificate.verify_signed_by(root, name).is_ok());
    if is_signed { Ok(()) } else { Err(CaCertificate::not_ours(name)) }
}

fn devices_certificate(vault: &Vault) -> Result<CaCertificate, PkiError> {
    CaCertificate::read_pem(DEVICES_FILE, &vault.certificate(DEVICES_FILE)?)
}

fn load_authority(
    vault: &Vault,
    certificate: CaCertificate,
    entry: &str,
) -> Result<Authority, PkiError> {
    Authority::load(certificate, CaKey::from_pkcs8(&vault.get(entry)?)?)
}

fn put_key(vault: &Vault, name: &str, key: &CaKey) -> Result<(), PkiError> {
    Ok(vault.put(name, &key.to_pkcs8()?.0, Overwrite::Refuse)?)
}

fn put_secrets(vault: &Vault) -> Result<(), PkiError> {
    let names =
        [entry::TOKEN_MAC_KEY, entry::ADMIN_MAC_KEY, entry::IDEMPOTENCY_KEY, entry::REPLAY_SECRET];
    for name in names {
        vault.put(name, &*Zeroizing::new(random::<32>()), Overwrite::Refuse)?;
    }
    Ok(())
}

fn load_secrets(vault: &Vault) -> Result<VaultSecrets, PkiError> {
    let get = |name: &str| -> Result<Zeroizing<[u8; 32]>, PkiError> {
        let bytes = vault.get(name)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice());
        bytes
            .map(Zeroizing::new)
            .map_err(|_| PkiError::PrivateKey("a vault secret has not 32 bytes"))
    };
    Ok(VaultSecrets::new(
        &*get(entry::TOKEN_MAC_KEY)?,
        &*get(entry::ADMIN_MAC_KEY)?,
        &*get(entry::IDEMPOTENCY_KEY)?,
        get(entry::REPLAY_SECRET)?,
    ))
}

pub(crate) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File {
        operation: "reading",
        path: path.to_owned(),
        source,
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    files::write_new(path, bytes).map_err(|source| PkiError::File {
        operation: "writing",
        path: path.to_owned(),
        source,
    })
}

fn exists(path: PathBuf) -> PkiError {
    let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    PkiError::File { operation: "writing", path, source }
}

#[cfg(test)]
mod tests;
