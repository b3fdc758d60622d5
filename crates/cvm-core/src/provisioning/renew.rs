//! Renewal: a device shows a certificate that works and gets another beside it, before the first
//! is taken away (protocol, section 7).

use super::confirm::{settle_holding, usable};
use super::platform::{Touch, not_carried_out};
use super::{Caller, DECISIONS_MAX, FollowUp, Provisioning, Refusal, Shown, Trace, Vended};
use crate::attempt::{Act, StepName};
use crate::certificate::{CertificateRecord, CertificateState};
use crate::decision::{Renewal, decide_renewal, may_renew_expired};
use crate::device::{Basis, Device, Moved};
use crate::id::{CertificateId, KeyIdentity, SerialNumber};
use crate::journal::{Event, EventKind};
use crate::key::PublicKey;
use crate::ports::{CarryOutError, ClockReading, Holding, IssueOrder, Issued, KeyRequest};
use crate::profile::Profile;

/// A request with what is computed once for all its decisions.
struct Renewing<'a> {
    csr: Option<&'a str>,
    reading: ClockReading,
    key: Option<PublicKey>,
    request: Vec<u8>,
    has_spent: bool,
}

/// How one decision ended.
enum Outcome {
    /// With an answer; and with the key that the request proved by the certificate's first use.
    Answered(Box<Vended>, Option<KeyIdentity>),
    /// The record moved meanwhile.
    Moved,
}

/// What a decision is made on: the record, settled, with the use of the certificate noted.
struct Used<'a> {
    certificate: CertificateRecord,
    device: Device,
    moved: Vec<Moved>,
    confirmed: Option<(CertificateId, KeyIdentity)>,
    profile: &'a Profile,
}

impl Provisioning {
    /// Renews the certificate that the caller proves possession of, for the key of `csr` (PEM). A success is that certificate's first use, where it had none.
    ///
    /// The follow-up must run after the answer has left.
    pub async fn renew(
        &self,
        shown: impl Into<Shown<'_>>,
        csr: Option<&str>,
        caller: &Caller,
    ) -> (Result<Vended, Refusal>, FollowUp) {
        let reading = self.ports.clock.read();
        let mut trace = Trace::new(Act::Renew, caller, reading.now);
        let mut possession = match self.possession_of(shown.into(), reading.now) {
            Ok(possession) => possession,
            Err(refusal) => return (Err(refusal), FollowUp::default()),
        };
        let id = possession.id;
        let mut renewing =
            Renewing { csr, reading, key: None, request: Vec::new(), has_spent: false };
        let mut device = None;
        for _ in 0..DECISIONS_MAX {
            let holding = match self.holding_of(&mut possession, &mut trace).await {
                Ok(holding) => holding,
                Err((refusal, after)) => return (Err(refusal), after),
            };
            let serial = holding.device.serial_number.clone();
            device = Some(serial.clone());
            match self.renew_once(&mut renewing, holding, &mut trace).await {
                Ok(Outcome::Moved) => {}
                Ok(Outcome::Answered(vended, proven)) => {
                    return (Ok(*vended), answered(trace, serial, proven));
                }
                Err(refusal) => {
                    trace.end(&refusal);
                    let mut after = trace.certificate_refused(&id, serial.clone(), &refusal);
                    if renewing.has_spent && refusal.is_decision() {
                        after.events.push(trace.decision(&serial, refusal.slug()));
                    }
                    return (Err(refusal), after);
                }
            }
        }
        let (refusal, after) = trace.contended(device);
        (Err(refusal), after)
    }

