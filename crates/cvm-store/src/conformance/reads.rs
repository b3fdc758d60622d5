//! What decisions are made from: reads see every commit that was acknowledged before them.

use cvm_core::id::CertificateId;
use cvm_core::ports::{Change, KeyRule};

use super::given::{certificate, change, device, digest, key, serial, vend};
use crate::Stores;

/// Nothing is no error.
pub async fn what_is_not_there_is_none(stores: Stores) {
    let store = &stores.store;
    assert!(store.device_find(&serial("A")).await.expect("a read").is_none());
    assert!(store.holding_find(&CertificateId(digest(1))).await.expect("a read").is_none());
    assert!(store.key_owner(&key(1)).await.expect("a read").is_none());
    assert!(stores.catalogue.certificates_of(&serial("A")).await.expect("a read").is_empty());
}

/// The certificate's row, its device's record, and who owns its key.
pub async fn a_holding_has_the_certificate_its_device_and_the_keys_owner(stores: Stores) {
    let fresh = device("A");
    stores.commit(vend(1, &fresh)).await;
    let id = CertificateId(digest(1));
    let find = || stores.store.holding_find(&id);
    let holding = find().await.expect("a read").expect("the certificate is there");
    assert_eq!(holding.certificate, certificate(1, &fresh));
    assert_eq!(holding.device, stores.device("A").await);
    assert_eq!(holding.key_owner, None);

    stores.commit(Change { keys: vec![KeyRule::Own(key(1))], ..change(&device("B")) }).await;
    let holding = find().await.expect("a read").expect("the certificate is there");
    assert_eq!(holding.key_owner, Some(cvm_core::ports::KeyOwner::Device(serial("B"))));
}

/// Every commit that was acknowledged before the read, by whatever task.
pub async fn reads_see_what_was_acknowledged_before_them(stores: Stores) {
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let stores = stores.clone();
            tokio::spawn(async move {
                let name = format!("D-{task}");
                stores.commit(change(&device(&name))).await;
                for version in 1..40 {
                    let read = stores.device(&name).await;
                    assert_eq!(read.version, version);
                    stores.commit(vend(task * 1_000 + version, &read)).await;
                    assert!(stores.has_certificate(task * 1_000 + version).await);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("each read sees its commit");
    }
}
