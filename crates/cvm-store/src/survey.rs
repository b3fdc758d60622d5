//! What a store says of itself to who looks from outside.

use std::collections::BTreeMap;

use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::time::{Span, Timestamp};

/// How much of a store is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What is asked for, and nothing else.
    Rows,
    /// Every page of it, to see whether it is whole.
    Whole,
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The latest time on record.
    pub mark: Option<Timestamp>,
    /// Whether an older release wrote it, and a server has to bring it up to date first; then
    /// nothing below is known.
    pub is_old: bool,
    /// Operators' credentials that let in.
    pub tokens: Vec<LiveToken>,
    /// Devices that wait for a timer to look at them for longer than [`Self::LATE_AFTER`].
    pub devices_late: u64,
    /// CRLs past their nextUpdate.
    pub crls_past: u64,
    /// Reviews that wait for a human.
    pub reviews_open: u64,
    /// Alarms of the last day, by kind.
    pub alarms: BTreeMap<String, u64>,
}

impl Survey {
    /// A server looks every minute.
    pub const LATE_AFTER: Span = Span(10 * 60);
}

/// An operator's credential that lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveToken {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// Its last second.
    pub expires_at: Option<Timestamp>,
}

/// A certificate as far as its key is concerned.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Which certificate.
    pub id: CertificateId,
    /// Whose.
    pub serial_number: String,
    /// Which key.
    pub key: KeyIdentity,
    /// Whether it may still be used.
    pub is_live: bool,
    /// The certificate; empty where only its key's identity was asked for.
    pub der: Vec<u8>,
}
