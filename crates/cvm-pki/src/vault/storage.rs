//! Where a vault's items are kept, apart from how they are sealed: a port with two forms, files
//! ([`Files`], a directory of the data directory) and a bundle ([`super::Bundle`], one document).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::VaultError;
use crate::files;

const HEADER_FILE: &str = "vault.json";
const CLEAR_KEY_FILE: &str = "master.key";
const ENTRY_SUFFIX: &str = ".sealed";

/// One thing that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A certificate, by its file's name from the data directory: no secret, and not sealed.
    Certificate(&'a str),
    /// The master key in the clear, of a vault without a passphrase.
    ClearKey,
    /// A sealed entry, by its name of 1 to 64 of a-z, 0-9 and `-`.
    Entry(&'a str),
    /// How the master key is kept.
    Header,
}

/// Keeps bytes and understands nothing of them.
pub trait VaultStorage: fmt::Debug + Send + Sync {
    /// What is kept.
    ///
    /// # Errors
    /// [`VaultError::File`] of the kind `NotFound` where there is nothing.
    fn get(&self, item: Item<'_>) -> Result<Zeroizing<Vec<u8>>, VaultError>;

    /// Keeps what is not there yet.
    ///
    /// # Errors
    /// [`VaultError::AlreadyExists`]: what is there is left as it is.
    fn put_new(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError>;

    /// Puts this in the place of what is there.
    ///
    /// # Errors
    /// [`VaultError::File`]: the old one is there, or the new one, whole.
    fn replace(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError>;

    /// The names of all entries, in any order.
    ///
    /// # Errors
    /// [`VaultError::File`] where they cannot be read.
    fn entries(&self) -> Result<Vec<String>, VaultError>;

    /// Where an item is kept, for whoever looks for it.
    fn place(&self, item: Item<'_>) -> PathBuf;

    /// What the storage is, in the warning of a vault that is not sealed: whoever reads it has all.
    fn noun(&self) -> &'static str;
}

/// Each item is a file of its own, durable when it was put.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Makes the directory where it is not there.
    pub(crate) fn make(directory: &Path) -> Result<Self, VaultError> {
        files::directory(directory).map_err(|source| file("making", directory, source))?;
        Ok(Self::new(directory))
    }
}

impl VaultStorage for Files {
    fn get(&self, item: Item<'_>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let path = self.place(item);
        fs::read(&path).map(Zeroizing::new).map_err(|source| file("reading", &path, source))
    }

    fn put_new(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.place(item);
        files::write_new(&path, bytes).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                VaultError::AlreadyExists(path)
            } else {
                file("writing", &path, source)
            }
        })
    }

    fn replace(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.place(item);
        files::replace(&path, bytes).map_err(|source| file("writing", &path, source))
    }

    fn entries(&self) -> Result<Vec<String>, VaultError> {
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
        Ok(names)
    }

    fn place(&self, item: Item<'_>) -> PathBuf {
        match item {
            // The vault is a directory of the data directory; `root-ca.pem` stands beside it.
            Item::Certificate(name) => {
                self.directory.parent().unwrap_or_else(|| Path::new("")).join(name)
            }
            Item::ClearKey => self.directory.join(CLEAR_KEY_FILE),
            Item::Entry(name) => self.directory.join(format!("{name}{ENTRY_SUFFIX}")),
            Item::Header => self.directory.join(HEADER_FILE),
        }
    }

    fn noun(&self) -> &'static str {
        "directory"
    }
}

fn file(operation: &'static str, path: &Path, source: io::Error) -> VaultError {
    VaultError::File { operation, path: path.to_owned(), source }
}
