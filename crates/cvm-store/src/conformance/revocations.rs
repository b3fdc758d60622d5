//! `Revocations`: who is revoked in a shard, how often that changed, and the lists that say so.

use std::sync::Arc;

use cvm_core::certificate::{CertificateRecord, CertificateState, IssuerId, Reason};
use cvm_core::device::{Moved, MovedBy};
use cvm_core::ports::{
    CertificateChange, Change, CommitError, NewCrl, Revoked, RevokedEntry, StoredCrl,
};
use cvm_core::time::{Span, Timestamp};

use super::given::{NOW, certificate, change, device};
use crate::Stores;

/// The CA that [`certificate`] names.
const ISSUER: IssuerId = IssuerId([9; 20]);
const OTHER_ISSUER: IssuerId = IssuerId([10; 20]);
const EVER: Timestamp = Timestamp(0);

fn days_ago(count: i64) -> Timestamp {
    NOW.minus(Span(count * Span::DAY.0))
}

/// A CRL of shard 5, signed so many days ago from what was counted.
fn crl(number: u64, days: i64, changes: u64) -> NewCrl {
    NewCrl {
        issuer: ISSUER,
        shard: 5,
        number,
        this_update: days_ago(days),
        next_update: days_ago(days - 1),
        url: format!("http://crl.example/{number}"),
        changes,
        der: Arc::from(vec![0x30; usize::try_from(number).unwrap_or(0)]),
    }
}

fn ended(row: &CertificateRecord, state: CertificateState, reason: Option<Reason>) -> Moved {
    Moved { id: row.id, state, reason, by: MovedBy::Act }
}

impl Stores {
    /// A certificate of a device of its own whose X.509 serial number is `serial`.
    async fn issued(&self, n: u64, serial: &[u8]) -> CertificateRecord {
        let row = certificate(n, &device(&format!("D-{n}")));
        self.inserted(CertificateRecord { certificate_serial: serial.to_vec(), ..row }).await
    }

    async fn inserted(&self, row: CertificateRecord) -> CertificateRecord {
        let insert = CertificateChange::Insert(Box::new(row.clone()));
        let device = device(row.serial_number.as_str());
        self.commit(Change { certificates: vec![insert], ..change(&device) }).await;
        row
    }

    /// Ends a certificate.
    async fn ended(
        &self,
        row: &CertificateRecord,
        state: CertificateState,
        reason: Option<Reason>,
    ) {
        let certificates = vec![CertificateChange::Move(ended(row, state, reason), NOW)];
        let device = self.device(row.serial_number.as_str()).await;
        self.commit(Change { certificates, ..change(&device) }).await;
    }

    async fn revoked(&self, shard: u8, not_after_from: Timestamp) -> Revoked {
        let found = self.revocations.revoked_of(&ISSUER, shard, not_after_from).await;
        let mut revoked = found.expect("the read works");
        revoked.entries.sort_by(|a, b| a.certificate_serial.cmp(&b.certificate_serial));
        revoked
    }

    async fn changes(&self, shard: u8) -> u64 {
        self.revoked(shard, EVER).await.changes
    }

    async fn crl(&self, shard: u8) -> Option<StoredCrl> {
        self.revocations.crl_find(&ISSUER, shard).await.expect("the read works")
    }

    async fn put(&self, crl: NewCrl) {
        self.revocations.crl_put(crl).await.expect("the CRL is kept");
    }

    async fn due(&self, signed_until: Timestamp, limit: u32) -> Vec<(IssuerId, u8)> {
        self.revocations.due_crls(signed_until, limit).await.expect("the read works")
    }
}

