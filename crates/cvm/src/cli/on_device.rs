//! The commands of the device itself: what a user types to enroll and to renew.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputArgs;

/// Where a device's token is.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The one-time token, in the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token_stdin", "token"])]
    pub(crate) token_file: Option<PathBuf>,
    /// The one-time token, in the first line of standard input
    #[arg(long, conflicts_with = "token")]
    pub(crate) token_stdin: bool,
    /// The one-time token; visible to every process of this machine, so better use another way
    /// (also: $CVM_TOKEN)
    #[arg(long, value_name = "VALUE")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The device API, such as https://cvm.example:8443
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// The device's serial number
    #[arg(long)]
    pub(crate) serial: String,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
    /// SHA-256 of the root, as `cvm init` printed it
    #[arg(long, value_name = "HEX", required_unless_present = "root_ca")]
    pub(crate) fingerprint: Option<String>,
    /// The root that the server's certificate chains to
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    pub(crate) root_ca: Option<PathBuf>,
    /// Of which kind the key is that is made
    #[arg(long, value_enum, default_value_t)]
    pub(crate) key_algorithm: KeyAlgorithm,
    /// Use this private key (PEM) instead of making one
    #[arg(long, value_name = "FILE", conflicts_with = "key_algorithm")]
    pub(crate) key: Option<PathBuf>,
    /// Where device.key, device.pem, chain.pem, root-ca.pem and device.json go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Where enroll put the device's files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Do nothing before the certificate is due: for a timer
    #[arg(long)]
    pub(crate) if_due: bool,
    /// Of which kind the new key is (default: as the old one)
    #[arg(long, value_enum)]
    pub(crate) key_algorithm: Option<KeyAlgorithm>,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The kinds of key that a device makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyAlgorithm {
    /// ECDSA on P-256
    #[default]
    #[value(name = "EC_P256")]
    EcP256,
    /// ECDSA on P-384
    #[value(name = "EC_P384")]
    EcP384,
    /// Ed25519
    #[value(name = "ED25519")]
    Ed25519,
    /// RSA with 2048 bits
    #[value(name = "RSA_2048")]
    Rsa2048,
}
