//! A virtual fleet against a running server: real keys, real TLS, answers lost on purpose, and an
//! audit of what devices hold against what the operator API says.
//!
//! In reading order: [`plan`], [`site`], `device` (one virtual device), `worker` (asks until it is
//! answered), `fleet` (all of them, act by act), `audit` (what must be true afterwards), [`report`].

mod audit;
mod cleaning;
mod client;
mod crew;
mod device;
mod fault;
mod fleet;
mod operator;
pub mod plan;
pub mod report;
mod rng;
pub mod site;
mod tally;
mod tls;
mod worker;

pub use cleaning::{clean, has_other_devices};
pub use fleet::{Rehearsed, rehearse};
pub use operator::Failure;

/// Who is told how far a rehearsal is.
pub trait Progress: Send + Sync {
    /// A phase begins: so many devices have to go through it.
    fn begun(&self, phase: &str, devices: usize, at_unix_ms: u64);

    /// One more device went through it, or gave up.
    fn advanced(&self);

    /// The phase is over.
    fn ended(&self, phase: &str, at_unix_ms: u64);
}
