//! Lists: a page of one, and what the list of devices is filtered by.

use clap::Args;
use cvm_core::time::Span;

use super::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Where the page before ended, as it said
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceList {
    /// Only those that are so: registered and deleted ones oldest first, issued and active ones by
    /// when their certificate expires, disabled ones by serial number; may be a moment behind
    #[arg(long, value_name = "STATE", conflicts_with = "expiring", value_parser = DEVICE_STATES)]
    pub(crate) status: Option<String>,
    /// Only active ones whose certificate expires within this span, such as 30d, soonest first
    #[arg(long, value_name = "SPAN")]
    pub(crate) expiring: Option<Span>,
    #[command(flatten)]
    pub(crate) page: ListArgs,
}

const DEVICE_STATES: [&str; 5] = ["registered", "issued", "active", "deleted", "disabled"];
