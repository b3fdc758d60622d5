//! What only one device may have: a proven key, a thing name, a thing.

use cvm_core::device::Device;
use cvm_core::id::{CertificateId, TokenMac};
use cvm_core::ports::{Change, CommitError, KeyOwner, KeyRule, ThingChange};
use cvm_core::time::Timestamp;

use super::given::{NOW, change, device, digest, key, serial, thing, vend};
use crate::Stores;

fn owning(device: &Device) -> Change {
    Change { keys: vec![KeyRule::Own(key(1))], ..change(device) }
}

fn owned_by(name: &str) -> KeyOwner {
    KeyOwner::Device(serial(name))
}

fn put(device: &Device) -> Option<ThingChange> {
    Some(ThingChange::Put(thing(device)))
}

fn sparing(device: &Device) -> Change {
    Change { keys: vec![KeyRule::NotOthers(key(1))], ..change(device) }
}

async fn owner(stores: &Stores) -> Option<KeyOwner> {
    stores.store.key_owner(&key(1)).await.expect("the read works")
}

/// It is this device's from now on.
pub async fn a_key_is_owned_from_the_commit_on(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    assert_eq!(owner(&stores).await, Some(owned_by("A")));
}

/// `NotOthers` only looks.
pub async fn a_key_that_nobody_owns_is_nobodys_after_not_others(stores: Stores) {
    stores.commit(sparing(&device("A"))).await;
    stores.commit(sparing(&device("B"))).await;
    assert_eq!(owner(&stores).await, None);
}

/// Put if absent: neither rule lets another device have it, and the owner stays.
pub async fn a_key_is_another_devices_for_ever(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    for refused in [owning(&device("B")), sparing(&device("B"))] {
        assert!(matches!(stores.refuse(refused).await, CommitError::KeyOwned));
    }
    assert_eq!(owner(&stores).await, Some(owned_by("A")));
    assert!(stores.store.device_find(&serial("B")).await.expect("a read").is_none());
}

/// The owner itself is not refused.
pub async fn owning_ones_own_key_again_changes_nothing(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    let read = stores.device("A").await;
    stores.commit(owning(&read)).await;
    let read = stores.device("A").await;
    stores.commit(sparing(&read)).await;
    assert_eq!(owner(&stores).await, Some(owned_by("A")));
}

