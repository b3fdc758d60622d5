//! The invariants that are explored, each beside the protocol's text (section 13).
//!
//! `answers` judges what is answered, at the moment when it leaves; `states` judges every state
//! that is reached, by its records and by asking in a copy of it.

mod answers;
mod states;

use std::fmt;

use cvm_core::certificate::CertificateRecord;

pub(crate) use answers::{accepted, answered, refused};
pub(crate) use states::state;

/// An invariant; the text is the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// "a device has at most one certificate that is unconfirmed or current, one candidate (beside
    /// a current one only) and one retiring, whatever road they came by"
    I1,
    /// "under `same-key` and `never` no token yields certificates for two device-made keys (but for
    /// the loser of section 1); otherwise never two live unconfirmed ones"
    I2,
    /// "every certificate that left the process is in the store with who, when, why"
    I3,
    /// "a device that lost the answer gets it by asking again, with no operator, while its
    /// certificate lives (but …)"
    I4,
    /// "the working certificate is never taken away before its successor is proven, except by an
    /// operator's word"
    I5,
    /// "a burnt token issues nothing; a confirmed certificate's token is burnt (but for `approval`,
    /// `always`); bytes answered are those of a live certificate with the asked key"
    I9,
    /// "an operator's word holds at once: after `new-token`, `revoke`, `disable`, `delete` nothing
    /// that they end or burn is answered, accepted, or lives on in what was asked for with it or
    /// renewed from it"
    I10,
    /// "a live confirmed key has one device, and a compromised key none"
    I11,
    /// "nothing outlives its time: a retiring one its grace, a candidate its overlap once the
    /// current one was used after it, `never` its 10 minutes; no answer but rule 3's hands out less
    /// than 10 % of a life that was never confirmed; in the last 10 % of a life, or the overlap, no
    /// renewal is 409"
    I12,
}

/// An invariant that does not hold, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// A certificate that was answered.
pub(crate) struct Given {
    pub(crate) certificate: CertificateRecord,
    pub(crate) is_new: bool,
}
