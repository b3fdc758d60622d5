//! What the use cases have to do with a platform outside of this process: what is owed there goes
//! into every change, and what another request left is finished before it is answered.

use super::operate::OperatorRefusal;
use super::{Provisioning, Refusal, Trace};
use crate::attempt::StepName;
use crate::device::{Device, Stage};
use crate::error::chain_of;
use crate::id::{CertificateId, SerialNumber};
use crate::key::CsrError;
use crate::ports::{CarryOutError, Change, CommitError};
use crate::time::Timestamp;

/// What a decision has to do with a certificate that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// It answers this one.
    Answers(CertificateId),
    /// It issues another in its place.
    Replaces,
}

impl Provisioning {
    /// Writes a change, with what the platform will owe by it.
    pub(super) async fn device_commit(&self, mut change: Change) -> Result<(), CommitError> {
        self.ports.platform.owe(&mut change);
        self.ports.store.device_commit(change).await
    }

    /// Whether there is nothing under way that has to be finished before `touch`; it is finished
    /// where it may be, and then the decision has to be made afresh: `false`.
    pub(super) async fn is_clear(
        &self,
        device: &Device,
        touch: Touch,
        now: Timestamp,
        trace: &mut Trace<'_>,
    ) -> Result<bool, Refusal> {
        let Some(reservation) = &device.reservation else { return Ok(true) };
        match touch {
            Touch::Answers(id) if id != reservation.certificate => return Ok(true),
            Touch::Answers(_) | Touch::Replaces if reservation.is_leased(now) => {
                trace.refused(StepName::Record, "another request is at work on it");
                return Err(Refusal::leased());
            }
            Touch::Replaces => return Ok(true),
            Touch::Answers(_) => {}
        }
        if let Stage::Reserved(_) = reservation.stage {
            // It is issued only now.
            self.require_trusted_clock(self.ports.clock.read()).inspect_err(|_| {
                trace.refused(StepName::Clock, "the server's clock is not to be trusted");
            })?;
        }
        let (serial, attempt) = (&device.serial_number, trace.caller.attempt);
        match self.ports.platform.certificate_complete(serial, attempt).await {
            Ok(()) | Err(CarryOutError::Conflict) => Ok(false),
            Err(error) => Err(not_carried_out(&error, trace)),
        }
    }

    /// Brings an operator's word to the platform before it is answered. It is on record from its
    /// commit on, but who is admitted the platform says: what fails is no success. It is still
    /// owed: the sweeper brings it, or the same request again.
    pub(super) async fn bring(&self, serial: &SerialNumber) -> Result<(), OperatorRefusal> {
        let brought = self.ports.platform.device_settle(serial, self.attempt_code()).await;
        let brought = brought.map(drop);
        brought.map_err(|error| OperatorRefusal::Unavailable(failure(serial, &error)))
    }

    /// Brings what an earlier request has put on record and that may not be there yet.
    pub(super) async fn bring_again(&self, device: &Device) -> Result<(), OperatorRefusal> {
        if device.owed.is_empty() {
            return Ok(());
        }
        self.bring(&device.serial_number).await
    }
}

/// The refusal of what was not carried out, but for a conflict and another's key.
pub(super) fn not_carried_out(error: &CarryOutError, trace: &mut Trace<'_>) -> Refusal {
    match error {
        CarryOutError::Csr(error) => {
            trace.refused(StepName::Csr, error.to_string());
            Refusal::from(error.clone())
        }
        CarryOutError::KeyOwned => {
            trace.refused(StepName::Record, "the key is another device's or compromised");
            Refusal::KeyNotAcceptable
        }
        CarryOutError::Leased => {
            trace.refused(StepName::Record, "another request is at work on it");
            Refusal::leased()
        }
        CarryOutError::Bug(_) | CarryOutError::Conflict | CarryOutError::Unavailable(_) => {
            trace.refused(StepName::Record, "signer, store or platform could not");
            Refusal::unavailable(error)
        }
    }
}

/// What the sweeper could not do, for the log.
pub(super) fn failure(serial: &SerialNumber, error: &CarryOutError) -> String {
    format!("{serial}: {}", chain_of(error))
}

impl From<CsrError> for CarryOutError {
    fn from(error: CsrError) -> Self {
        Self::Csr(error)
    }
}
