//! What core needs from outside: the only list of it.
//!
//! [`Ports`] is a plain struct of small traits, so that a test replaces one field with
//! struct-update syntax, and a new field cannot be forgotten by who composes.

mod alarms;
mod attempts;
mod clock;
mod iot_core;
mod issuer;
mod nonces;
mod operators;
mod platform;
mod revocations;
mod secrets;
mod store;

use std::sync::Arc;

pub use alarms::Alarms;
pub use attempts::Attempts;
pub use clock::{Clock, ClockDoubt, ClockReading, ClockStatus, Entropy, Stopwatch};
pub use iot_core::{
    IotBindings, IotCertificate, IotCertificates, IotCore, IotError, IotListed, IotPage, IotStatus,
};
pub use issuer::{Chain, CrlTemplate, Issuer, IssuerError, KeyMaker, LeafTemplate, SignedLeaf};
pub use nonces::{NonceUse, Nonces};
pub use operators::{CredentialError, CredentialRefusal, Operators};
pub use platform::{CarryOutError, IssueOrder, Issued, KeyRequest, Platform, Sought};
pub use revocations::{NewCrl, Revocations, Revoked, RevokedEntry, StoredCrl};
pub use secrets::{SealError, Secrets};
pub use store::{
    Catalogue, CertificateChange, Change, CommitError, Due, Holding, Journal, KeyOwner, KeyRule,
    Policies, Store, StoreError, Thing, ThingChange,
};

/// Everything the use cases need from outside.
#[derive(Clone)]
pub struct Ports {
    /// Who is told of alarms.
    pub alarms: Arc<dyn Alarms>,
    /// What became of requests, for `explain`.
    pub attempts: Arc<dyn Attempts>,
    /// Lists and look-ups that no decision is made from.
    pub catalogue: Arc<dyn Catalogue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Certificate requests in, certificates out.
    pub issuer: Arc<dyn Issuer>,
    /// State changes and decisions, in order.
    pub journal: Arc<dyn Journal>,
    /// Private keys for devices that make none.
    pub key_maker: Arc<dyn KeyMaker>,
    /// Which nonces of signed requests were used.
    pub nonces: Arc<dyn Nonces>,
    /// Operators' credentials.
    pub operators: Arc<dyn Operators>,
    /// The IoT platform: carries out what was decided.
    pub platform: Arc<dyn Platform>,
    /// What a device may do.
    pub policies: Arc<dyn Policies>,
    /// Who is revoked, and the lists that say so.
    pub revocations: Arc<dyn Revocations>,
    /// Keyed hashes and sealing, under keys that core never sees.
    pub secrets: Arc<dyn Secrets>,
    /// The device registry: what every decision is made from.
    pub store: Arc<dyn Store>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