    /// One decision on the holding as it was read.
    async fn renew_once(
        &self,
        renewing: &mut Renewing<'_>,
        holding: Holding,
        trace: &mut Trace<'_>,
    ) -> Result<Outcome, Refusal> {
        let certificate = holding.certificate.clone();
        let (state, mut device, mut moved) = settle_holding(holding, trace.at);
        let profile = self.profiles.find_or_default(&device.profile);
        let id = certificate.id;
        self.require_renewable(state, &device, &id, profile, trace)?;
        self.check_renewal(renewing, &device, trace)?;
        let Some(key) = &renewing.key else { return Err(Refusal::CsrRequired) };
        let confirmed = self.take_note_of_use(&mut device, &id, trace.at, &mut moved).await?;
        let confirmed = confirmed.map(|key| (id, key));
        let used = Used { certificate, device, moved, confirmed, profile };
        let decision = decide_renewal(&used.device, &key.identity, profile, trace.at);
        let touch = match &decision {
            Renewal::Issue => Some(Touch::Replaces),
            Renewal::Answer(candidate) => Some(Touch::Answers(*candidate)),
            Renewal::TokenPending(_) => None,
        };
        if let Some(touch) = touch
            && !self.is_clear(&used.device, touch, trace.at, trace).await?
        {
            return Ok(Outcome::Moved);
        }
        match decision {
            Renewal::Issue => self.issue_renewal(renewing, key, used, trace).await,
            Renewal::TokenPending(pending) => {
                let evidence = format!("certificate {pending}, asked for with a token, waits");
                trace.refused(StepName::Decision, evidence);
                Err(Refusal::TokenPending)
            }
            Renewal::Answer(candidate) => self.answer_renewal(&candidate, used, key, trace).await,
        }
    }

    /// Whether the certificate may renew.
    fn require_renewable(
        &self,
        state: CertificateState,
        device: &Device,
        id: &CertificateId,
        profile: &Profile,
        trace: &mut Trace<'_>,
    ) -> Result<(), Refusal> {
        let refusal = match usable(state, device.disabled, Act::Renew) {
            Err(Refusal::CertificateExpired)
                if may_renew_expired(device, id, profile, trace.at) =>
            {
                Ok(())
            }
            usable => usable,
        };
        if let Err(refusal) = refusal {
            trace.refused(StepName::Certificate, format!("{state} {id}"));
            return Err(refusal);
        }
        trace.passed(StepName::Certificate, format!("{state} {id}"));
        Ok(())
    }

    /// The device's budget, the CSR, its signature and its key's strength, once.
    fn check_renewal(
        &self,
        renewing: &mut Renewing<'_>,
        device: &Device,
        trace: &mut Trace<'_>,
    ) -> Result<(), Refusal> {
        if !std::mem::replace(&mut renewing.has_spent, true) {
            self.spend(&device.serial_number, renewing.reading.now).inspect_err(|refusal| {
                trace.refused(StepName::Limit, refusal.to_string());
            })?;
        }
        if renewing.key.is_none() {
            let Some(pem) = renewing.csr else {
                trace.refused(StepName::Csr, "none came: renewal takes a CSR only");
                return Err(Refusal::CsrRequired);
            };
            let issuer = &self.ports.issuer;
            let checked = issuer.csr_parse(pem).and_then(|csr| {
                let checked = issuer.csr_check(&csr)?;
                self.ports.platform.request_judge(&checked, &device.thing_name)?;
                renewing.request = csr.der;
                Ok(checked)
            });
            let checked = checked.inspect_err(|error| {
                trace.refused(StepName::Csr, error.to_string());
            })?;
            renewing.key = Some(checked.key);
        }
        let identity = renewing.key.as_ref().map(|key| key.identity);
        let evidence = identity.map_or_else(String::new, |key| format!("key {key}"));
        if identity.is_some_and(|key| self.ports.issuer.owns_key(&key)) {
            trace.refused(StepName::Csr, "the key is one of the server's own");
            return Err(Refusal::KeyNotAcceptable);
        }
        trace.passed(StepName::Csr, evidence);
        Ok(())
    }

