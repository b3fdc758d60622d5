//! `cvm device import`.

use std::path::PathBuf;

use clap::Args;
use cvm_core::time::Span;

use super::ServerArgs;

/// What `cvm device import --help` says besides.
const FORMAT: &str = r#"The file is CSV (RFC 4180) in UTF-8. Its first line names the columns, in any order; serial alone
is needed, and an empty cell asks for the default:

  serial         1 to 64 of letters, digits and :._/+-
  thing_name     the registry entry (default: made from the serial number)
  policy         what the device may do (default: cvm-default)
  profile        by which rules it gets certificates (default: default)
  attributes     k=v;k=v, or a JSON object where a value has a semicolon: "{""k"": ""a;b""}"
  token          a token of your own; without it one is made here and written to --tokens-out
  token_expires  until when the token may wait for its first use, as 2030-01-31T00:00:00Z

A row that is bad or refused is told with the line it begins on, and nothing of it is kept; all
other rows are registered. The same command again goes on where it was cut off, and changes nothing
where it was done: keep the --tokens-out file. It is read first, and may serve several imports, one
after the other.

The QR code of a device is the JSON {"serialNumber": "...", "token": "..."}.

Exit code: 0 if every row is registered, 1 if any was refused or the import was given up."#;

#[derive(Debug, Args)]
#[command(after_long_help = FORMAT)]
pub(crate) struct Import {
    /// The CSV file; - reads standard input
    pub(crate) file: PathBuf,
    /// Make the tokens that the file does not bring, and keep them here: CSV serial,token, mode
    /// 0600, synced before a row is sent
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens_out: Option<PathBuf>,
    /// Write a label with a QR code (SVG, mode 0600) here for each device that is registered
    #[arg(long, value_name = "DIR")]
    pub(crate) qr_out: Option<PathBuf>,
    /// Write every row that was refused here: CSV line,serial,cause
    #[arg(long, value_name = "FILE")]
    pub(crate) refused_out: Option<PathBuf>,
    /// Read the whole file and tell its bad rows; make nothing, send nothing, ask no server
    #[arg(long, conflicts_with_all = ["tokens_out", "qr_out"])]
    pub(crate) check: bool,
    /// How long to go on trying while the server takes nothing
    #[arg(long, value_name = "SPAN", default_value = "2m")]
    pub(crate) retry_for: Span,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
