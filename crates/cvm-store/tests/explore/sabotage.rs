//! Rules taken out, one at a time, by what the store makes of a change or of a read; and that the
//! exploration finds each of them.

use cvm_core::certificate::CertificateState;
use cvm_core::device::{Device, TokenState};
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change};
use cvm_store::MemoryStore;

use super::act::Act;
use super::scene::Scene;

/// A rule that is taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sabotage {
    /// Rows of new certificates are not written.
    ForgetsRows,
}

impl Sabotage {
    pub(crate) fn spoil(self, scene: &Scene, change: &mut Change, store: &MemoryStore) {
        match self {
            Self::ForgetsRows => {
                change.certificates.retain(|it| !matches!(it, CertificateChange::Insert(_)));
            }
        }
    }

    pub(crate) fn mislead(self, scene: &Scene, device: Device, act: Act) -> Device {
        device
    }
}
