//! Attempts: the steps that one request passed, the one that refused it, and on what evidence.
//!
//! `explain` tells them to people. They hold no secrets: nothing of a token, nothing of a body.

mod explain;

use serde::{Deserialize, Serialize};

use crate::id::{AttemptCode, SerialNumber};
use crate::time::Timestamp;

pub use explain::{Explanation, explain};

/// How many attempts are kept for each serial number.
pub const ATTEMPTS_PER_DEVICE: u32 = 32;

/// One request of a registered device, told step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What the caller was given to name it by.
    pub code: AttemptCode,
    /// When it was decided.
    pub at: Timestamp,
    /// The device.
    pub serial_number: SerialNumber,
    /// The network address it came from.
    pub address: String,
    /// What was asked for.
    pub act: Act,
    /// `issued`, `answered-again`, `confirmed`, `connected`, or the slug of the refusal.
    pub outcome: String,
    /// Which of several reasons for one slug; empty where there is one only.
    pub reason: String,
    /// In order; the last one is the one that decided.
    pub steps: Vec<Step>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// To be known as having used a certificate.
    Confirm,
    /// To be let in with a certificate.
    Connect,
    /// Something else.
    Other,
    /// A certificate in place of another.
    Renew,
    /// A certificate.
    Vend,
}

impl Act {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Connect => "connect",
            Self::Other => "other",
            Self::Renew => "renew",
            Self::Vend => "vend",
        }
    }
}

/// A check, in the order of the protocol's section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// The certificate that was shown.
    Certificate,
    /// Whether the server's clock may issue.
    Clock,
    /// The certificate request.
    Csr,
    /// What token, key and profile make of it.
    Decision,
    /// Whether the device is enabled and not deleted.
    Device,
    /// How often this device has asked.
    Limit,
    /// Signing, and the record.
    Record,
    /// Its route, its size, its form: what is looked at before anything else.
    Request,
    /// Whether the serial number is registered.
    SerialNumber,
    /// The token.
    Token,
}

impl StepName {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Clock => "clock",
            Self::Csr => "csr",
            Self::Decision => "decision",
            Self::Device => "device",
            Self::Limit => "limit",
            Self::Record => "record",
            Self::Request => "request",
            Self::SerialNumber => "serial-number",
            Self::Token => "token",
        }
    }
}

/// A check and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which check.
    pub name: StepName,
    /// Whether the request passed it.
    pub passed: bool,
    /// The evidence, in words and without secrets; may be empty.
    pub evidence: String,
}
