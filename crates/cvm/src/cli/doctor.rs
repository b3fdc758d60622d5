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
    /// Open a sealed vault with the passphrase in the first line of this file, to look at its keys
    #[arg(long, value_name = "FILE", env = "CVM_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
