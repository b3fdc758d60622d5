//! What a user types: every command, flag and default. No behaviour.

#![expect(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "these are the help texts that people read"
)]

mod admin;
mod doctor;
mod import;
mod init;
mod list;
mod on_device;
mod rehearse;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use admin::{AdminCommand, AdminTokenCommand, AdminTokenCreate};
pub(crate) use doctor::Doctor;
pub(crate) use import::Import;
pub(crate) use init::Init;
pub(crate) use list::{DeviceList, ListArgs};
pub(crate) use on_device::{Enroll, KeyAlgorithm, Renew, TokenArgs};
pub(crate) use rehearse::{KeyExchange as RehearseKeyExchange, Rehearse};

/// A certificate vending machine for IoT fleets.
#[derive(Debug, Parser)]
#[command(name = "cvm", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The ten-minute tour: a throw-away server, a demo device, its certificate, its first use
    Dev(Dev),
    /// Make a data directory: root CA, issuing CAs, server certificate, admin token
    Init(Init),
    /// Run the server that the configuration describes
    Serve(Serve),
    /// Register devices, look at them, give tokens, disable, delete; on a device: enroll and renew
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Look at certificates, and revoke them
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// What waits for a human: tokens that were shown with another key
    #[command(subcommand)]
    Review(ReviewCommand),
    /// What devices may do, as AWS IoT policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Operators' credentials
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Why did it fail? The last attempts of a device, step by step, and what to do
    Explain(Explain),
    /// Check configuration, keys, clock, store, expiry and listeners, each with its fix
    Doctor(Doctor),
    /// Rehearse with a virtual fleet: answers are lost on purpose, and nothing may be lost by it
    Rehearse(Rehearse),
    /// Check a configuration, or show what is in force
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// The API's JSON, alone on standard output
    Json,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Where the data directory is.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// The data directory
    #[arg(long, value_name = "DIR", env = "CVM_DATA_DIR", default_value = "./cvm-data")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Exit after the tour: 0 if every step worked
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the server's data here instead of throwing it away
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The configuration (default: cvm.toml in the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Open the vault with the passphrase in the first line of this file (default: the systemd
    /// credential passphrase)
    #[arg(long, value_name = "FILE", env = "CVM_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Write pid, addresses and root fingerprint here once every listener accepts
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// How an operator's command reaches the server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The operator API (default: the address in the data directory's ready.json)
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The admin token (default: $CVM_ADMIN_TOKEN, else admin-token in the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// The root that the server's certificate chains to (default: root-ca.pem of the data
    /// directory, then $CVM_ROOT_CA)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fingerprint", "system_roots"])]
    pub(crate) root_ca: Option<PathBuf>,
    /// SHA-256 of the root, as `cvm init` printed it
    #[arg(long, value_name = "HEX", conflicts_with = "system_roots")]
    pub(crate) fingerprint: Option<String>,
    /// Trust the system's roots
    #[arg(long)]
    pub(crate) system_roots: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Register a device and print its one-time token
    Add(DeviceAdd),
    /// Register the devices of a CSV file; safe to run again after any failure
    Import(Import),
    /// Give a device another token: burns the older ones and revokes what they obtained and nobody
    /// has used
    NewToken(NewToken),
    /// Accept nothing from a device until it is enabled again
    Disable(OneDevice),
    /// Accept a device again
    Enable(OneDevice),
    /// Decommission a device: revokes its certificates, burns its tokens, removes its thing
    Delete {
        /// Leave the thing in the platform's registry
        #[arg(long)]
        keep_thing: bool,
        #[command(flatten)]
        device: OneDevice,
    },
    /// List devices, all by serial number, or those that one filter has
    List(DeviceList),
    /// Show a device and its certificates
    Show {
        /// The serial number
        serial: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// On the device: make a key and get its certificate
    Enroll(Enroll),
    /// On the device: make a new key, get its certificate, prove it, and only then use it
    ///
    /// Safe to run again after any failure. A token is shown only if the certificate has expired.
    Renew(Renew),
}

/// A device, for who operates it.
#[derive(Debug, Args)]
pub(crate) struct OneDevice {
    /// The serial number
    pub(crate) serial: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Where a device's token comes from and goes.
#[derive(Debug, Args)]
pub(crate) struct GivenToken {
    /// How long the token may wait for its first use, such as 30d (default: the profile's)
    #[arg(long, value_name = "SPAN")]
    pub(crate) token_expires: Option<String>,
    /// Take the token in the first line of standard input instead of making one
    #[arg(long)]
    pub(crate) token_stdin: bool,
    /// Write the token here (mode 0600), synced before the server is told, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) token_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// Revoke every live certificate now, also those that were used
    #[arg(long)]
    pub(crate) revoke: bool,
    #[command(flatten)]
    pub(crate) token: GivenToken,
    #[command(flatten)]
    pub(crate) device: OneDevice,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceAdd {
    /// The serial number: 1 to 64 of letters, digits and :._/+-
    pub(crate) serial: String,
    /// The registry entry it is bound to (default: made from the serial number)
    #[arg(long, value_name = "NAME")]
    pub(crate) thing_name: Option<String>,
    /// What it may do (default: cvm-default)
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// What else is to be known of it; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) attribute: Vec<String>,
    /// By which rules it gets certificates (default: default)
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Begin another life of a device that was deleted
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) token: GivenToken,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// List certificates
    List(ListArgs),
    /// Show a certificate
    Show {
        /// The certificate id: 64 hexadecimal digits
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Revoke a certificate, live or ended, and burn the token that it descends from
    Revoke {
        /// The certificate id: 64 hexadecimal digits
        id: String,
        /// Why, as RFC 5280 names it; keyCompromise refuses its key for every device for ever
        #[arg(long, value_name = "REASON", default_value = "unspecified")]
        reason: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// List what waits, and what was approved and has not been used yet
    List(ListArgs),
    /// Say yes: that key gets its certificate when its device asks again, and no third
    Approve(OneReview),
    /// Say no: that key never gets one with this token
    Deny(OneReview),
}

/// A review.
#[derive(Debug, Args)]
pub(crate) struct OneReview {
    /// The review's id, such as K7QF2-M8WXA
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Put a policy in place of what had its name
    Put {
        /// Its name
        name: String,
        /// An AWS IoT policy document; - reads standard input
        file: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List policies
    List(ListArgs),
    /// Show a policy
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A serial number, or an attempt code such as K7QF2-M8WXA
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration as serve would, and name every fault
    Check(ConfigArgs),
    /// Print what is in force, and where each value came from
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The configuration (default: cvm.toml in the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