    /// Answers the candidate that waits again, unless another device has proven its key meanwhile.
    async fn answer_renewal(
        &self,
        candidate: &CertificateId,
        used: Used<'_>,
        key: &PublicKey,
        trace: &mut Trace<'_>,
    ) -> Result<Outcome, Refusal> {
        let held = self.ports.store.holding_find(candidate).await;
        let held = held.map_err(|error| Refusal::unavailable(&error))?;
        let Some(held) = held.filter(|it| it.device.version == used.device.version) else {
            return Ok(Outcome::Moved);
        };
        if held.is_key_lost() {
            trace.refused(StepName::Record, format!("another device has proven {}", key.identity));
            return Err(Refusal::KeyNotAcceptable);
        }
        trace.passed(StepName::Decision, "the same key: the same candidate");
        let life_ends = used.device.live_by_id(candidate).and_then(|live| live.life_ends);
        let vended = self.vended(held.certificate, life_ends, None, false)?;
        Ok(Outcome::Answered(Box::new(vended), None))
    }

    async fn issue_renewal(
        &self,
        renewing: &Renewing<'_>,
        key: &PublicKey,
        used: Used<'_>,
        trace: &mut Trace<'_>,
    ) -> Result<Outcome, Refusal> {
        trace.passed(StepName::Decision, "issue");
        self.require_trusted_clock(renewing.reading).inspect_err(|_| {
            trace.refused(StepName::Clock, "the server's clock is not to be trusted");
        })?;
        let Used { certificate, device, moved, confirmed, profile } = used;
        let order = IssueOrder {
            device,
            moved,
            confirmed,
            basis: Basis::Renewal(certificate.token),
            key,
            request: KeyRequest::Device(&renewing.request),
            server_made: None,
            profile,
            at: renewing.reading.now,
            attempt: trace.caller.attempt,
            actor: trace.caller.actor(),
        };
        match self.ports.platform.certificate_issue(order).await {
            Ok(Issued { record, life_ends }) => {
                trace.passed(StepName::Record, format!("certificate {}", record.id));
                let vended = self.vended(record, life_ends, None, true)?;
                Ok(Outcome::Answered(Box::new(vended), confirmed.map(|(_, key)| key)))
            }
            Err(CarryOutError::Conflict) => Ok(Outcome::Moved),
            Err(CarryOutError::KeyOwned) => {
                // Whose: the new key, or the one that this request would have proven first.
                let owner = self.ports.store.key_owner(&key.identity).await;
                let owner = owner.map_err(|error| Refusal::unavailable(&error))?;
                if confirmed.is_some()
                    && owner.is_none_or(|owner| owner.is(&certificate.serial_number))
                {
                    return Ok(Outcome::Moved);
                }
                trace.refused(StepName::Record, "the key is another device's or compromised");
                Err(Refusal::KeyNotAcceptable)
            }
            Err(error) => Err(not_carried_out(&error, trace)),
        }
    }
}

fn answered(trace: Trace<'_>, serial: SerialNumber, proven: Option<KeyIdentity>) -> FollowUp {
    let is_new = trace.steps.iter().any(|step| step.name == StepName::Record);
    let outcome = if is_new { "issued" } else { "answered-again" };
    let decision = (!is_new).then(|| trace.decision(&serial, outcome));
    let mut after = trace.follow_up(serial.clone(), outcome, "");
    after.events.extend(decision);
    after.proven = proven.map(|key| (key, serial));
    after
}

impl Trace<'_> {
    /// What follows from a refusal on a route that needs a certificate: an alarm where a revoked
    /// one was used.
    pub(super) fn certificate_refused(
        &self,
        id: &CertificateId,
        serial: SerialNumber,
        refusal: &Refusal,
    ) -> FollowUp {
        let kind = EventKind::RevokedCertificateUsed;
        let alarm = (*refusal == Refusal::CertificateRevoked)
            .then(|| Event { certificate: Some(*id), ..self.alarm(kind, &serial, String::new()) });
        let mut after = self.noted(serial, refusal.slug(), refusal.reason());
        after.events.extend(alarm);
        after
    }
}
