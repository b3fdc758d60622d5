//! `cvm doctor`: what is typed.

use std::path::PathBuf;

use clap::Args;

use super::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Make what the clock says the latest time on record, forward or back, and believe it; with
    /// the server stopped, beside its data directory, as well
    #[arg(long)]
    pub(crate) accept_time: bool,
    /// The configuration (default: cvm.toml in the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Read the whole store to see that it is not damaged, also a large one and beside a server
    #[arg(long)]
    pub(crate) full: bool,
    /// Judge the keys of all certificates in the store as well, each by itself and all RSA moduli
    /// against each other; reads the store alone
    #[arg(long)]
    pub(crate) keys: bool,
    /// Open a sealed vault with the passphrase in the first line of this file, to look at its keys
    #[arg(long, value_name = "FILE", env = "CVM_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
