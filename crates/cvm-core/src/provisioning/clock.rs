//! The server's clock, for operators: what it says, why it is not believed, and to believe it
//! (protocol, section 11).

use super::Provisioning;
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::ports::{ClockDoubt, ClockStatus, StoreError};
use crate::time::Timestamp;

/// The clock as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockShown {
    /// What it says, by what everything is judged, and why it is doubted, be it by itself or
    /// because the CA that signs begins later.
    pub status: ClockStatus,
    /// The latest time on record.
    pub mark: Option<Timestamp>,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAccepted {
    /// The latest time on record from now on.
    pub now: Timestamp,
    /// What it was before.
    pub mark_before: Option<Timestamp>,
}

impl Provisioning {
    /// What the clock says, and whether it may be issued by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clock_show(&self) -> Result<ClockShown, StoreError> {
        let mark = self.ports.store.mark_find().await?;
        let status = self.ports.clock.status();
        let begins = self.ports.issuer.not_before();
        let before_issuer = (status.now < begins).then_some(ClockDoubt::BeforeIssuer);
        let status = ClockStatus { doubt: status.doubt.or(before_issuer), ..status };
        Ok(ClockShown { status, mark })
    }

    /// Makes what the system's clock says the latest time on record, forward or back, and believes
    /// it from then on. The record is durable before the clock is believed.
    ///
    /// # Errors
    /// [`StoreError`]: the clock is held against what it was held against before.
    pub async fn clock_accept(&self, actor: Actor) -> Result<ClockAccepted, StoreError> {
        let store = &self.ports.store;
        let mark_before = store.mark_find().await?;
        let now = self.ports.clock.status().system;
        store.mark_set(now, accept_event(mark_before, now, actor)).await?;
        self.ports.clock.accept(now);
        Ok(ClockAccepted { now, mark_before })
    }
}

/// The journal row of a clock that is accepted.
#[must_use]
pub fn accept_event(mark_before: Option<Timestamp>, now: Timestamp, actor: Actor) -> Event {
    let before = mark_before.map_or_else(|| String::from("none"), |mark| mark.to_string());
    Event {
        at: now,
        class: EventClass::Change,
        kind: EventKind::ClockAccepted,
        serial_number: None,
        certificate: None,
        attempt: None,
        actor,
        detail: format!("the latest time on record was {before} and is {now}"),
    }
}
