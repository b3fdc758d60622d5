//! The keys of many certificates, judged again and against each other: what no request shows by
//! itself, and what a release before this one did not look for.

use std::collections::HashMap;
use std::fmt;

use cvm_core::key::CsrError;
use dashu_int::UBig;

use crate::ca::spki_of;
use crate::common_factors::{self, Common};
use crate::error::PkiError;
use crate::key::{SubjectKey, sha256};
use crate::weak::RsaJudge;

/// What a certificate's key is by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Good, and not an RSA key.
    Good,
    /// Good by itself; its modulus is at this place among those that were seen.
    Rsa(usize),
    /// Nobody should use it, and why.
    Weak(String),
}

/// Keys that were seen. An RSA key of 2048 bits takes 350 bytes.
#[derive(Default)]
pub struct KeyAudit {
    judge: Option<RsaJudge>,
    moduli: Vec<UBig>,
    places: HashMap<[u8; 32], usize>,
}

impl fmt::Debug for KeyAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAudit").field("moduli", &self.moduli.len()).finish_non_exhaustive()
    }
}

impl KeyAudit {
    /// Judges the key of a certificate (DER), and keeps its modulus where it has one.
    ///
    /// # Errors
    /// [`PkiError`] where it is no certificate.
    pub fn take(&mut self, certificate: &[u8]) -> Result<Judged, PkiError> {
        let key = match SubjectKey::read(spki_of("the certificate", certificate)?) {
            Ok(key) => key,
            Err(error) => return Ok(Judged::Weak(error.to_string())),
        };
        let Some(modulus) = key.modulus else { return Ok(Judged::Good) };
        let judge = self.judge.get_or_insert_with(RsaJudge::new);
        if let Err(weakness) = judge.judge(&modulus) {
            return Ok(Judged::Weak(CsrError::Weak(weakness).to_string()));
        }
        let bytes = modulus.to_bytes_be();
        let next = self.moduli.len();
        let place = *self.places.entry(sha256(&bytes)).or_insert(next);
        if place == next {
            self.moduli.push(UBig::from_be_bytes(&bytes));
        }
        Ok(Judged::Rsa(place))
    }

    /// How many moduli were seen.
    #[must_use]
    pub fn moduli(&self) -> usize {
        self.moduli.len()
    }

    /// Which moduli share a factor. `step` is told how many of how many parts of the work are
    /// done.
    pub fn common_factors(&self, step: &mut dyn FnMut(usize, usize)) -> Vec<Common> {
        common_factors::find(&self.moduli, common_factors::BLOCK, step)
    }
}
