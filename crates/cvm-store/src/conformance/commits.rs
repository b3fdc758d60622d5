//! `Store::device_commit`: all or nothing, upon the version that was read.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Moved, MovedBy};
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change, CommitError, KeyRule};
use cvm_core::time::Timestamp;

use super::given::{NOW, certificate, change, device, digest, full_device, key, serial, vend};
use crate::Stores;

/// A new record is written with version 1.
pub async fn a_new_record_has_version_one(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    assert_eq!(stores.device("A").await.version, 1);
}

/// The store writes the version after the one that was read.
pub async fn each_commit_writes_the_next_version(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    for version in 1..5 {
        let device = stores.device("A").await;
        assert_eq!(device.version, version);
        stores.commit(change(&device)).await;
    }
}

/// What is read is what was written.
pub async fn a_record_comes_back_whole(stores: Stores) {
    let mut wanted = full_device("A");
    stores.commit(change(&wanted)).await;
    wanted.version = 1;
    assert_eq!(stores.device("A").await, wanted);
    wanted.disabled = false;
    wanted.sealed = None;
    stores.commit(change(&wanted)).await;
    wanted.version = 2;
    assert_eq!(stores.device("A").await, wanted);
}

/// Conflict: a new record's serial number is taken.
pub async fn a_serial_number_that_is_taken_is_a_conflict(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    assert!(matches!(stores.refuse(change(&device("A"))).await, CommitError::Conflict));
}

/// Conflict: the record's version moved.
pub async fn a_version_that_moved_is_a_conflict(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    let read = stores.device("A").await;
    stores.commit(change(&read)).await;
    assert!(matches!(stores.refuse(change(&read)).await, CommitError::Conflict));
}

/// Conflict: no record has the version.
pub async fn a_version_of_a_record_that_is_not_there_is_a_conflict(stores: Stores) {
    let mut absent = device("A");
    absent.version = 3;
    assert!(matches!(stores.refuse(change(&absent)).await, CommitError::Conflict));
    assert!(stores.store.device_find(&serial("A")).await.expect("a read").is_none());
}

/// With any error but Unavailable nothing was written: no record, certificate, owner, thing or row.
pub async fn a_refused_change_writes_nothing(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    let before = stores.device("A").await;
    let rows = stores.rows().await;
    let mut stale = before.clone();
    stale.version = 7;
    stale.thing_name = "free".parse().expect("a thing name");
    let mut refused = vend(2, &stale);
    refused.keys = vec![KeyRule::Own(key(2))];
    refused.certificates.push(CertificateChange::Confirm(CertificateId(digest(1)), NOW));
    stores.refuse(refused).await;

    assert_eq!(stores.device("A").await, before);
    assert!(!stores.has_certificate(2).await);
    assert_eq!(stores.certificate(1).await.confirmed_at, None);
    assert_eq!(stores.store.key_owner(&key(2)).await.expect("a read"), None);
    assert_eq!(stores.rows().await, rows);
    let mut other = device("B");
    other.thing_name = "free".parse().expect("a thing name");
    stores.commit(vend(3, &other)).await;
}

