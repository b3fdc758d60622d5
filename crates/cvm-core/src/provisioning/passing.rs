//! Refusals that belong to no registered device, in memory only: the last few thousand, so that
//! `explain` can tell them by their code. A stranger buys no write with them, and pushes out
//! nothing but what other strangers left.

use std::collections::VecDeque;

use super::{Caller, Provisioning};
use crate::attempt::{Act, Attempt, Step, StepName};
use crate::id::{AttemptCode, SerialNumber};
use crate::ports::StoreError;

/// How many are kept; a few hundred bytes each.
const KEPT_MAX: usize = 4_096;

/// The last refusals that belong to no registered device, oldest first.
#[derive(Debug, Default)]
pub(super) struct Passing(VecDeque<Attempt>);

impl Passing {
    pub(super) fn push(&mut self, attempt: Attempt) {
        if self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(attempt);
    }
}

impl Provisioning {
    /// Takes note of a request that was refused before any use case, as what it was told.
    ///
    /// `told` is the refusal's wording: nothing of what was sent.
    pub fn refusal_note(&self, act: Act, caller: &Caller, slug: &str, told: &str) {
        let evidence = told.to_owned();
        self.passing.lock().push(Attempt {
            code: caller.attempt,
            at: self.ports.clock.read().now,
            serial_number: SerialNumber::nobody(),
            address: caller.address.clone(),
            act,
            outcome: slug.to_owned(),
            reason: String::new(),
            steps: vec![Step { name: StepName::Request, passed: false, evidence }],
        });
    }

    /// The request called `code`, if it is still known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt_show(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        let stored = self.ports.attempts.attempt_by_code(code).await?;
        let passing = || self.passing.lock().0.iter().rfind(|it| it.code == code).cloned();
        Ok(stored.or_else(passing))
    }

    /// The requests of a device that are still known, newest first; also of one that nobody
    /// registered.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts_show(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        let stored = self.ports.attempts.attempts_of(serial).await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        let passing = self.passing.lock();
        let of_it = passing.0.iter().rev().filter(|attempt| attempt.serial_number == *serial);
        Ok(of_it.take(crate::attempt::ATTEMPTS_PER_DEVICE as usize).cloned().collect())
    }
}
