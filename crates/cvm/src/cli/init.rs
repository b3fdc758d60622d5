//! `cvm init`: what may be asked for.

use std::path::PathBuf;

use clap::Args;

use super::{DataDir, OutputArgs};
use crate::config::{HostName, KeyReference, PlatformName, StoreUrl, VaultUrl};

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Seal the vault under the passphrase in the first line of this file; asked for if neither
    /// this nor --unsealed is given
    #[arg(long, value_name = "FILE", conflicts_with = "unsealed")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Do not seal the vault: who can read the data directory has the CA keys
    #[arg(long)]
    pub(crate) unsealed: bool,
    /// Keep the vault here instead of in the data directory: s3://BUCKET/PREFIX, with
    /// ?region=REGION behind it (a build with AWS)
    #[arg(long, value_name = "URL", default_value = "file:vault", hide_default_value = true)]
    pub(crate) vault: VaultUrl,
    /// Keep the registry here instead of in the data directory: dynamodb://TABLE, with
    /// ?region=REGION behind it; the table is made where it is not there (a build with AWS).
    /// Default: as $CVM_STORE__URL says
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<StoreUrl>,
    /// Whose things devices become: aws-iot-core instead of our own (a build with AWS)
    #[arg(long, value_name = "KIND", default_value = "embedded", hide_default_value = true)]
    pub(crate) platform: PlatformName,
    /// Let this key sign devices' certificates, which never leaves where it is: kms: and an ARN, an
    /// id or alias/NAME of a key in AWS KMS (a build with AWS)
    #[arg(long, value_name = "KEY", conflicts_with = "import_ca")]
    pub(crate) ca_key: Option<KeyReference>,
    /// Write the root key here and keep no copy in the vault
    #[arg(long, value_name = "FILE")]
    pub(crate) root_key_out: Option<PathBuf>,
    /// Use this CA to sign devices' certificates, instead of one below our own root
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    pub(crate) import_ca: Vec<PathBuf>,
    /// A name or address of this server, for its certificate; may be repeated
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) hostname: Vec<HostName>,
    /// Write the admin token here (default: admin-token in the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
