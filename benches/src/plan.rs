//! What one measured load is told, and what it found: both as JSON between two processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::registry::Pick;

/// One measured load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    /// What the server's and the vended certificates are verified with, PEM.
    pub(crate) roots: PathBuf,
    /// The CA between them and the vended ones, PEM.
    pub(crate) intermediate: PathBuf,
    pub(crate) connections: Connections,
    pub(crate) groups: Groups,
    /// How many devices ask at once.
    pub(crate) at_once: usize,
    pub(crate) seconds: f64,
    /// The server's process; its descendants count with it.
    pub(crate) pid: u32,
    /// Where the server keeps what it stores.
    pub(crate) data: Option<PathBuf>,
    /// Where CVM's metrics are.
    pub(crate) metrics: Option<SocketAddr>,
}

/// Who is asked, and with what.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Peer {
    Cfssl,
    Cvm { devices: Pick },
    Null,
    StepCa { provisioner_key: PathBuf },
}

/// A TLS connection for each request, or one for all of a device's.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Connections {
    New,
    Kept,
}

/// What the client offers to agree on a key with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Groups {
    X25519,
    /// X25519MLKEM768, as a client that sends its share at once.
    Hybrid,
}

/// What came of a load. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) sent: usize,
    pub(crate) answered: usize,
    /// Answers that are not what was asked for.
    pub(crate) wrong: usize,
    /// How many devices the load has used up, with those that warmed it.
    pub(crate) devices_used: u64,
    pub(crate) failures: BTreeMap<String, usize>,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// The server's CPU for one answer.
    pub(crate) server_cpu: f64,
    pub(crate) client_cpu: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) resident: u64,
    pub(crate) answer: usize,
    /// Allocated on disk for one answer.
    pub(crate) disk: Option<f64>,
    /// Flushes of the block device for one answer, whoever caused them.
    pub(crate) flushes: Option<f64>,
    /// Commits for one answer, as the server counts them.
    pub(crate) commits: Option<f64>,
}
