//! The vault: a directory of secrets, each sealed with AES-256-GCM under one master key.
//!
//! The master key is wrapped under a key that Argon2id makes of a passphrase, or, in a vault that
//! is not sealed, lies in the clear in a file of its own. An entry is bound to its name, so that
//! entries cannot be exchanged. Whoever has the passphrase and the directory has everything;
//! without the passphrase the directory gives away names and sizes only. A restored old entry is
//! not noticed.

mod header;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

use self::header::Header;
use crate::entropy::random;
use crate::files;

const HEADER_FILE: &str = "vault.json";
const CLEAR_KEY_FILE: &str = "master.key";
const ENTRY_SUFFIX: &str = ".sealed";
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

/// An open vault.
pub struct Vault {
    directory: PathBuf,
    master: LessSafeKey,
    is_sealed: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Vault {
    /// A new vault in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`] where there is a vault in it.
    pub fn create(directory: &Path, protection: Protection<'_>) -> Result<Self, VaultError> {
        let path = directory.join(HEADER_FILE);
        if path.exists() {
            return Err(VaultError::AlreadyExists(path));
        }
        files::directory(directory).map_err(|source| file("making", directory, source))?;
        let master = Zeroizing::new(random::<32>());
        let (header, is_sealed) = match protection {
            Protection::Sealed(passphrase) => (Header::seal(&passphrase.0, &master)?, true),
            Protection::Unsealed => {
                write_new(&directory.join(CLEAR_KEY_FILE), &*master)?;
                (Header::unsealed(), false)
            }
        };
        write_new(&path, header.to_json().as_bytes())?;
        Self::with_master(directory, &master, is_sealed)
    }

    /// Opens the vault in `directory`. Argon2's memory is freed before this returns.
    ///
    /// # Errors
    /// [`VaultError::PassphraseNeeded`], [`VaultError::WrongPassphrase`], and whatever is wrong
    /// with the files.
    pub fn open(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, VaultError> {
        let path = directory.join(HEADER_FILE);
        let json = read(&path)?;
        let header = Header::read(&json)
            .map_err(|problem| VaultError::Header { path: path.clone(), problem })?;
        if header.is_sealed() {
            let passphrase = passphrase.ok_or(VaultError::PassphraseNeeded)?;
            let master = header.open(&passphrase.0)?.ok_or(VaultError::WrongPassphrase(path))?;
            return Self::with_master(directory, &master, true);
        }
        let path = directory.join(CLEAR_KEY_FILE);
        let bytes = read(&path)?;
        let master = <[u8; 32]>::try_from(bytes.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Header { path, problem: "it has not 32 bytes".to_owned() })?;
        Self::with_master(directory, &master, false)
    }

    fn with_master(
        directory: &Path,
        master: &[u8; 32],
        is_sealed: bool,
    ) -> Result<Self, VaultError> {
        Ok(Self { directory: directory.to_owned(), master: cipher(master)?, is_sealed })
    }

    /// Whether a passphrase protects it.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Seals `secret` as the entry `name`; it is durable when this returns.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`] where there is one and it may not be overwritten.
    pub fn put(&self, name: &str, secret: &[u8], overwrite: Overwrite) -> Result<(), VaultError> {
        let path = self.path(name)?;
        let sealed = seal(&self.master, &entry_context(name), secret)?;
        match overwrite {
            Overwrite::Refuse => write_new(&path, &sealed),
            Overwrite::Replace => {
                files::replace(&path, &sealed).map_err(|source| file("writing", &path, source))
            }
        }
    }

    /// Opens the entry `name`.
    ///
    /// # Errors
    /// [`VaultError::NoEntry`], and [`VaultError::Tampered`] where it is not what was sealed.
    pub fn get(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let path = self.path(name)?;
        let sealed = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::NoEntry(name.to_owned()));
            }
            other => other.map_err(|source| file("reading", &path, source))?,
        };
        open(&self.master, &entry_context(name), &sealed)
            .ok_or_else(|| VaultError::Tampered(name.to_owned()))
    }

    /// The names of all entries, in order.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>, VaultError> {
        let failed = |source| file("reading", &self.directory, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let file_name = entry.map_err(failed)?.file_name();
            names.extend(
                file_name
                    .to_str()
                    .and_then(|name| name.strip_suffix(ENTRY_SUFFIX))
                    .map(String::from),
            );
        }
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf, VaultError> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=ENTRY_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(self.directory.join(format!("{name}{ENTRY_SUFFIX}")))
        } else {
            Err(VaultError::EntryName)
        }
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

fn file(operation: &'static str, path: &Path, source: io::Error) -> VaultError {
    VaultError::File { operation, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    fs::read(path).map(Zeroizing::new).map_err(|source| file("reading", path, source))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    files::write_new(path, bytes).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            VaultError::AlreadyExists(path.to_owned())
        } else {
            file("writing", path, source)
        }
    })
}

#[cfg(test)]
mod tests;
