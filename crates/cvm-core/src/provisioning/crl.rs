//! CRLs: the stored one while it is true and young, else a new one, signed once for everybody who
//! asks at the same time.
//!
//! A stranger who asks in a loop buys one signing per change and shard, and one in six hours
//! (contract, section 6). What is revoked is in every CRL that is asked for after its commit.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::lock::Mutex as AsyncMutex;
use parking_lot::Mutex;

use super::{Provisioning, Refusal};
use crate::certificate::IssuerId;
use crate::error::chain_of;
use crate::ports::{ClockReading, CommitError, CrlTemplate, NewCrl, StoredCrl};
use crate::time::{Span, Timestamp};

/// Contract, section 6.
const RENEWED_AFTER: Span = Span(6 * 3_600);
/// Contract, section 6.
const VALID_FOR: Span = Span::DAY;

/// How long past its notAfter a certificate is still listed, and longer where no CRL was signed
/// meanwhile: RFC 5280 §3.3 wants it on one CRL after its expiry, and relying parties whose clocks
/// are behind go on asking about it.
const LISTED_AFTER_EXPIRY: Span = Span(7 * Span::DAY.0);

/// How many CRLs one sweep signs: the 255 shards of a CA that all changed in four minutes.
const SIGNED_PER_SWEEP_MAX: usize = 64;

/// How many shards one sweep looks at, so that some which cannot be signed hold up no others.
const DUE_MAX: u32 = 1_024;

/// A CRL as it is answered.
#[derive(Clone, Debug)]
pub struct CrlShown {
    /// The list, DER.
    pub der: Arc<[u8]>,
    /// Until its nextUpdate; zero where that is past.
    pub valid_for: Span,
}

/// What a sweep of the CRLs did.
#[derive(Debug, Default)]
pub struct SweptCrls {
    /// How many were signed.
    pub signed: usize,
    /// How many could not be; they are tried again at the next sweep, or when they are asked for.
    pub failed: usize,
    /// How many are due still: these, and those beyond what one sweep signs.
    pub left: usize,
    /// Why the first of these could not be.
    pub cause: Option<String>,
}

/// The signings that are under way, one at a time for each shard. There are no more than our CAs
/// have shards.
#[derive(Default)]
pub(super) struct CrlFlights(Mutex<HashMap<(IssuerId, u8), Flight>>);

type Flight = Arc<AsyncMutex<()>>;

impl CrlFlights {
    fn of(&self, issuer: IssuerId, shard: u8) -> Flight {
        Arc::clone(self.0.lock().entry((issuer, shard)).or_default())
    }
}

/// Which CRL, as it should be now.
struct Wanted {
    issuer: IssuerId,
    shard: u8,
    url: String,
    clock: ClockReading,
}

impl Wanted {
    /// Whether `stored` says everything that it has to, and where it is found now.
    fn is_true(&self, stored: &StoredCrl) -> bool {
        !stored.is_stale && stored.url == self.url && self.clock.now <= stored.next_update
    }

    /// One from the future was signed before the clock was set back: nobody would believe it.
    fn is_young(&self, stored: &StoredCrl) -> bool {
        let age = self.clock.now.since(stored.this_update);
        (Span(0)..RENEWED_AFTER).contains(&age)
    }
}

impl Provisioning {
    /// The CRL of a shard; `None` for a CA that is not ours.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where a new one is needed and cannot be signed or kept. Where the
    /// clock is not to be trusted nothing is signed, and the last one is answered, whatever it is.
    pub async fn crl(&self, issuer: &IssuerId, shard: u8) -> Result<Option<CrlShown>, Refusal> {
        let Some(wanted) = self.crl_wanted(issuer, shard) else { return Ok(None) };
        let stored = match self.crl_renewed(&wanted).await {
            Ok((stored, _)) => stored,
            Err(refusal) => {
                let last = self.crl_find(&wanted).await?;
                let is_enough =
                    |last: &StoredCrl| wanted.is_true(last) || !self.may_sign(wanted.clock);
                last.filter(is_enough).ok_or(refusal)?
            }
        };
        let valid_for = stored.next_update.since(wanted.clock.now).max(Span(0));
        Ok(Some(CrlShown { der: stored.der, valid_for }))
    }

    /// Signs the CRLs that are due: where something changed, and those that are six hours old.
    pub async fn sweep_crls(&self) -> SweptCrls {
        let mut swept = SweptCrls::default();
        let clock = self.ports.clock.read();
        if !self.may_sign(clock) {
            return swept;
        }
        let signed_until = clock.now.minus(RENEWED_AFTER);
        let due = match self.ports.revocations.due_crls(signed_until, DUE_MAX).await {
            Ok(due) => due,
            Err(error) => {
                return SweptCrls { failed: 1, cause: Some(chain_of(&error)), ..swept };
            }
        };
        // The CRLs of a CA that was taken away are nobody's to sign.
        let is_ours =
            |(issuer, shard): &(IssuerId, u8)| self.ports.issuer.crl_url(issuer, *shard).is_some();
        let due: Vec<_> = due.into_iter().filter(is_ours).collect();
        swept.left = due.len();
        for (issuer, shard) in due {
            let Some(wanted) = self.crl_wanted(&issuer, shard) else { continue };
            match self.crl_renewed(&wanted).await {
                Ok((_, Renewal::Signed)) => {
                    swept.signed += 1;
                    swept.left -= 1;
                }
                Ok((_, Renewal::NotDue)) => swept.left -= 1,
                Err(refusal) => {
                    swept.failed += 1;
                    let cause = refusal.cause().unwrap_or_default();
                    swept.cause.get_or_insert_with(|| format!("{issuer}/{shard:02x}: {cause}"));
                }
            }
            if swept.signed == SIGNED_PER_SWEEP_MAX {
                break;
            }
        }
        swept
    }

