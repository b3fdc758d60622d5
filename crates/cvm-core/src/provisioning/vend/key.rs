//! The key of a request: the device's, checked once, or one that is made here, once.

use super::{FollowUp, Formers, Provisioning, Refusal, Stranger, Trace};
use crate::attempt::StepName;
use crate::decision::{Asked, Decision, Denial};
use crate::device::{Device, SealedKey};
use crate::id::{CertificateId, KeyIdentity, SerialNumber};
use crate::journal::EventKind;
use crate::key::{CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey, UncheckedCsr};
use crate::ports::{ClockReading, KeyRequest};
use crate::profile::{Profile, Reissue};
use crate::token::Token;

/// A key of this request: checked or made once, however often the decision is made afresh.
pub(super) enum Key {
    Device(CheckedCsr),
    Made { algorithm: KeyAlgorithm, private: PrivateKey, public: PublicKey },
}

/// The request with what is computed once for all its decisions.
pub(super) struct Vending<'a> {
    pub(super) serial: SerialNumber,
    pub(super) token: &'a Token,
    pub(super) csr: Option<Result<UncheckedCsr, CsrError>>,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) reading: ClockReading,
    pub(super) key: Option<Key>,
    pub(super) has_spent: bool,
    /// It finished what another request had begun.
    pub(super) has_completed: bool,
}

impl Provisioning {
    /// The CSR's errors, its signature and its key's strength, once the token is known to be right.
    pub(super) fn check_key(
        &self,
        vending: &mut Vending<'_>,
        device: &Device,
        profile: &Profile,
        trace: &mut Trace<'_>,
    ) -> Result<(), Refusal> {
        let Some(parsed) = &vending.csr else {
            if profile.server_keys {
                return Ok(());
            }
            trace.refused(StepName::Csr, "none came, and the profile has no server_keys");
            return Err(Refusal::CsrRequired);
        };
        if vending.key.is_none() {
            let checked = match parsed {
                Ok(csr) => self.ports.issuer.csr_check(csr),
                Err(error) => Err(error.clone()),
            };
            let checked = checked.and_then(|csr| {
                let judged = self.ports.platform.request_judge(&csr, &device.thing_name);
                judged.map(|()| csr)
            });
            let checked = checked.inspect_err(|error| {
                trace.refused(StepName::Csr, error.to_string());
            })?;
            vending.key = Some(Key::Device(checked));
        }
        trace.passed(StepName::Csr, vending.key_evidence());
        Ok(())
    }

