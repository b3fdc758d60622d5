//! The vault: secrets, each sealed with AES-256-GCM under one master key; where they are kept is
//! another matter ([`storage`]), a directory or a bundle.
//!
//! The master key is wrapped under a key that Argon2id makes of a passphrase, or, in a vault that
//! is not sealed, is kept in the clear. An entry is bound to its name, so that entries cannot be
//! exchanged. Whoever has the passphrase and the storage has everything; without the passphrase
//! the storage gives away names and sizes only. A restored old entry is not noticed.

mod bundle;
mod header;
mod storage;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::bundle::Bundle;
use self::header::Header;
use self::storage::Files;
pub use self::storage::{Item, VaultStorage};
use crate::entropy::random;

const ENTRY_NAME_BYTES_MAX: usize = 64;

/// What a person types to open the vault; cannot be printed.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase as it was typed or as it stands in a file: one line end is not a part of it.
    ///
    /// # Errors
    /// [`VaultError::EmptyPassphrase`] where nothing is left.
    pub fn new(text: Zeroizing<String>) -> Result<Self, VaultError> {
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(VaultError::EmptyPassphrase);
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// How the master key is kept.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// Wrapped under a passphrase.
    Sealed(&'a Passphrase),
    /// In the clear, beside the entries.
    Unsealed,
}

/// Whether an entry that exists may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It is an error.
    Refuse,
    /// The old one is lost.
    Replace,
}

/// Why the vault does not do what was asked.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is one already.
    #[error("{0} exists already: it is not overwritten")]
    AlreadyExists(PathBuf),
    /// The cryptographic library failed.
    #[error("the cryptographic library failed at {0}")]
    Crypto(&'static str),
    /// No passphrase at all.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// Not a name of an entry.
    #[error("a vault entry's name is 1 to 64 of a-z, 0-9 and `-`")]
    EntryName,
    /// The header is not one.
    #[error("{path} is not a vault header that this version reads: {problem}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no such entry.
    #[error("the vault has no entry `{0}`")]
    NoEntry(String),
    /// The vault is sealed and no passphrase was given.
    #[error("the vault is sealed: give its passphrase (--passphrase-file)")]
    PassphraseNeeded,
    /// An entry does not open.
    #[error("the vault entry `{0}` was changed or damaged: restore it from a backup")]
    Tampered(String),
    /// The master key does not open.
    #[error("the passphrase is wrong (or {0} was changed)")]
    WrongPassphrase(PathBuf),
}

impl VaultError {
    fn says_absent(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// An open vault.
pub struct Vault {
    storage: Arc<dyn VaultStorage>,
    master: LessSafeKey,
    is_sealed: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.storage.place(Item::Header);
        f.debug_struct("Vault").field("place", &place).finish_non_exhaustive()
    }
}

impl Vault {
    /// A new vault in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`] where there is a vault in it.
    pub fn create(directory: &Path, protection: Protection<'_>) -> Result<Self, VaultError> {
        Self::create_in(Arc::new(Files::make(directory)?), protection)
    }

    /// A new vault in `storage`.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`] where there is a vault in it.
    pub fn create_in(
        storage: Arc<dyn VaultStorage>,
        protection: Protection<'_>,
    ) -> Result<Self, VaultError> {
        match storage.get(Item::Header) {
            Ok(_) => return Err(VaultError::AlreadyExists(storage.place(Item::Header))),
            Err(error) if error.says_absent() => {}
            Err(error) => return Err(error),
        }
        let master = Zeroizing::new(random::<32>());
        let (header, is_sealed) = match protection {
            Protection::Sealed(passphrase) => (Header::seal(&passphrase.0, &master)?, true),
            Protection::Unsealed => {
                storage.put_new(Item::ClearKey, &*master)?;
                (Header::unsealed(storage.noun()), false)
            }
        };
        storage.put_new(Item::Header, header.to_json().as_bytes())?;
        Ok(Self { storage, master: cipher(&master)?, is_sealed })
    }