    fn crl_wanted(&self, issuer: &IssuerId, shard: u8) -> Option<Wanted> {
        let url = self.ports.issuer.crl_url(issuer, shard)?;
        Some(Wanted { issuer: *issuer, shard, url, clock: self.ports.clock.read() })
    }

    fn may_sign(&self, clock: ClockReading) -> bool {
        self.require_trusted_clock(clock).is_ok()
    }

    /// The stored CRL where it is true and young, else a new one.
    async fn crl_renewed(&self, wanted: &Wanted) -> Result<(StoredCrl, Renewal), Refusal> {
        let is_good = |stored: &StoredCrl| wanted.is_true(stored) && wanted.is_young(stored);
        if let Some(stored) = self.crl_find(wanted).await?.filter(is_good) {
            return Ok((stored, Renewal::NotDue));
        }
        self.require_trusted_clock(wanted.clock)?;
        let flight = self.crl_flights.of(wanted.issuer, wanted.shard);
        let _alone = flight.lock().await;
        // Whoever had the lock has signed it, perhaps.
        let stored = self.crl_find(wanted).await?;
        match stored {
            Some(stored) if is_good(&stored) => Ok((stored, Renewal::NotDue)),
            last => self.crl_sign(wanted, last.as_ref()).await,
        }
    }

    async fn crl_sign(
        &self,
        wanted: &Wanted,
        last: Option<&StoredCrl>,
    ) -> Result<(StoredCrl, Renewal), Refusal> {
        let Wanted { issuer, shard, clock, .. } = *wanted;
        let revoked = self
            .ports
            .revocations
            .revoked_of(&issuer, shard, listed_from(clock.now, last))
            .await
            .map_err(|error| Refusal::unavailable(&error))?;
        let number = number_after(clock.now, last);
        let (this_update, next_update) = (clock.now, clock.now.plus(VALID_FOR));
        let entries = revoked.entries;
        let template = CrlTemplate { issuer, shard, number, this_update, next_update, entries };
        let signed = self.ports.issuer.crl_sign(template).await;
        let der: Arc<[u8]> = signed.map_err(|error| Refusal::unavailable(&error))?.into();
        let crl = NewCrl {
            issuer,
            shard,
            number,
            this_update,
            next_update,
            url: wanted.url.clone(),
            changes: revoked.changes,
            der: Arc::clone(&der),
        };
        match self.ports.revocations.crl_put(crl).await {
            Ok(()) => {
                let (url, is_stale) = (wanted.url.clone(), false);
                let stored = StoredCrl { number, this_update, next_update, url, der, is_stale };
                Ok((stored, Renewal::Signed))
            }
            // Another process was faster, and has what we would have had.
            Err(CommitError::Conflict) => match self.crl_find(wanted).await? {
                Some(stored) if wanted.is_true(&stored) => Ok((stored, Renewal::NotDue)),
                _ => Err(Refusal::contended()),
            },
            Err(error) => Err(Refusal::unavailable(&error)),
        }
    }

    async fn crl_find(&self, wanted: &Wanted) -> Result<Option<StoredCrl>, Refusal> {
        let found = self.ports.revocations.crl_find(&wanted.issuer, wanted.shard).await;
        found.map_err(|error| Refusal::unavailable(&error))
    }
}

/// Whether a CRL was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    NotDue,
    Signed,
}

/// From which notAfter on certificates are listed.
fn listed_from(now: Timestamp, last: Option<&StoredCrl>) -> Timestamp {
    let week_ago = now.minus(LISTED_AFTER_EXPIRY);
    last.map_or(week_ago, |last| week_ago.min(last.this_update))
}

/// RFC 5280 §5.2.3: it rises. After a restore it does too: nobody signs more than one in a second.
fn number_after(now: Timestamp, last: Option<&StoredCrl>) -> u64 {
    let seconds = u64::try_from(now.0).unwrap_or(0);
    last.map_or(seconds, |last| seconds.max(last.number.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn last(number: u64, this_update: Timestamp) -> StoredCrl {
        let (next_update, url) = (this_update.plus(VALID_FOR), String::new());
        StoredCrl { number, this_update, next_update, url, der: Arc::new([]), is_stale: false }
    }

    #[test]
    fn numbers_rise_within_a_second_and_beyond_what_a_restore_lost() {
        assert_eq!(number_after(NOW, None), 1_800_000_000);
        assert_eq!(number_after(NOW, Some(&last(1_799_999_999, NOW))), 1_800_000_000);
        assert_eq!(number_after(NOW, Some(&last(1_800_000_000, NOW))), 1_800_000_001);
        assert_eq!(number_after(NOW, Some(&last(u64::MAX, NOW))), u64::MAX);
        assert_eq!(number_after(Timestamp(-5), None), 0);
    }

    #[test]
    fn what_expired_since_the_last_crl_is_listed_however_long_ago_that_was() {
        let days = |count| NOW.minus(Span(count * Span::DAY.0));
        assert_eq!(listed_from(NOW, None), days(7));
        assert_eq!(listed_from(NOW, Some(&last(1, days(1)))), days(7));
        assert_eq!(listed_from(NOW, Some(&last(1, days(30)))), days(30));
    }
}
