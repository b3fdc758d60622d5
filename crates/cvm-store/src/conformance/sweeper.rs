//! What the sweeper is given: due devices, and claims to a key that another device has proven.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Device, Moved, MovedBy, ReviewState, SealedKey};
use cvm_core::id::{AttemptCode, CertificateId};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{CertificateChange, Change};
use cvm_core::time::Timestamp;

use super::given::{
    NOW, certificate, change, device, digest, full_device, key, review, serial, vend,
};
use crate::Stores;

/// A device whose sealed key is answered until `until`.
fn sealed(name: &str, until: Timestamp) -> Device {
    let full = full_device(name);
    let sealed = full.sealed.map(|key| SealedKey { until, ..key });
    Device {
        sealed,
        contested: Vec::new(),
        reservation: None,
        owed: Vec::new(),
        disabled: false,
        deleted_at: None,
        ..full
    }
}

/// From the second after its time on, in order, and not before; and no longer once it is done.
pub async fn devices_are_due_from_their_time_on(stores: Stores) {
    stores.commit(change(&device("D-none"))).await;
    for (name, wait) in [("D-later", 20), ("D-soon", 10)] {
        stores.commit(change(&sealed(name, Timestamp(NOW.0 + wait)))).await;
    }
    let due = async |at: i64| {
        let found = stores.catalogue.due_devices(Timestamp(NOW.0 + at), None).await;
        let found = found.expect("the read works");
        found.iter().map(|due| due.serial_number.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due(10).await, Vec::<String>::new());
    assert_eq!(due(11).await, ["D-soon"]);
    assert_eq!(due(21).await, ["D-soon", "D-later"]);
    let swept = Device { sealed: None, ..stores.device("D-soon").await };
    stores.commit(change(&swept)).await;
    assert_eq!(due(21).await, ["D-later"]);
}

/// At most 100.
pub async fn no_more_devices_are_due_than_a_sweep_takes(stores: Stores) {
    for n in 0..101 {
        stores.commit(change(&sealed(&format!("D-{n}"), NOW))).await;
    }
    let now = Timestamp(NOW.0 + 1);
    let due = stores.catalogue.due_devices(now, None).await.expect("the read works");
    assert_eq!(due.len(), 100);
    let rest = stores.catalogue.due_devices(now, due.last()).await.expect("the read works");
    assert_eq!(rest.len(), 1);
    assert!(rest.iter().all(|one| !due.contains(one)));
}

/// Every device with a live certificate for the key, once.
pub async fn claims_are_the_live_certificates_of_a_key(stores: Stores) {
    for (n, name) in [(1, "D-1"), (2, "D-2"), (3, "D-3")] {
        let device = device(name);
        let mut record = certificate(n, &device);
        record.key = key(u64::from(n == 3));
        if n == 2 {
            record.state = CertificateState::Superseded;
        }
        let insert = CertificateChange::Insert(Box::new(record));
        stores.commit(Change { certificates: vec![insert], ..change(&device) }).await;
    }
    let claims = stores.catalogue.claims_of(&key(0)).await.expect("the read works");
    assert_eq!(claims, [serial("D-1")]);
    let nobody = stores.catalogue.claims_of(&key(9)).await.expect("the read works");
    assert_eq!(nobody, []);
}

/// A certificate claims its key as long as it lives, confirmed or not.
pub async fn a_claim_ends_with_its_certificate(stores: Stores) {
    let (one, two) = (device("D-1"), device("D-2"));
    stores.commit(vend(1, &one)).await;
    stores.commit(vend(2, &two)).await;
    let ended = Moved {
        id: CertificateId(digest(1)),
        state: CertificateState::Revoked,
        reason: Some(Reason::Superseded),
        by: MovedBy::Act,
    };
    let end = Change {
        certificates: vec![CertificateChange::Move(ended, NOW)],
        ..change(&stores.device("D-1").await)
    };
    stores.commit(end).await;
    let confirm = Change {
        certificates: vec![CertificateChange::Confirm(CertificateId(digest(2)), NOW)],
        ..change(&stores.device("D-2").await)
    };
    stores.commit(confirm).await;
    let claims = async |n: u64| stores.catalogue.claims_of(&key(n)).await.expect("the read works");
    assert_eq!(claims(1).await, []);
    assert_eq!(claims(2).await, [serial("D-2")]);
}

/// The device whose last review is called so, open or not; the list has the open ones only, in
/// order of their name.
pub async fn reviews_are_found_by_name_and_listed_while_open(stores: Stores) {
    let asked = |name: &str, n: u64, state: ReviewState| {
        let review = Some(review(n, state));
        change(&Device { review, ..device(name) })
    };
    stores.commit(asked("D-1", 3, ReviewState::Waiting)).await;
    stores.commit(asked("D-2", 1, ReviewState::Approved(NOW))).await;
    stores.commit(asked("D-3", 2, ReviewState::Denied)).await;
    stores.commit(change(&device("D-4"))).await;
    let by_name = async |n: u64| {
        let id = AttemptCode::from_random(n);
        stores.catalogue.reviewed_device(id).await.expect("the read works")
    };
    assert_eq!(by_name(3).await, Some(serial("D-1")));
    assert_eq!(by_name(2).await, Some(serial("D-3")));
    assert_eq!(by_name(9).await, None);
    let page = PageRequest { after: None, limit: 1 };
    let first = stores.catalogue.review_page(&page).await.expect("the read works");
    let serials = |page: Page<Device>| -> Vec<_> {
        page.items.into_iter().map(|device| device.serial_number).collect()
    };
    let next = first.next.clone();
    assert_eq!(serials(first), [serial("D-2")]);
    let rest = PageRequest { after: next, limit: 9 };
    let rest = stores.catalogue.review_page(&rest).await.expect("the read works");
    assert_eq!(serials(rest), [serial("D-1")]);
    let closed = Device { review: None, ..stores.device("D-1").await };
    stores.commit(change(&closed)).await;
    assert_eq!(by_name(3).await, None);
}