/// Every certificate in one of the three states, and no other; each with its time and reason.
pub async fn a_shard_lists_what_ended_otherwise_than_by_its_not_after(stores: Stores) {
    let ends = [
        (CertificateState::Dropped, None),
        (CertificateState::Revoked, None),
        (CertificateState::Revoked, Some(Reason::KeyCompromise)),
        (CertificateState::Superseded, Some(Reason::CessationOfOperation)),
        (CertificateState::Superseded, None),
        (CertificateState::Expired, None),
    ];
    for (n, (state, reason)) in (0_u8..).zip(ends) {
        let row = stores.issued(u64::from(n), &[5, n]).await;
        stores.ended(&row, state, reason).await;
    }
    stores.issued(8, &[5, 8]).await;
    let row = stores.issued(9, &[5, 9]).await;
    let confirm = vec![CertificateChange::Confirm(row.id, NOW)];
    let device = stores.device("D-9").await;
    stores.commit(Change { certificates: confirm, ..change(&device) }).await;
    assert_eq!(stores.certificate(9).await.state, CertificateState::Current);

    let reasons = [
        Some(Reason::Superseded),
        None,
        Some(Reason::KeyCompromise),
        Some(Reason::CessationOfOperation),
        Some(Reason::Superseded),
    ];
    let entries = (0_u8..).zip(reasons).map(|(n, reason)| RevokedEntry {
        certificate_serial: vec![5, n],
        revoked_at: NOW,
        reason,
    });
    let entries: Vec<_> = entries.collect();
    assert_eq!(stores.revoked(5, EVER).await, Revoked { changes: 5, entries });
}

/// The first octet of the serial number, and the CA.
pub async fn shards_and_issuers_are_apart(stores: Stores) {
    for (n, serial) in [[5, 1], [6, 1], [0, 5]].iter().enumerate() {
        let row = stores.issued(u64::try_from(n).unwrap_or(0), serial).await;
        stores.ended(&row, CertificateState::Revoked, None).await;
    }
    let row = certificate(7, &device("D-7"));
    let row = CertificateRecord { certificate_serial: vec![5, 9], issuer: OTHER_ISSUER, ..row };
    let row = stores.inserted(row).await;
    stores.ended(&row, CertificateState::Revoked, None).await;
    let serials = |revoked: Revoked| {
        let serials = revoked.entries.into_iter().map(|entry| entry.certificate_serial);
        (revoked.changes, serials.collect::<Vec<_>>())
    };
    assert_eq!(serials(stores.revoked(5, EVER).await), (1, vec![vec![5, 1]]));
    assert_eq!(serials(stores.revoked(6, EVER).await), (1, vec![vec![6, 1]]));
    assert_eq!(serials(stores.revoked(0, EVER).await), (1, vec![vec![0, 5]]));
    assert_eq!(serials(stores.revoked(7, EVER).await), (0, vec![]));
}

/// Whose notAfter is the asked one or later; the counter is the whole shard's.
pub async fn what_expired_before_the_asked_time_is_left_out(stores: Stores) {
    for n in 0..3 {
        let row = certificate(n, &device(&format!("D-{n}")));
        let (not_after, serial) = (days_ago(i64::try_from(n).unwrap_or(0)), vec![5, 1]);
        let row = stores
            .inserted(CertificateRecord { not_after, certificate_serial: serial, ..row })
            .await;
        stores.ended(&row, CertificateState::Superseded, None).await;
    }
    for (days, count) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
        let revoked = stores.revoked(5, days_ago(days)).await;
        assert_eq!((revoked.changes, revoked.entries.len()), (3, count), "{days}");
    }
}

/// Each commit that writes a row into one of the three states, also where it was in one already;
/// a row that comes so too; and no other commit.
pub async fn a_shard_counts_its_changes(stores: Stores) {
    use CertificateState::{Expired, Revoked, Superseded};
    let row = stores.issued(1, &[5, 1]).await;
    let device = stores.device("D-1").await;
    let confirm = vec![CertificateChange::Confirm(row.id, NOW)];
    stores.commit(Change { certificates: confirm, ..change(&device) }).await;
    let other = stores.issued(2, &[5, 2]).await;
    stores.ended(&other, Expired, None).await;
    assert_eq!(stores.changes(5).await, 0);
    stores.ended(&row, Superseded, None).await;
    assert_eq!(stores.changes(5).await, 1);
    stores.ended(&row, Revoked, Some(Reason::KeyCompromise)).await;
    stores.ended(&row, Revoked, Some(Reason::Superseded)).await;
    assert_eq!(stores.changes(5).await, 3);
    let revoked = stores.revoked(5, EVER).await;
    let reasons: Vec<_> = revoked.entries.iter().map(|entry| entry.reason).collect();
    assert_eq!(reasons, [Some(Reason::Superseded)]);
    let row = certificate(3, &super::given::device("D-3"));
    let row = CertificateRecord { certificate_serial: vec![5, 3], state: Revoked, ..row };
    stores.inserted(row).await;
    assert_eq!(stores.changes(5).await, 4);
}