/// The first to prove possession wins.
pub async fn of_concurrent_owners_of_one_key_one_wins(stores: Stores) {
    let changes = (0..32).map(|n| owning(&device(&format!("D-{n}")))).collect();
    let mut winners = Vec::new();
    for (n, answer) in stores.race(changes).await.into_iter().enumerate() {
        match answer {
            Ok(()) => winners.push(serial(&format!("D-{n}"))),
            Err(error) => assert!(matches!(error, CommitError::KeyOwned), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(owner(&stores).await, winners.pop().map(KeyOwner::Device));
}

fn named(serial_number: &str, thing_name: &str) -> Device {
    let thing_name = thing_name.parse().expect("a thing name");
    Device { thing_name, ..device(serial_number) }
}

/// Another device has the thing name.
pub async fn another_devices_thing_name_is_taken(stores: Stores) {
    stores.commit(change(&named("A", "T"))).await;
    let refused = stores.refuse(change(&named("B", "T"))).await;
    assert!(matches!(refused, CommitError::ThingNameTaken));
    let read = stores.device("A").await;
    stores.commit(change(&read)).await;
}

/// A tombstone has the thing name.
pub async fn a_tombstones_thing_name_is_taken(stores: Stores) {
    let deleted = Device { deleted_at: Some(NOW), ..named("A", "T") };
    stores.commit(change(&deleted)).await;
    let refused = stores.refuse(change(&named("B", "T"))).await;
    assert!(matches!(refused, CommitError::ThingNameTaken));
}

/// A name is a device's as long as its record says so.
pub async fn a_name_given_up_is_free(stores: Stores) {
    stores.commit(change(&named("A", "T"))).await;
    let renamed = Device { version: 1, ..named("A", "U") };
    stores.commit(change(&renamed)).await;
    stores.commit(change(&named("B", "T"))).await;
    let refused = stores.refuse(change(&named("C", "U"))).await;
    assert!(matches!(refused, CommitError::ThingNameTaken));
}

/// A name is one device's, whether it is somebody's serial number or not.
pub async fn a_name_that_is_a_serial_number_is_one_devices_too(stores: Stores) {
    let is_taken = |error| matches!(error, CommitError::ThingNameTaken);
    stores.commit(change(&named("A", "A"))).await;
    assert!(is_taken(stores.refuse(change(&named("B", "A"))).await), "its own device has it");
    stores.commit(change(&named("C", "D"))).await;
    assert!(is_taken(stores.refuse(change(&named("D", "D"))).await), "another has it");
    stores.commit(change(&Device { version: 1, ..named("A", "U") })).await;
    stores.commit(change(&named("B", "A"))).await;
    let back = change(&Device { version: 2, ..named("A", "A") });
    assert!(is_taken(stores.refuse(back.clone()).await), "it was given up, and another took it");
    stores.commit(change(&Device { version: 1, ..named("B", "B") })).await;
    stores.commit(back).await;
    assert_eq!(stores.device("A").await.thing_name.as_str(), "A");
}

/// One of many gets the name.
pub async fn of_concurrent_devices_with_one_thing_name_one_wins(stores: Stores) {
    let changes = (0..32).map(|n| change(&named(&format!("D-{n}"), "T"))).collect();
    let mut winners = 0;
    for answer in stores.race(changes).await {
        match answer {
            Ok(()) => winners += 1,
            Err(error) => assert!(matches!(error, CommitError::ThingNameTaken), "{error}"),
        }
    }
    assert_eq!(winners, 1);
}

/// The platform's entry is made if it is not there.
pub async fn a_thing_is_made_once(stores: Stores) {
    let first = device("A");
    stores.commit(Change { thing: put(&first), ..change(&first) }).await;
    let read = stores.device("A").await;
    let mut later = thing(&read);
    later.created_at = Timestamp(NOW.0 + 1);
    stores.commit(Change { thing: Some(ThingChange::Put(later)), ..change(&read) }).await;
}

/// Another device has the platform's entry of that name.
pub async fn the_thing_of_another_device_is_taken(stores: Stores) {
    let first = named("A", "T");
    stores.commit(Change { thing: put(&first), ..change(&first) }).await;
    stores.commit(change(&Device { version: 1, ..named("A", "U") })).await;
    let second = named("B", "T");
    let refused = Change { thing: put(&second), ..change(&second) };
    assert!(matches!(stores.refuse(refused).await, CommitError::ThingNameTaken));
}

/// A compromised key is nobody's, whosever it was, and no device can have it any more.
pub async fn a_compromised_key_is_nobodys_for_ever(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    let keys = vec![KeyRule::Compromise(key(1))];
    stores.commit(Change { keys, ..change(&stores.device("A").await) }).await;
    assert_eq!(owner(&stores).await, Some(KeyOwner::Compromised));
    for refused in [owning(&stores.device("A").await), sparing(&device("B"))] {
        assert!(matches!(stores.refuse(refused).await, CommitError::KeyOwned));
    }
    let keys = vec![KeyRule::ReleaseAll];
    stores.commit(Change { keys, ..change(&stores.device("A").await) }).await;
    assert_eq!(owner(&stores).await, Some(KeyOwner::Compromised), "it is not A's to release");
}

/// Where one of two keys is another's, neither becomes this device's.
pub async fn two_rules_hold_together_or_not_at_all(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    let keys = vec![KeyRule::Own(key(2)), KeyRule::NotOthers(key(1))];
    let refused = Change { keys, ..change(&device("B")) };
    assert!(matches!(stores.refuse(refused).await, CommitError::KeyOwned));
    assert_eq!(stores.store.key_owner(&key(2)).await.expect("a read"), None);
}

/// A device's keys are released together, and nobody else's.
pub async fn a_device_releases_its_keys_and_no_others(stores: Stores) {
    let of =
        |n: u64, name: &str| Change { keys: vec![KeyRule::Own(key(n))], ..change(&device(name)) };
    stores.commit(of(1, "A")).await;
    stores.commit(of(2, "B")).await;
    let keys = vec![KeyRule::ReleaseAll];
    stores.commit(Change { keys, ..change(&stores.device("A").await) }).await;
    assert_eq!(owner(&stores).await, None);
    let other = stores.store.key_owner(&key(2)).await.expect("a read");
    assert_eq!(other, Some(owned_by("B")));
}

/// What its owner released is anybody's, and then it is not the first one's to take back.
pub async fn a_released_key_may_become_anothers(stores: Stores) {
    stores.commit(Change { keys: owning(&device("A")).keys, ..vend(1, &device("A")) }).await;
    let keys = vec![KeyRule::ReleaseAll];
    stores.commit(Change { keys, ..change(&stores.device("A").await) }).await;
    let holder = async || {
        let found = stores.store.holding_find(&CertificateId(digest(1))).await.expect("a read");
        found.expect("the certificate is there").key_owner
    };
    assert_eq!(holder().await, None);
    stores.commit(sparing(&device("C"))).await;
    stores.commit(owning(&device("B"))).await;
    assert_eq!(owner(&stores).await, Some(owned_by("B")));
    assert_eq!(holder().await, Some(owned_by("B")));
    for refused in [owning(&stores.device("A").await), sparing(&stores.device("C").await)] {
        assert!(matches!(stores.refuse(refused).await, CommitError::KeyOwned));
    }
}

/// A release ends what was owned before it, and nothing after it.
pub async fn a_key_that_is_owned_again_after_its_release_is_owned(stores: Stores) {
    stores.commit(owning(&device("A"))).await;
    let keys = vec![KeyRule::ReleaseAll];
    stores.commit(Change { keys, ..change(&stores.device("A").await) }).await;
    stores.commit(owning(&stores.device("A").await)).await;
    assert_eq!(owner(&stores).await, Some(owned_by("A")));
    assert!(matches!(stores.refuse(owning(&device("B"))).await, CommitError::KeyOwned));
}

/// A renewal with the key whose first use it is.
pub async fn two_rules_may_be_about_one_key(stores: Stores) {
    let both = |device: &Device| {
        let keys = vec![KeyRule::NotOthers(key(1)), KeyRule::Own(key(1))];
        Change { keys, ..change(device) }
    };
    stores.commit(both(&device("A"))).await;
    assert_eq!(owner(&stores).await, Some(owned_by("A")));
    assert!(matches!(stores.refuse(both(&device("B"))).await, CommitError::KeyOwned));
}

/// The platform's entry is removed if it is this device's.
pub async fn a_thing_is_removed_by_its_device_only(stores: Stores) {
    let first = named("A", "T");
    stores.commit(Change { thing: put(&first), ..change(&first) }).await;
    let other = Device { version: 0, ..named("B", "U") };
    stores.commit(Change { thing: Some(ThingChange::Remove), ..change(&other) }).await;
    stores.commit(change(&Device { version: 1, ..named("A", "V") })).await;
    let taken = Change { thing: put(&named("C", "T")), ..change(&named("C", "T")) };
    assert!(matches!(stores.refuse(taken).await, CommitError::ThingNameTaken), "A has it still");
    stores.commit(change(&Device { version: 2, ..named("A", "T") })).await;
    let removed = Device { version: 3, ..named("A", "T") };
    stores.commit(Change { thing: Some(ThingChange::Remove), ..change(&removed) }).await;
    stores.commit(change(&Device { version: 4, ..named("A", "V") })).await;
    stores.commit(Change { thing: put(&named("C", "T")), ..change(&named("C", "T")) }).await;
}

/// A name is taken as long as its entry is another device's, also before anything is issued.
pub async fn a_thing_that_was_left_behind_takes_its_name(stores: Stores) {
    let first = named("A", "T");
    stores.commit(Change { thing: put(&first), ..change(&first) }).await;
    stores.commit(change(&Device { version: 1, ..named("A", "U") })).await;
    let refused = change(&named("B", "T"));
    assert!(matches!(stores.refuse(refused).await, CommitError::ThingNameTaken));
    let removed = Device { version: 2, ..named("A", "U") };
    stores.commit(Change { thing: Some(ThingChange::Remove), ..change(&removed) }).await;
    let refused = change(&named("B", "T"));
    assert!(
        matches!(stores.refuse(refused).await, CommitError::ThingNameTaken),
        "T is there still"
    );
    stores.commit(change(&named("B", "V"))).await;
}

/// A token without a slot is remembered, for its device only.
pub async fn a_spent_token_is_spent_for_its_device(stores: Stores) {
    let mac = TokenMac([7; 32]);
    let spent = async |name: &str, mac: TokenMac| {
        stores.store.token_is_spent(&serial(name), &mac).await.expect("a read")
    };
    assert!(!spent("A", mac).await);
    stores.commit(Change { spent_tokens: vec![mac], ..change(&device("A")) }).await;
    assert!(spent("A", mac).await);
    assert!(!spent("B", mac).await);
    assert!(!spent("A", TokenMac([8; 32])).await);
    stores.commit(Change { spent_tokens: vec![mac], ..change(&stores.device("A").await) }).await;
}
