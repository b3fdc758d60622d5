//! `cvm admin`: what is typed of operators' credentials.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use cvm_core::operator::Role;

use super::{ListArgs, ServerArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Operators' tokens: what each of them may do, and until when
    #[command(subcommand)]
    Token(AdminTokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminTokenCommand {
    /// Make a token and print it once
    Create(AdminTokenCreate),
    /// List tokens, those that ended too; never what is secret of them
    List(ListArgs),
    /// Revoke a token from now on
    Revoke {
        /// The token's id, as `cvm admin token list` shows it
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AdminTokenCreate {
    /// What people call it: letters, digits and _+=,.@:- ; no two live tokens have the same name
    pub(crate) name: String,
    /// What it may do: viewer reads; registrar also registers devices; operator also manages them;
    /// security reads, revokes, reads the journal and handles admin tokens; owner does all
    #[arg(long, value_parser = role_parser())]
    pub(crate) role: Role,
    /// How long it is let in, such as 30d (default: until it is revoked)
    #[arg(long, value_name = "SPAN")]
    pub(crate) expires: Option<String>,
    /// Write the token here (mode 0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// The roles by name, listed in the help.
fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|name| name.parse::<Role>())
}
