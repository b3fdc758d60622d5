//! Vending: a device shows serial number and token and gets its certificate.
//!
//! The order of the checks is the protocol's section 2, and is what makes every kind of no look
//! and cost the same from outside. See docs/ISSUANCE.md for the steps and why in this order.

mod answer;
mod key;
mod question;
mod settled;

use std::sync::Arc;

use self::key::Vending;
use self::settled::Settled;
use super::follow_up::{Formers, Stranger};
use super::platform::{Touch, not_carried_out};
use super::{Caller, DECISIONS_MAX, FollowUp, Provisioning, Refusal, Taken, Trace};
use crate::attempt::{Act, StepName};
use crate::certificate::CertificateRecord;
use crate::decision::{self, Admission, Asked, Decision, Denial};
use crate::device::{Basis, Device, TokenState};
use crate::id::{CertificateId, SerialNumber};
use crate::journal::EventKind;
use crate::key::{KeyAlgorithm, PrivateKey};
use crate::ports::{CarryOutError, Chain, ClockReading, IssueOrder, Issued};
use crate::profile::Profile;
use crate::time::Timestamp;
use crate::token::{Token, slot_of};

/// What a device sends.
#[derive(Debug)]
pub struct VendRequest {
    /// As it was sent, whatever it is.
    pub serial_number: String,
    /// As it was sent, whatever it is.
    pub token: Token,
    /// Whose key is to be certified.
    pub ask: Ask,
}

/// Whose key is to be certified.
#[derive(Debug)]
pub enum Ask {
    /// The device's, by this certificate request in PEM.
    Csr(String),
    /// One that the server makes.
    ServerKey(KeyAlgorithm),
}

/// What a device gets.
#[derive(Debug)]
pub struct Vended {
    /// The certificate.
    pub certificate: CertificateRecord,
    /// What goes with it.
    pub chain: Arc<Chain>,
    /// The private key, if it was made here.
    pub private_key: Option<PrivateKey>,
    /// When the device should renew it.
    pub renew_after: Timestamp,
    /// Whether it was issued now, or answered again.
    pub is_new: bool,
}

/// How one decision ended: with an answer, or because the record moved.
enum Outcome {
    Answered(Box<Vended>),
    Moved,
}

impl Provisioning {
    /// Vends: authenticates, checks, decides, carries out.
    ///
    /// The follow-up must run after the answer has left.
    pub async fn vend(
        &self,
        request: VendRequest,
        caller: &Caller,
    ) -> (Result<Vended, Refusal>, FollowUp) {
        let reading = self.ports.clock.read();
        let mut vending = self.begin(&request, reading);
        let mut trace = Trace::new(Act::Vend, caller, reading.now);
        let mut after = FollowUp::default();
        let mac = self.ports.secrets.token_mac(&request.serial_number, &request.token);
        for _ in 0..DECISIONS_MAX {
            trace.restart();
            let read = self.ports.store.device_find(&vending.serial).await;
            let device = match read {
                Ok(device) => device,
                Err(error) => return (Err(Refusal::unavailable(&error)), FollowUp::default()),
            };
            let tokens = device.iter().flat_map(|device| &device.tokens);
            let slot = slot_of(&mac, tokens.map(|token| &token.mac), &*self.ports.entropy);
            let Some(device) = device else {
                let denial = Refusal::AccessDenied(Denial::UnknownSerialNumber);
                trace.refused(StepName::SerialNumber, "nobody registered it");
                let after = trace.unknown(vending.serial, &denial);
                return (Err(denial), after);
            };
            let decided = self.vend_once(&mut vending, device, slot, &mut trace, &mut after).await;
            match decided {
                Ok(Outcome::Moved) => {}
                Ok(Outcome::Answered(vended)) => {
                    let outcome = if vended.is_new { "issued" } else { "answered-again" };
                    // What changed something is in the journal already, in its own commit.
                    if !vended.is_new && vended.private_key.is_none() {
                        after.events.push(trace.decision(&vending.serial, outcome));
                    }
                    let noted = trace.follow_up(vending.serial, outcome, "");
                    return (Ok(*vended), FollowUp { attempt: noted.attempt, ..after });
                }
                Err(refusal) => {
                    trace.end(&refusal);
                    if vending.has_spent && after.events.is_empty() && refusal.is_decision() {
                        after.events.push(trace.decision(&vending.serial, refusal.slug()));
                    }
                    let noted = trace.follow_up(vending.serial, refusal.slug(), refusal.reason());
                    return (Err(refusal), FollowUp { attempt: noted.attempt, ..after });
                }
            }
        }
        let (refusal, after) = trace.contended(Some(vending.serial));
        (Err(refusal), after)
    }

