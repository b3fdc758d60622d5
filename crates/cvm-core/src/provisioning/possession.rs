//! How a caller shows that it possesses a certificate's key: in its handshake, or where TLS ends
//! before this server by a signature over its request (contract, section 2).
//!
//! Either proves possession and nothing more; what the certificate is good for is asked of the
//! registry at every request.

use std::fmt;

use thiserror::Error;

use super::{FollowUp, Provisioning, Refusal, Trace};
use crate::attempt::StepName;
use crate::id::CertificateId;
use crate::limit::Rate;
use crate::nonce::{Nonce, NonceError};
use crate::ports::{Holding, NonceUse};
use crate::time::{Span, Timestamp};

/// How often one device may sign a request: each is a durable write, and one that renews and
/// confirms signs two.
pub(super) const SIGNED_REQUESTS: Rate = Rate { count: 60, per: Span::MINUTE };

/// How a certificate is shown.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// In the handshake, which proved possession of its key.
    Handshake(CertificateId),
    /// Not at all.
    Nothing,
    /// By a signature over the request.
    Signed(&'a dyn SignedRequest),
}

impl From<Option<CertificateId>> for Shown<'_> {
    fn from(possessed: Option<CertificateId>) -> Self {
        possessed.map_or(Self::Nothing, Self::Handshake)
    }
}

/// A request that its sender has signed.
pub trait SignedRequest: fmt::Debug + Send + Sync {
    /// Whose key it says it is signed with.
    fn certificate(&self) -> CertificateId;

    /// The nonce that makes it good once.
    fn nonce(&self) -> &str;

    /// That its signature is by the key of this certificate (DER), by the algorithm of that key.
    ///
    /// # Errors
    /// [`Unproven`].
    fn verify(&self, certificate: &[u8]) -> Result<(), Unproven>;
}

/// Why a signed request proves nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unproven {
    /// The key has another algorithm.
    #[error(
        "`alg` does not fit the certificate's key: ES256 for P-256, ES384 for P-384, EdDSA for \
         Ed25519, RS256 or PS256 for RSA"
    )]
    Algorithm,
    /// The nonce is no good.
    #[error("{0}: take a new one from GET /v1/nonce and sign again")]
    Nonce(NonceError),
    /// The nonce was used before.
    #[error("the nonce was used before: take a new one from GET /v1/nonce and sign again")]
    NonceUsed,
    /// The signature is another's, or over something else.
    #[error(
        "the signature is not by the certificate's key over `protected`, a full stop and \
         `payload` as they were sent"
    )]
    Signature,
}

impl Unproven {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Algorithm,
        Self::Nonce(NonceError::Expired),
        Self::Nonce(NonceError::Forged),
        Self::NonceUsed,
        Self::Signature,
    ];

    /// The name in attempts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Algorithm => "wrong-algorithm",
            Self::Nonce(NonceError::Expired) => "nonce-expired",
            Self::Nonce(NonceError::Forged) => "nonce-forged",
            Self::NonceUsed => "nonce-used",
            Self::Signature => "wrong-signature",
        }
    }
}

/// A certificate that was shown, and what its proof still waits for.
#[derive(Debug)]
pub(super) struct Possession<'a> {
    pub(super) id: CertificateId,
    /// Checked against the certificate once that is read.
    signed: Option<(&'a dyn SignedRequest, Nonce)>,
}

impl Provisioning {
    /// A nonce to sign a request with; nothing is stored.
    #[must_use]
    pub fn nonce_give(&self) -> String {
        let now = self.ports.clock.read().now;
        let nonce = Nonce::generate(&*self.ports.entropy, now);
        nonce.to_text(&*self.ports.secrets)
    }

    /// What is shown, as far as it can be judged before anything is read.
    pub(super) fn possession_of<'a>(
        &self,
        shown: Shown<'a>,
        now: Timestamp,
    ) -> Result<Possession<'a>, Refusal> {
        match shown {
            Shown::Handshake(id) => Ok(Possession { id, signed: None }),
            Shown::Nothing => Err(Refusal::CertificateRequired),
            Shown::Signed(request) => {
                let nonce = Nonce::read(request.nonce(), &*self.ports.secrets, now);
                let nonce = nonce.map_err(|error| Refusal::Unproven(Unproven::Nonce(error)))?;
                Ok(Possession { id: request.certificate(), signed: Some((request, nonce)) })
            }
        }
    }

    /// That the request is signed with the key of the certificate that was read, for the first time.
    ///
    /// Only then does it buy a write; one that fails to be written proves nothing.
    pub(super) async fn prove(
        &self,
        possession: &mut Possession<'_>,
        holding: &Holding,
        trace: &mut Trace<'_>,
    ) -> Result<(), (Refusal, FollowUp)> {
        let Some((request, nonce)) = possession.signed.take() else { return Ok(()) };
        let proven = match request.verify(&holding.certificate.der) {
            Ok(()) => self.use_nonce(&nonce, holding, trace.at).await,
            Err(unproven) => Err(Refusal::Unproven(unproven)),
        };
        if let Err(refusal) = proven {
            trace.refused(StepName::Request, refusal.to_string());
            let serial = holding.device.serial_number.clone();
            let after = trace.noted(serial, refusal.slug(), refusal.reason());
            return Err((refusal, after));
        }
        trace.passed(StepName::Request, "signed with the certificate's key");
        Ok(())
    }

    async fn use_nonce(
        &self,
        nonce: &Nonce,
        holding: &Holding,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let asked = self.signed_budget.lock().ask(holding.device.serial_number.clone(), now);
        asked.map_err(|retry_after| Refusal::SlowDown { retry_after })?;
        match self.ports.nonces.nonce_use(nonce, now).await {
            Ok(NonceUse::First) => Ok(()),
            Ok(NonceUse::Again) => Err(Refusal::Unproven(Unproven::NonceUsed)),
            Err(error) => Err(Refusal::unavailable(&error)),
        }
    }
}
