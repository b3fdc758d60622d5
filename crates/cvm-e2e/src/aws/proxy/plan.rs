//! What came, and which calls are to fail how.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use parking_lot::{Condvar, Mutex};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not sent: the connection closes.
    NotSent,
    /// It takes effect, and its answer is lost: the connection closes.
    AnswerLost,
    /// It is not sent, and nothing comes back.
    NeverAnswered,
    /// It takes effect, and nothing comes back.
    AnswerNeverComes,
    /// It is not sent: there are too many.
    Throttled,
    /// It is not sent: the service is out of order.
    ServerError,
    /// It takes effect, and the answer says that the service is out of order.
    ErrorAfterEffect,
    /// It is sent twice, and the second answer is the one that comes.
    Twice,
    /// It is held until [`super::FaultProxy::heal`], and then sent.
    Frozen,
}

impl Fault {
    /// Every way to fail that ends by itself.
    pub const ALL: [Self; 8] = [
        Self::NotSent,
        Self::AnswerLost,
        Self::NeverAnswered,
        Self::AnswerNeverComes,
        Self::Throttled,
        Self::ServerError,
        Self::ErrorAfterEffect,
        Self::Twice,
    ];
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// This one call; a retry succeeds.
    Once,
    /// This call and all after it (of the operation, if one is named), until `heal`.
    Onwards,
}

#[derive(Debug)]
struct Rule {
    operation: Option<String>,
    number: usize,
    fault: Fault,
    lasting: Lasting,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<String>,
    counts: BTreeMap<String, usize>,
    rules: Vec<Rule>,
    struck: usize,
    frozen: usize,
    /// Moves with every `heal`: what waits since before goes on.
    generation: u64,
    stopped: bool,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    state: Mutex<State>,
    moved: Condvar,
}

impl Plan {
    pub(super) fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    pub(super) fn struck(&self) -> usize {
        self.state.lock().struck
    }

    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        state.calls.clear();
        state.counts.clear();
        state.struck = 0;
        drop(state);
        self.heal();
    }

    pub(super) fn fail(
        &self,
        operation: Option<&str>,
        number: usize,
        fault: Fault,
        lasting: Lasting,
    ) {
        let operation = operation.map(str::to_owned);
        self.state.lock().rules.push(Rule { operation, number, fault, lasting });
    }

    pub(super) fn heal(&self) {
        let mut state = self.state.lock();
        state.rules.clear();
        state.generation += 1;
        self.moved.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.heal();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Notes a call, and says what is to become of it.
    pub(super) fn note(&self, operation: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        let overall = state.calls.len();
        state.calls.push(operation.to_owned());
        let count = state.counts.entry(operation.to_owned()).or_default();
        let of_operation = *count;
        *count += 1;
        let rule = state.rules.iter().find(|rule| {
            let number = match &rule.operation {
                None => overall,
                Some(named) if named == operation => of_operation,
                Some(_) => return false,
            };
            match rule.lasting {
                Lasting::Once => number == rule.number,
                Lasting::Onwards => number >= rule.number,
            }
        });
        let fault = rule.map(|rule| rule.fault);
        state.struck += usize::from(fault.is_some());
        fault
    }

    /// Waits for the next `heal`.
    pub(super) fn wait_healed(&self) {
        let mut state = self.state.lock();
        let since = state.generation;
        while state.generation == since && !state.stopped {
            self.moved.wait(&mut state);
        }
    }

    /// The same, told to who waits for it.
    pub(super) fn freeze(&self) {
        self.state.lock().frozen += 1;
        self.moved.notify_all();
        self.wait_healed();
        self.state.lock().frozen -= 1;
    }

    pub(super) fn wait_frozen(&self, bound: Duration) -> Result<()> {
        let deadline = Instant::now() + bound;
        let mut state = self.state.lock();
        while state.frozen == 0 {
            let timed_out = self.moved.wait_until(&mut state, deadline).timed_out();
            ensure!(!timed_out, "no call was frozen within {} s", bound.as_secs());
        }
        Ok(())
    }
}
