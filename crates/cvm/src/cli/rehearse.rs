//! `cvm rehearse`.

use clap::{Args, ValueEnum};
use cvm_core::time::Span;
use cvm_rehearse::plan::Loss;

use super::{KeyAlgorithm, ServerArgs};

/// What `cvm rehearse --help` says besides.
const ABOUT: &str = "\
Every device has a key of its own and asks as real ones do: over a new connection each time, again \
after a lost answer, later when it is told so. Answers are lost by the seed: the connection breaks \
within the request, after it, or within the answer, or the device forgets what it was answered. \
Afterwards what each device holds is compared with what the operator API says of it.

The devices are called rehearse-SEED-NUMBER. Their profile is rehearse, whose certificates live one \
hour; a [[profile]] of that name changes it. At the end they are deleted, which takes an admin \
token of the role operator; their tombstones stay, and the same seed uses them again.

The server's limits stay in force and are waited for. Where they are in the way, with much loss or \
many devices at one address, raise [limits] issues_per_serial or connections_per_address, or list \
this machine in trusted_networks.

Exit code: 0 if every device got there and no invariant broke, 1 otherwise.";

#[derive(Debug, Args)]
#[command(after_long_help = ABOUT)]
pub(crate) struct Rehearse {
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// How many of them at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) concurrency: u32,
    /// How many of a hundred answers are lost on purpose
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub(crate) loss: Loss,
    /// Chooses which answers are lost, and names the devices (default: another one each time)
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Use each certificate for the first time
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Renew each certificate, and use the next one
    #[arg(long)]
    pub(crate) renew: bool,
    /// Rehearse on a server that has other devices
    #[arg(long)]
    pub(crate) yes: bool,
    /// Leave the devices there
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only delete what rehearsals left: those with --seed, or all
    #[arg(long, conflicts_with_all = ["confirm", "renew", "yes", "keep", "phases", "keep_alive"])]
    pub(crate) clean: bool,
    /// How long a device goes on asking for one thing
    #[arg(long, value_name = "SPAN", default_value = "2m")]
    pub(crate) patience: Span,
    /// The device API (default: the address in the data directory's ready.json)
    #[arg(long, value_name = "URL")]
    pub(crate) device_server: Option<String>,
    /// Of which kind the devices' keys are
    #[arg(long, value_enum, default_value_t)]
    pub(crate) key_algorithm: KeyAlgorithm,
    /// Keep connections open between vends, as a station at a production line does
    #[arg(long)]
    pub(crate) keep_alive: bool,
    /// How connections agree upon their keys
    #[arg(long, value_enum, default_value_t)]
    pub(crate) key_exchange: KeyExchange,
    /// Tell on standard error, as lines of JSON, when each phase begins and ends
    #[arg(long)]
    pub(crate) phases: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// How connections agree upon their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyExchange {
    /// X25519MLKEM768 first
    #[default]
    Hybrid,
    /// X25519 alone
    X25519,
}
