//! What the sweeper is given: due devices, and claims to a key that another device has proven.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Device, Ended, SealedKey};
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change};
use cvm_core::time::Timestamp;

use super::given::{NOW, certificate, change, device, digest, full_device, key, serial, vend};
use crate::Stores;

/// A device whose sealed key is answered until `until`.
fn sealed(name: &str, until: Timestamp) -> Device {
    let full = full_device(name);
    let sealed = full.sealed.map(|key| SealedKey { until, ..key });
    Device { sealed, disabled: false, deleted_at: None, ..full }
}

/// From the second after its time on, in order, and not before; and no longer once it is done.
pub async fn devices_are_due_from_their_time_on(stores: Stores) {
    stores.commit(change(&device("D-none"))).await;
    for (name, wait) in [("D-later", 20), ("D-soon", 10)] {
        stores.commit(change(&sealed(name, Timestamp(NOW.0 + wait)))).await;
    }
    let due = async |at: i64| {
        let found = stores.catalogue.due_devices(Timestamp(NOW.0 + at)).await;
        found.expect("the read works").iter().map(ToString::to_string).collect::<Vec<_>>()
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
    let due = stores.catalogue.due_devices(Timestamp(NOW.0 + 1)).await.expect("the read works");
    assert_eq!(due.len(), 100);
}

/// Every device with an unconfirmed certificate for the key, once.
pub async fn claims_are_the_unconfirmed_certificates_of_a_key(stores: Stores) {
    for (n, name) in [(1, "D-1"), (2, "D-2"), (3, "D-3")] {
        let device = device(name);
        let mut record = certificate(n, &device);
        record.key = key(u64::from(n == 3));
        if n == 2 {
            record.state = CertificateState::Current;
        }
        let insert = CertificateChange::Insert(Box::new(record));
        stores.commit(Change { certificates: vec![insert], ..change(&device) }).await;
    }
    let claims = stores.catalogue.claims_of(&key(0)).await.expect("the read works");
    assert_eq!(claims, [serial("D-1")]);
    let nobody = stores.catalogue.claims_of(&key(9)).await.expect("the read works");
    assert_eq!(nobody, []);
}

/// Confirmed or ended, a certificate claims nothing any more.
pub async fn a_claim_ends_with_its_certificate(stores: Stores) {
    let (one, two) = (device("D-1"), device("D-2"));
    stores.commit(vend(1, &one)).await;
    stores.commit(vend(2, &two)).await;
    let ended = Ended {
        id: CertificateId(digest(1)),
        state: CertificateState::Revoked,
        reason: Some(Reason::Superseded),
    };
    let end = Change {
        certificates: vec![CertificateChange::End(ended, NOW)],
        ..change(&stores.device("D-1").await)
    };
    stores.commit(end).await;
    let confirm = Change {
        certificates: vec![CertificateChange::Confirm(CertificateId(digest(2)), NOW)],
        ..change(&stores.device("D-2").await)
    };
    stores.commit(confirm).await;
    for n in [1, 2] {
        let claims = stores.catalogue.claims_of(&key(n)).await.expect("the read works");
        assert_eq!(claims, []);
    }
}
