//! What a rehearsal does.

use std::time::Duration;

use cvm_agent::keys::KeyAlgorithm;

pub use crate::fault::{Loss, LossError};

/// The profile that virtual devices are registered under; every server has it.
pub const PROFILE: &str = "rehearse";

/// What the serial numbers of every rehearsal begin with.
pub const PREFIX: &str = "rehearse-";

/// What the serial numbers of the rehearsal with this seed begin with.
#[must_use]
pub fn prefix_of(seed: u64) -> String {
    format!("{PREFIX}{seed}-")
}

/// What a virtual fleet goes through.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many devices.
    pub devices: u32,
    /// How many of them at once.
    pub concurrency: u32,
    /// How many answers are lost on purpose.
    pub loss: Loss,
    /// By what it is chosen which ones; also names the devices.
    pub seed: u64,
    /// What each device does after it got its certificate.
    pub then: Vec<Then>,
    /// Of which kind its keys are.
    pub key_algorithm: KeyAlgorithm,
    /// Whether each vend has a connection of its own.
    pub connections: Connections,
    /// How connections agree upon their keys.
    pub key_exchange: KeyExchange,
    /// How long a device goes on asking for one thing.
    pub patience: Duration,
    /// What becomes of the devices.
    pub afterwards: Afterwards,
}

/// What a device does after it got its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Uses it for the first time.
    Confirm,
    /// Gets the next one, and uses that.
    Renew,
}

/// Over which connections devices ask for their first certificate. What is asked with a certificate
/// always has a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A new one each time, as devices do.
    Each,
    /// Those that ask at once keep theirs, as a station at a production line does.
    Kept,
}

/// How connections agree upon their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// X25519MLKEM768 first.
    Hybrid,
    /// X25519 alone.
    X25519,
}

/// What becomes of the devices when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They are deleted.
    Clean,
    /// They stay.
    Keep,
}