    /// The same where confirmation burnt the token: every fault is the one answer for no, and the
    /// signature is verified only where the key that is named would be answered, so that this no
    /// costs what every other does.
    pub(super) fn check_burnt(
        &self,
        vending: &mut Vending<'_>,
        decide: impl Fn(Asked<'_>) -> Decision,
        profile: &Profile,
        trace: &mut Trace<'_>,
        after: &mut FollowUp,
    ) -> Result<(), Refusal> {
        let denied = Refusal::AccessDenied(Denial::TokenBurntByConfirmation);
        let kind = EventKind::BurntTokenShown;
        let Some(parsed) = &vending.csr else {
            trace.refused(StepName::Csr, "none came, and the token is burnt");
            after.events.push(trace.alarm(kind, &vending.serial, String::from("without a CSR")));
            return Err(denied);
        };
        let claimed = parsed.as_ref().ok().and_then(|csr| self.ports.issuer.csr_claims(csr));
        let Some(claimed) = claimed else {
            trace.refused(StepName::Csr, "it names no key, and the token is burnt");
            return Err(denied);
        };
        if decide(Asked::DeviceKey(&claimed)) == Decision::Deny {
            trace.refused(
                StepName::Decision,
                format!("the token is burnt, and key {claimed} is not the current one"),
            );
            let formers = match profile.reissue {
                Reissue::Never => Formers::AreStrangers,
                Reissue::Always
                | Reissue::Approval
                | Reissue::SameKey
                | Reissue::UntilConfirmed => Formers::AreKnown,
            };
            let alarm = trace.alarm(kind, &vending.serial, format!("key {claimed}"));
            let csr = parsed.as_ref().ok().cloned();
            after.stranger = csr.map(|csr| Stranger { csr, key: claimed, formers, alarm });
            return Err(denied);
        }
        // The token issues nothing any more, but its holder still makes work.
        if !std::mem::replace(&mut vending.has_spent, true) {
            let spent = self.spend_burnt(&vending.serial, vending.reading.now);
            spent.inspect_err(|refusal| trace.refused(StepName::Limit, refusal.to_string()))?;
        }
        let checked = match &vending.csr {
            Some(Ok(csr)) => self.ports.issuer.csr_check(csr),
            Some(Err(_)) | None => return Err(denied),
        };
        let checked = checked.map_err(|error| {
            trace.refused(StepName::Csr, error.to_string());
            denied
        })?;
        vending.key = Some(Key::Device(checked));
        trace.passed(StepName::Csr, vending.key_evidence());
        Ok(())
    }

    /// The key to certify: the device's, or one that is made now, once.
    pub(super) async fn key_of(&self, vending: &mut Vending<'_>) -> Result<PublicKey, Refusal> {
        if vending.key.is_none() {
            let algorithm = vending.algorithm;
            let made = self.ports.key_maker.key_make(algorithm).await;
            let (private, public) = made.map_err(|error| Refusal::unavailable(&error))?;
            vending.key = Some(Key::Made { algorithm, private, public });
        }
        vending.public_key().cloned().ok_or(Refusal::CsrRequired)
    }

    /// The made key sealed, before anything is issued with it.
    pub(super) fn seal(
        &self,
        vending: &Vending<'_>,
        device: &Device,
        profile: &Profile,
    ) -> Option<(KeyAlgorithm, SealedKey)> {
        let Some(Key::Made { algorithm, private, public }) = &vending.key else {
            return None;
        };
        let (salt, ciphertext) = self.ports.secrets.private_key_seal(
            vending.token,
            &device.serial_number,
            &public.identity,
            private,
        );
        let sealed = SealedKey {
            // The platform fills in the id once there is one.
            certificate: CertificateId([0; 32]),
            salt,
            ciphertext,
            until: vending.reading.now.plus(profile.key_replay),
            replays: 0,
        };
        Some((*algorithm, sealed))
    }
}

impl Vending<'_> {
    pub(super) fn asked(&self) -> Asked<'_> {
        match &self.key {
            Some(Key::Device(csr)) => Asked::DeviceKey(&csr.key.identity),
            Some(Key::Made { algorithm, .. }) => Asked::ServerKey(*algorithm),
            None => Asked::ServerKey(self.algorithm),
        }
    }

    pub(super) fn public_key(&self) -> Option<&PublicKey> {
        match &self.key {
            Some(Key::Device(csr)) => Some(&csr.key),
            Some(Key::Made { public, .. }) => Some(public),
            None => None,
        }
    }

    /// By what the key came.
    pub(super) fn request(&self) -> Result<KeyRequest<'_>, Refusal> {
        match (&self.key, &self.csr) {
            (Some(Key::Made { private, .. }), _) => Ok(KeyRequest::Server(private)),
            (Some(Key::Device(_)), Some(Ok(csr))) => Ok(KeyRequest::Device(&csr.der)),
            (Some(Key::Device(_)) | None, _) => Err(Refusal::CsrRequired),
        }
    }

    pub(super) fn key_identity(&self) -> Option<KeyIdentity> {
        self.public_key().map(|key| key.identity)
    }

    pub(super) fn key_evidence(&self) -> String {
        self.key_identity().map_or_else(String::new, |key| format!("key {key}"))
    }

    pub(super) fn take_private_key(&mut self) -> Option<PrivateKey> {
        match self.key.take() {
            Some(Key::Made { private, .. }) => Some(private),
            Some(Key::Device(_)) | None => None,
        }
    }
}
