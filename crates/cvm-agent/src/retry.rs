//! Trying again: a bounded number of times, never sooner than the server asked for, and not all
//! devices of a fleet at once.

use std::time::Duration;

use aws_lc_rs::rand;

use crate::clock::FlooredClock;
use crate::error::Error;
use crate::report::Reporter;

/// How often a request is sent again before it is left to the caller, unless the caller says.
pub(crate) const RETRIES: u32 = 5;
/// The first wait when the server names none; each further one is twice as long.
const FIRST_MILLISECONDS: u64 = 1000;
/// The longest wait of our own.
const OWN_SECONDS_MAX: u64 = 60;
/// Who asks for more than this is not waited for: the caller may come back.
const ASKED_SECONDS_MAX: u64 = 300;

/// A number of tries that several requests share.
pub(crate) struct Retries<'r> {
    made: u32,
    allowed: u32,
    clock: &'r FlooredClock,
    reporter: &'r dyn Reporter,
}

impl<'r> Retries<'r> {
    pub(crate) fn new(allowed: u32, clock: &'r FlooredClock, reporter: &'r dyn Reporter) -> Self {
        Self { made: 0, allowed, clock, reporter }
    }

    /// Does `action` until it succeeds or there is no point in going on.
    pub(crate) fn run<T>(
        &mut self,
        mut action: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let fault = match action() {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            let Some(wait) = self.wait_after(&fault) else {
                return Err(fault);
            };
            self.made += 1;
            self.reporter.step(&format!(
                "{fault}; waiting {:.1} s (try {} of {})",
                wait.as_secs_f32(),
                self.made,
                self.allowed
            ));
            self.clock.wait(wait);
        }
    }

    fn wait_after(&self, fault: &Error) -> Option<Duration> {
        if self.made >= self.allowed || !fault.is_worth_repeating() {
            return None;
        }
        match fault.retry_after() {
            Some(asked) if asked.as_secs() > ASKED_SECONDS_MAX => None,
            asked => Some(pause(asked, self.made, Duration::from_secs(OWN_SECONDS_MAX))),
        }
    }
}

/// How long to wait after `made` tries before this one: what the server asked for, else twice as
/// long each time, up to `longest`.
pub(crate) fn pause(asked: Option<Duration>, made: u32, longest: Duration) -> Duration {
    match asked {
        // Later than asked by up to a quarter, and by a second at least.
        Some(asked) => {
            let spread = asked.as_secs().saturating_mul(250).max(1000);
            asked.saturating_add(Duration::from_millis(random_below(spread)))
        }
        None => {
            let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            let full = (FIRST_MILLISECONDS << made.min(20)).min(longest);
            Duration::from_millis(full / 2 + random_below(full / 2))
        }
    }
}

/// Spreads; decides nothing, so the slight bias of the remainder is no matter.
fn random_below(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    match rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % bound.max(1),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
