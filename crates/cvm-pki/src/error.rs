//! What can go wrong with the PKI's own material; each says which operation, and what to do.

use std::path::PathBuf;

use thiserror::Error;

use crate::remote_key::RemoteKeyError;
use crate::vault::VaultError;

/// Making, loading or renewing the PKI failed.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A certificate that was to be read is not one, or not the one it should be.
    #[error("{name}: {problem}")]
    Certificate {
        /// Which certificate.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A CRL would have broken a rule; ours to mend.
    #[error("a CRL was not signed: {0}")]
    Crl(String),
    /// The cryptographic library refused.
    #[error("the cryptographic library failed at {0}")]
    Crypto(&'static str),
    /// A file could not be read or written.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A host name for the server certificate is none.
    #[error("`{0}` is neither a host name nor an IP address")]
    HostName(String),
    /// A CA that was to be imported cannot be the `devices` CA.
    #[error("the CA cannot be imported: {0}")]
    Import(&'static str),
    /// A certificate would have broken a rule; ours to mend.
    #[error("a certificate was not signed: {0}")]
    Lint(String),
    /// A private key cannot be read.
    #[error("the private key cannot be used: {0}")]
    PrivateKey(&'static str),
    /// A key that is kept elsewhere was not used.
    #[error("the key of the devices CA cannot be used: {0}")]
    RemoteKey(RemoteKeyError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl PkiError {
    pub(crate) fn certificate(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Certificate { name, problem: problem.into() }
    }
}
