//! What is counted of exchanges, by each worker for itself and then together.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// An operator makes the device known.
    Register,
    /// The first certificate.
    Vend,
    /// Its first use.
    Confirm,
    /// The next certificate.
    Renew,
    /// The first use of that.
    Prove,
}

impl Act {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Vend => "vend",
            Self::Confirm => "confirm",
            Self::Renew => "renew",
            Self::Prove => "prove",
        }
    }
}

/// What is counted of one act.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// From connect to answer, in microseconds, of each exchange that was answered.
    pub(crate) micros: Vec<u32>,
    /// How often each status was answered.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How often an answer was lost on purpose, by how.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    /// How often there was no answer and nobody meant it.
    pub(crate) broken: u64,
    /// Why, the last time.
    pub(crate) broken_by: Option<String>,
}

/// What one worker counted, or all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acts: BTreeMap<Act, Counted>,
    /// How many certificates the server has of our devices.
    pub(crate) stored: usize,
    /// Protocol and key exchange of the first connection.
    pub(crate) agreed: Option<(String, String)>,
}

impl Tally {
    pub(crate) fn answered(&mut self, act: Act, status: u16, took: Duration) {
        let counted = self.acts.entry(act).or_default();
        counted.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        *counted.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn lost(&mut self, act: Act, how: &'static str) {
        *self.acts.entry(act).or_default().lost.entry(how).or_default() += 1;
    }

    pub(crate) fn broken(&mut self, act: Act, why: String) {
        let counted = self.acts.entry(act).or_default();
        counted.broken += 1;
        counted.broken_by = Some(why);
    }

    /// Takes over what another one counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.agreed = self.agreed.take().or(other.agreed);
        self.stored += other.stored;
        for (act, counted) in other.acts {
            let mine = self.acts.entry(act).or_default();
            mine.micros.extend(counted.micros);
            mine.broken += counted.broken;
            mine.broken_by = counted.broken_by.or_else(|| mine.broken_by.take());
            for (status, count) in counted.statuses {
                *mine.statuses.entry(status).or_default() += count;
            }
            for (how, count) in counted.lost {
                *mine.lost.entry(how).or_default() += count;
            }
        }
    }
}