    /// What every decision of a request needs, its CSR read with the errors held back.
    fn begin<'a>(&self, request: &'a VendRequest, reading: ClockReading) -> Vending<'a> {
        let (csr, algorithm) = match &request.ask {
            Ask::Csr(pem) => (Some(self.ports.issuer.csr_parse(pem)), KeyAlgorithm::default()),
            Ask::ServerKey(algorithm) => (None, *algorithm),
        };
        Vending {
            serial: request.serial_number.parse().unwrap_or_else(|_| SerialNumber::nobody()),
            token: &request.token,
            csr,
            algorithm,
            reading,
            key: None,
            has_spent: false,
            has_completed: false,
        }
    }

    /// One decision on the record as it was read.
    async fn vend_once(
        &self,
        vending: &mut Vending<'_>,
        mut device: Device,
        slot: Option<usize>,
        trace: &mut Trace<'_>,
        after: &mut FollowUp,
    ) -> Result<Outcome, Refusal> {
        let now = vending.reading.now;
        let moved = device.settle(now);
        trace.passed(StepName::SerialNumber, format!("registered {}", device.created_at));
        let profile = self.profiles.find_or_default(&device.profile);
        let (admission, slot) = admit(&device, slot, profile, trace)?;
        match admission {
            Admission::Burnt => {
                let decide =
                    |asked: Asked<'_>| decision::decide(&device, slot, asked, profile, now);
                self.check_burnt(vending, decide, profile, trace, after)?;
            }
            Admission::Open => {
                self.spend_once(vending, trace)?;
                self.check_key(vending, &device, profile, trace)?;
            }
        }
        let mut settled = Settled { device, moved, slot, profile, held: None };
        let Some(decision) = self.decide(vending, &mut settled).await? else {
            return Ok(Outcome::Moved);
        };
        self.carry_out(decision, vending, settled, trace, after).await
    }

    async fn carry_out(
        &self,
        decision: Decision,
        vending: &mut Vending<'_>,
        settled: Settled<'_>,
        trace: &mut Trace<'_>,
        after: &mut FollowUp,
    ) -> Result<Outcome, Refusal> {
        let touch = match &decision {
            Decision::Issue | Decision::IssueToAnother => Some(Touch::Replaces),
            Decision::Answer(id) | Decision::ReplayKey(id) => Some(Touch::Answers(*id)),
            Decision::AnotherKey(_)
            | Decision::Deny
            | Decision::Pending(_)
            | Decision::Review
            | Decision::TooLate => None,
        };
        let now = vending.reading.now;
        if let Some(touch) = touch
            && !self.is_clear(&settled.device, touch, now, trace).await?
        {
            vending.has_completed = true;
            return Ok(Outcome::Moved);
        }
        match decision {
            Decision::Issue => self.issue(vending, settled, trace).await,
            Decision::IssueToAnother => {
                let evidence = settled.another_key(vending);
                let outcome = self.issue(vending, settled, trace).await?;
                if matches!(outcome, Outcome::Answered(_)) {
                    let kind = EventKind::AnotherKeyIssued;
                    after.events.push(trace.alarm(kind, &vending.serial, evidence));
                }
                Ok(outcome)
            }
            Decision::Answer(id) => {
                trace.passed(StepName::Decision, "the same key: the same certificate");
                self.answer(&id, settled, vending)
            }
            Decision::ReplayKey(id) => self.replay(vending, settled, &id, trace).await,
            Decision::Pending(review) => {
                Err(self.pending(review.id, settled.another_key(vending), vending, trace, after))
            }
            Decision::Review => self.review(vending, settled, trace, after).await,
            Decision::AnotherKey(conflict) => {
                let evidence = settled.another_key(vending);
                trace.refused(StepName::Decision, evidence.clone());
                let kind = EventKind::AnotherKeyRefused;
                after.events.push(trace.alarm(kind, &vending.serial, evidence));
                Err(Refusal::AlreadyIssued(conflict.into()))
            }
            Decision::TooLate => {
                trace.refused(StepName::Decision, "the ten minutes for asking again are over");
                Err(Refusal::AlreadyIssued(Taken::TooLate))
            }
            Decision::Deny => {
                trace.refused(StepName::Decision, "the record moved: the token is burnt");
                Err(Refusal::AccessDenied(Denial::TokenBurntByConfirmation))
            }
        }
    }

    /// Decides; where the token is bound to a key, looks first at what it obtained and whether
    /// another device has proven that key, which takes it from this one. `None` where the record
    /// moved meanwhile.
    async fn decide(
        &self,
        vending: &Vending<'_>,
        settled: &mut Settled<'_>,
    ) -> Result<Option<Decision>, Refusal> {
        if let Some(obtained) = settled.obtained()
            && !self.look_at(&obtained, settled).await?
        {
            return Ok(None);
        }
        let now = vending.reading.now;
        let decide = |settled: &Settled<'_>| {
            let Settled { device, slot, profile, .. } = settled;
            decision::decide(device, *slot, vending.asked(), profile, now)
        };
        let decision = decide(settled);
        // What is about to be answered may be another certificate, by renewal.
        if let Decision::Answer(id) | Decision::ReplayKey(id) = &decision
            && !id.is_provisional()
            && settled.held.as_ref().is_none_or(|held| held.id != *id)
        {
            return match self.look_at(id, settled).await? {
                true => Ok(Some(decide(settled))),
                false => Ok(None),
            };
        }
        Ok(Some(decision))
    }

    /// Takes note of the certificate called `id`, which is lost where another device has proven
    /// its key; `false` where the record moved meanwhile.
    async fn look_at(
        &self,
        id: &CertificateId,
        settled: &mut Settled<'_>,
    ) -> Result<bool, Refusal> {
        if id.is_provisional() {
            return self.look_at_bound(settled).await;
        }
        let held = self.ports.store.holding_find(id).await;
        let held = held.map_err(|error| Refusal::unavailable(&error))?;
        let Some(held) = held.filter(|it| it.device.version == settled.device.version) else {
            return Ok(false);
        };
        if held.is_key_lost() {
            settled.moved.extend(settled.device.lose_key(&held.certificate.key));
        }
        settled.held = Some(held.certificate);
        Ok(true)
    }

    /// The same of what the platform has not named yet: it has a key, and no row.
    async fn look_at_bound(&self, settled: &mut Settled<'_>) -> Result<bool, Refusal> {
        if let Some(key) = settled.bound() {
            let owner = self.ports.store.key_owner(&key).await;
            let owner = owner.map_err(|error| Refusal::unavailable(&error))?;
            if owner.is_some_and(|owner| !owner.is(&settled.device.serial_number)) {
                settled.moved.extend(settled.device.lose_key(&key));
            }
        }
        Ok(true)
    }

    fn spend_once(&self, vending: &mut Vending<'_>, trace: &mut Trace<'_>) -> Result<(), Refusal> {
        if std::mem::replace(&mut vending.has_spent, true) {
            return Ok(());
        }
        self.spend(&vending.serial, vending.reading.now).inspect_err(|refusal| {
            trace.refused(StepName::Limit, refusal.to_string());
        })
    }

    /// Issues: only here is anything signed.
    async fn issue(
        &self,
        vending: &mut Vending<'_>,
        settled: Settled<'_>,
        trace: &mut Trace<'_>,
    ) -> Result<Outcome, Refusal> {
        trace.passed(StepName::Decision, "issue");
        self.require_trusted_clock(vending.reading).inspect_err(|_| {
            trace.refused(StepName::Clock, "the server's clock is not to be trusted");
        })?;
        let Settled { device, moved, slot, profile, .. } = settled;
        let made = self.key_of(vending).await?;
        if self.ports.issuer.owns_key(&made.identity) {
            trace.refused(StepName::Record, "the key is one of the server's own");
            return Err(Refusal::KeyNotAcceptable);
        }
        let order = IssueOrder {
            server_made: self.seal(vending, &device, profile),
            device,
            moved,
            confirmed: None,
            basis: Basis::Token(slot),
            key: &made,
            request: vending.request()?,
            profile,
            at: vending.reading.now,
            attempt: trace.caller.attempt,
            actor: trace.caller.actor(),
        };
        match self.ports.platform.certificate_issue(order).await {
            Ok(Issued { record, life_ends }) => {
                trace.passed(StepName::Record, format!("certificate {}", record.id));
                let private_key = vending.take_private_key();
                self.vended(record, life_ends, private_key, true).map(Outcome::from)
            }
            Err(CarryOutError::Conflict) => Ok(Outcome::Moved),
            Err(CarryOutError::KeyOwned) => {
                trace.refused(StepName::Record, "another device has proven this key");
                Err(Refusal::KeyNotAcceptable)
            }
            Err(error) => Err(not_carried_out(&error, trace)),
        }
    }
}

fn admit(
    device: &Device,
    slot: Option<usize>,
    profile: &Profile,
    trace: &mut Trace<'_>,
) -> Result<(Admission, usize), Refusal> {
    let token = slot.and_then(|slot| device.tokens.get(slot));
    match (decision::admit(device, slot, profile), slot) {
        (Ok(admission), Some(slot)) => {
            trace.passed(StepName::Token, token.map_or("", |token| token.state.as_str()));
            Ok((admission, slot))
        }
        (Err(denial @ (Denial::DeviceDeleted | Denial::DeviceDisabled)), _) => {
            trace.passed(StepName::Token, "known");
            trace.refused(StepName::Device, denial.as_str());
            Err(Refusal::AccessDenied(denial))
        }
        (Err(denial), _) => {
            let evidence = match token.map(|token| &token.state) {
                Some(TokenState::BurntByOperator(burning)) => burning.to_string(),
                _ => denial.as_str().to_owned(),
            };
            trace.refused(StepName::Token, evidence);
            Err(Refusal::AccessDenied(denial))
        }
        (Ok(_), None) => Err(Refusal::AccessDenied(Denial::WrongToken)),
    }
}