    /// Opens the vault in `directory`. Argon2's memory is freed before this returns.
    ///
    /// # Errors
    /// [`VaultError::PassphraseNeeded`], [`VaultError::WrongPassphrase`], and whatever is wrong
    /// with the files.
    pub fn open(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, VaultError> {
        Self::open_in(Arc::new(Files::new(directory)), passphrase)
    }

    /// Opens the vault in `storage`; otherwise as [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(
        storage: Arc<dyn VaultStorage>,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, VaultError> {
        let path = storage.place(Item::Header);
        let header = Header::read(&storage.get(Item::Header)?)
            .map_err(|problem| VaultError::Header { path: path.clone(), problem })?;
        if header.is_sealed() {
            let passphrase = passphrase.ok_or(VaultError::PassphraseNeeded)?;
            let master = header.open(&passphrase.0)?.ok_or(VaultError::WrongPassphrase(path))?;
            return Ok(Self { storage, master: cipher(&master)?, is_sealed: true });
        }
        let bytes = storage.get(Item::ClearKey)?;
        let master = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| {
            let path = storage.place(Item::ClearKey);
            VaultError::Header { path, problem: "it has not 32 bytes".to_owned() }
        })?;
        Ok(Self { storage, master: cipher(&master)?, is_sealed: false })
    }

    /// Whether a passphrase protects it.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Seals `secret` as the entry `name`; it is as durable as the storage makes it when this
    /// returns.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`] where there is one and it may not be overwritten.
    pub fn put(&self, name: &str, secret: &[u8], overwrite: Overwrite) -> Result<(), VaultError> {
        let item = entry_item(name)?;
        let sealed = seal(&self.master, &entry_context(name), secret)?;
        match overwrite {
            Overwrite::Refuse => self.storage.put_new(item, &sealed),
            Overwrite::Replace => self.storage.replace(item, &sealed),
        }
    }

    /// Opens the entry `name`.
    ///
    /// # Errors
    /// [`VaultError::NoEntry`], and [`VaultError::Tampered`] where it is not what was sealed.
    pub fn get(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let sealed = match self.storage.get(entry_item(name)?) {
            Err(error) if error.says_absent() => return Err(VaultError::NoEntry(name.to_owned())),
            other => other?,
        };
        open(&self.master, &entry_context(name), &sealed)
            .ok_or_else(|| VaultError::Tampered(name.to_owned()))
    }

    /// The names of all entries, in order.
    ///
    /// # Errors
    /// Where the storage cannot be read.
    pub fn list(&self) -> Result<Vec<String>, VaultError> {
        let mut names = self.storage.entries()?;
        names.sort();
        Ok(names)
    }

    /// Whether this certificate is kept with the vault.
    pub(crate) fn has_certificate(&self, name: &str) -> Result<bool, VaultError> {
        match self.storage.get(Item::Certificate(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.says_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A certificate that is kept with the vault, as it was put.
    pub(crate) fn certificate(&self, name: &str) -> Result<String, VaultError> {
        let item = Item::Certificate(name);
        let bytes = self.storage.get(item)?.to_vec();
        String::from_utf8(bytes).map_err(|error| VaultError::File {
            operation: "reading",
            path: self.storage.place(item),
            source: io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()),
        })
    }

    /// Keeps a certificate that is not there yet.
    pub(crate) fn certificate_put(&self, name: &str, pem: &str) -> Result<(), VaultError> {
        self.storage.put_new(Item::Certificate(name), pem.as_bytes())
    }
}

fn entry_item(name: &str) -> Result<Item<'_>, VaultError> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=ENTRY_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
        Ok(Item::Entry(name))
    } else {
        Err(VaultError::EntryName)
    }
}

/// What an entry is bound to besides the master key: the format's version and its name.
fn entry_context(name: &str) -> Vec<u8> {
    format!("cvm vault 1 entry {name}").into_bytes()
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| VaultError::Crypto("making a cipher"))
}

/// Nonce, ciphertext, tag. The nonce is random: a vault seals far fewer than 2^32 times.
fn seal(cipher: &LessSafeKey, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE_LEN>();
    let mut sealed = Vec::with_capacity(secret.len() + AES_256_GCM.tag_len() + NONCE_LEN);
    sealed.extend_from_slice(secret);
    let tag = cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut sealed,
        )
        .map_err(|_| VaultError::Crypto("sealing"))?;
    sealed.extend_from_slice(tag.as_ref());
    sealed.splice(..0, nonce);
    Ok(sealed)
}

fn open(cipher: &LessSafeKey, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher.open_in_place(nonce, Aad::from(context), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

#[cfg(test)]
mod tests;