/// A commit that is refused.
pub async fn a_refused_end_counts_nothing(stores: Stores) {
    let row = stores.issued(1, &[5, 1]).await;
    let mut stale = stores.device("D-1").await;
    stale.version = 7;
    let end = CertificateChange::Move(ended(&row, CertificateState::Revoked, None), NOW);
    stores.refuse(Change { certificates: vec![end], ..change(&stale) }).await;
    assert_eq!(stores.revoked(5, EVER).await, Revoked::default());
}

/// What is read is what was put.
pub async fn a_crl_comes_back_whole(stores: Stores) {
    assert_eq!(stores.crl(5).await, None);
    let wanted = NewCrl { number: u64::MAX, ..crl(200_000, 0, 0) };
    stores.put(wanted.clone()).await;
    let NewCrl { number, this_update, next_update, url, der, .. } = wanted;
    let stored = StoredCrl { number, this_update, next_update, url, der, is_stale: false };
    assert_eq!(stores.crl(5).await, Some(stored));
    assert_eq!(stores.crl(6).await, None);
    let other = stores.revocations.crl_find(&OTHER_ISSUER, 5).await.expect("the read works");
    assert_eq!(other, None);
}

/// It takes the place of the one before, but only with a number above that one's.
pub async fn a_crl_is_replaced_by_a_higher_number_only(stores: Stores) {
    stores.put(crl(7, 2, 0)).await;
    for number in [6, 7] {
        let refused = stores.revocations.crl_put(crl(number, 1, 0)).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    }
    let stored = async || stores.crl(5).await.map(|crl| (crl.number, crl.this_update));
    assert_eq!(stored().await, Some((7, days_ago(2))));
    stores.put(crl(8, 0, 0)).await;
    assert_eq!(stored().await, Some((8, NOW)));
}

/// From the next change on, and from the beginning where something changed while it was built.
pub async fn a_crl_is_stale_from_the_next_change_on(stores: Stores) {
    let is_stale = async || stores.crl(5).await.expect("a CRL").is_stale;
    let row = stores.issued(1, &[5, 1]).await;
    stores.put(crl(1, 0, 0)).await;
    assert!(!is_stale().await);
    let elsewhere = stores.issued(2, &[6, 1]).await;
    stores.ended(&elsewhere, CertificateState::Revoked, None).await;
    assert!(!is_stale().await, "another shard's change");
    stores.ended(&row, CertificateState::Superseded, None).await;
    assert!(is_stale().await);
    stores.put(crl(2, 0, 0)).await;
    assert!(is_stale().await, "built from what was there before");
    stores.put(crl(3, 0, 1)).await;
    assert!(!is_stale().await);
}

/// First what changed, without a CRL too, then what was signed at the asked time or earlier, the
/// oldest first; no more than asked for; not what neither changed nor has a CRL.
pub async fn changed_shards_are_due_then_old_ones(stores: Stores) {
    assert_eq!(stores.due(NOW, 10).await, []);
    stores.issued(1, &[4, 1]).await;
    let row = stores.issued(2, &[9, 1]).await;
    stores.ended(&row, CertificateState::Revoked, None).await;
    for (shard, days) in [(5, 0), (6, 2), (7, 3)] {
        stores.put(NewCrl { shard, ..crl(1, days, 0) }).await;
    }
    let of = |shards: &[u8]| shards.iter().map(|shard| (ISSUER, *shard)).collect::<Vec<_>>();
    assert_eq!(stores.due(NOW, 10).await, of(&[9, 7, 6, 5]));
    assert_eq!(stores.due(days_ago(2), 10).await, of(&[9, 7, 6]));
    assert_eq!(stores.due(days_ago(2).minus(Span(1)), 10).await, of(&[9, 7]));
    assert_eq!(stores.due(NOW, 2).await, of(&[9, 7]));
    stores.put(NewCrl { shard: 9, ..crl(1, 0, 1) }).await;
    assert_eq!(stores.due(days_ago(1), 10).await, of(&[7, 6]), "signed meanwhile");
    let row = stores.issued(3, &[5, 1]).await;
    stores.ended(&row, CertificateState::Revoked, None).await;
    assert_eq!(stores.due(days_ago(1), 10).await, of(&[5, 7, 6]), "changed meanwhile");
}
