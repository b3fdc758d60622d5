//! Questions for a human: a valid token with another key, where the profile says `approval`.

use super::key::Vending;
use super::{FollowUp, Outcome, Provisioning, Refusal, Settled, Trace};
use crate::attempt::StepName;
use crate::device::{Review, ReviewState};
use crate::id::AttemptCode;
use crate::journal::{Event, EventClass, EventKind};

impl Provisioning {
    /// Puts the question, durably, before it is answered that somebody has to decide.
    pub(super) async fn review(
        &self,
        vending: &Vending<'_>,
        mut settled: Settled<'_>,
        trace: &mut Trace<'_>,
        after: &mut FollowUp,
    ) -> Result<Outcome, Refusal> {
        // Nobody is asked about a key that could not be certified whatever they say.
        if let Some(key) = vending.key_identity() {
            let owner = self.ports.store.key_owner(&key).await;
            let owner = owner.map_err(|error| Refusal::unavailable(&error))?;
            let is_anothers = owner.is_some_and(|owner| !owner.is(&vending.serial));
            if is_anothers || self.ports.issuer.owns_key(&key) {
                trace.refused(StepName::Record, "the key is another's or compromised");
                return Err(Refusal::KeyNotAcceptable);
            }
        }
        let evidence = settled.another_key(vending);
        let id = trace.caller.attempt;
        settled.device.review = Some(Review {
            id,
            token: settled.token().map_or(0, |token| token.generation),
            key: vending.asked().review_key(),
            bound: settled.bound(),
            address: trace.caller.address.clone(),
            opened_at: vending.reading.now,
            state: ReviewState::Waiting,
        });
        let alarm = trace.alarm(EventKind::ReviewOpened, &vending.serial, evidence.clone());
        let event = Event { class: EventClass::Change, ..alarm };
        if !self.commit(settled.device, settled.moved, event).await? {
            return Ok(Outcome::Moved);
        }
        Err(self.pending(id, evidence, vending, trace, after))
    }

    /// The refusal while a human has to say, with its alarm.
    pub(super) fn pending(
        &self,
        review: AttemptCode,
        evidence: String,
        vending: &Vending<'_>,
        trace: &mut Trace<'_>,
        after: &mut FollowUp,
    ) -> Refusal {
        trace.refused(StepName::Decision, format!("{evidence}; review {review} waits"));
        let kind = EventKind::AnotherKeyPending;
        after.events.push(trace.alarm(kind, &vending.serial, evidence));
        Refusal::PendingApproval { review }
    }
}