/// Of commits upon one version exactly one is written, and nothing of the others.
pub async fn of_concurrent_commits_of_one_version_one_wins(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    let read = stores.device("A").await;
    let answers = stores.race((1..=32).map(|n| vend(n, &read)).collect()).await;
    let mut winners = 0;
    for (n, answer) in (1..=32).zip(answers) {
        assert_eq!(stores.has_certificate(n).await, answer.is_ok());
        match answer {
            Ok(()) => winners += 1,
            Err(error) => assert!(matches!(error, CommitError::Conflict), "{error}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(stores.device("A").await.version, 2);
    assert_eq!(stores.rows().await.len(), 1);
}

/// Changes may share a commit; one that is refused changes nothing of the others.
pub async fn conflicts_in_a_group_change_nothing_of_the_others(stores: Stores) {
    let mut owner = vend(1_000, &device("owner"));
    owner.keys = vec![KeyRule::Own(key(1_000))];
    stores.commit(owner).await;
    let changes = (0..64).map(|n| {
        let mut fresh = device(&format!("D-{n}"));
        let mut change = vend(n, &fresh);
        match n % 4 {
            1 => change.device.version = 9,
            2 => change.keys = vec![KeyRule::NotOthers(key(1_000))],
            3 => {
                fresh.thing_name = "owner".parse().expect("a thing name");
                change = vend(n, &fresh);
            }
            _ => {}
        }
        change
    });
    let answers = stores.race(changes.collect()).await;
    for (n, answer) in (0..64).zip(answers) {
        let name = format!("D-{n}");
        match (n % 4, answer) {
            (0, Ok(()))
            | (1, Err(CommitError::Conflict))
            | (2, Err(CommitError::KeyOwned))
            | (3, Err(CommitError::ThingNameTaken)) => {}
            (_, other) => assert_eq!(format!("{other:?}"), "", "device {n} has the wrong answer"),
        }
        let found = stores.store.device_find(&serial(&name)).await.expect("a read");
        assert_eq!(found.is_some(), n % 4 == 0);
        assert_eq!(stores.has_certificate(n).await, n % 4 == 0);
    }
    assert_eq!(stores.rows().await.len(), 17);
}

fn confirm(n: u64, device: &cvm_core::device::Device) -> Change {
    let confirm = CertificateChange::Confirm(CertificateId(digest(n)), Timestamp(NOW.0 + 9));
    Change { certificates: vec![confirm], ..change(device) }
}

/// It was used for the first time at this moment, and is the current one.
pub async fn the_first_use_makes_a_certificate_the_current_one(stores: Stores) {
    let fresh = device("A");
    stores.commit(vend(1, &fresh)).await;
    assert_eq!(stores.certificate(1).await, certificate(1, &fresh));
    let read = stores.device("A").await;
    stores.commit(confirm(1, &read)).await;
    let row = stores.certificate(1).await;
    let wanted = (CertificateState::Current, Some(Timestamp(NOW.0 + 9)));
    assert_eq!((row.state, row.confirmed_at), wanted);
}

fn end(n: u64, device: &cvm_core::device::Device, state: CertificateState) -> Change {
    let reason = Some(Reason::Superseded).filter(|_| state != CertificateState::Expired);
    let ended = Moved { id: CertificateId(digest(n)), state, reason, by: MovedBy::Act };
    let end = CertificateChange::Move(ended, Timestamp(NOW.0 + 9));
    Change { certificates: vec![end], ..change(device) }
}

/// It ended at this moment.
pub async fn an_end_is_written_to_the_certificate(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    let read = stores.device("A").await;
    stores.commit(end(1, &read, CertificateState::Superseded)).await;
    let row = stores.certificate(1).await;
    assert_eq!(row.state, CertificateState::Superseded);
    assert_eq!(row.ended_at, Some(Timestamp(NOW.0 + 9)));
    assert_eq!(row.reason, Some(Reason::Superseded));
}

/// `ended_at` is when it ended other than by its notAfter.
pub async fn an_expired_certificate_ended_by_its_not_after(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    let read = stores.device("A").await;
    stores.commit(end(1, &read, CertificateState::Expired)).await;
    let row = stores.certificate(1).await;
    assert_eq!((row.state, row.ended_at), (CertificateState::Expired, None));
}

/// In its order: also where it is new, or is used for the first time, and ends.
pub async fn all_that_a_change_says_of_one_certificate_holds(stores: Stores) {
    let fresh = device("A");
    let mut born = vend(1, &fresh);
    born.certificates.extend(end(1, &fresh, CertificateState::Dropped).certificates);
    stores.commit(born).await;
    assert_eq!(stores.certificate(1).await.state, CertificateState::Dropped);
    stores.commit(vend(2, &stores.device("A").await)).await;
    let read = stores.device("A").await;
    let mut used = confirm(2, &read);
    used.certificates.extend(end(2, &read, CertificateState::Superseded).certificates);
    stores.commit(used).await;
    let row = stores.certificate(2).await;
    let at = Some(Timestamp(NOW.0 + 9));
    let wanted = (CertificateState::Superseded, at, at);
    assert_eq!((row.state, row.confirmed_at, row.ended_at), wanted);
    let revoked = stores.revocations.revoked_of(&row.issuer, 0x7F, Timestamp(0)).await;
    let revoked = revoked.expect("the read works");
    assert_eq!((revoked.changes, revoked.entries.len()), (2, 2));
}

/// A certificate's row is written once; a caller that does not see to it harms nobody else.
pub async fn a_certificate_that_is_there_is_not_inserted_again(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    let answers = stores.race(vec![vend(1, &device("B")), vend(2, &device("C"))]).await;
    let [first, second] = answers.as_slice() else { return assert!(answers.len() == 2) };
    assert!(matches!(first, Err(CommitError::Unavailable(_))));
    assert!(second.is_ok());
    assert!(stores.store.device_find(&serial("B")).await.expect("a read").is_none());
    stores.store.ready().await.expect("the store is ready");
}

/// A change is of one device: it neither confirms nor ends another's certificate.
pub async fn a_certificate_of_another_device_is_not_touched(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    for refused in [
        confirm(1, &device("B")),
        end(1, &device("B"), CertificateState::Revoked),
        confirm(9, &device("B")),
    ] {
        assert!(matches!(stores.refuse(refused).await, CommitError::Unavailable(_)));
    }
    assert_eq!(stores.certificate(1).await.state, CertificateState::Unconfirmed);
    assert!(stores.store.device_find(&serial("B")).await.expect("a read").is_none());
}
