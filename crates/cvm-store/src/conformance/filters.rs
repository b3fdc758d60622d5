//! Filtered lists: which devices they have, in which order, and what became of those that moved.

use cvm_core::certificate::CertificateState;
use cvm_core::device::{Device, DeviceFilter, DeviceState, LiveCertificate};
use cvm_core::page::PageRequest;
use cvm_core::ports::Due;
use cvm_core::time::Timestamp;

use super::given::{NOW, change, device, full_device};
use crate::Stores;

const REGISTERED: DeviceFilter = DeviceFilter::State(DeviceState::Registered);
const ISSUED: DeviceFilter = DeviceFilter::State(DeviceState::Issued);
const ACTIVE: DeviceFilter = DeviceFilter::State(DeviceState::Active);
const DELETED: DeviceFilter = DeviceFilter::State(DeviceState::Deleted);

fn after(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

/// A device that was registered so many seconds later.
fn registered(name: &str, seconds: i64) -> Device {
    Device { created_at: after(seconds), ..device(name) }
}

/// A device with a certificate in this state, which ends so many seconds later.
fn holding(name: &str, state: CertificateState, seconds: i64) -> Device {
    let live = full_device(name).live.into_iter();
    let live = live.map(|live| LiveCertificate { state, not_after: after(seconds), ..live });
    Device { live: live.collect(), ..device(name) }
}

fn issued(name: &str, seconds: i64) -> Device {
    holding(name, CertificateState::Unconfirmed, seconds)
}

fn active(name: &str, seconds: i64) -> Device {
    holding(name, CertificateState::Current, seconds)
}

fn deleted(name: &str, seconds: i64) -> Device {
    Device { deleted_at: Some(after(seconds)), ..device(name) }
}

/// One device of each state, and a disabled one of each.
async fn one_of_each(stores: &Stores) {
    for (disabled, letter) in [(false, "E"), (true, "D")] {
        let name = |state| format!("{letter}-{state}");
        for device in [
            registered(&name("registered"), 0),
            issued(&name("issued"), 0),
            active(&name("active"), 0),
            deleted(&name("deleted"), 0),
        ] {
            stores.commit(change(&Device { disabled, ..device })).await;
        }
    }
}

/// All that the list has, two a page.
async fn walk(stores: &Stores, filter: DeviceFilter) -> Vec<String> {
    let mut request = PageRequest { after: None, limit: 2 };
    let mut names = Vec::new();
    loop {
        let page = stores.catalogue.device_page_where(filter, &request).await;
        let page = page.expect("the read works");
        assert!(page.items.len() <= 2, "a page has more than its limit");
        assert!(page.next.is_none() || page.items.len() == 2, "a page that goes on is full");
        names.extend(page.items.iter().map(|device| device.serial_number.to_string()));
        request.after = page.next;
        if request.after.is_none() {
            return names;
        }
    }
}

/// Those whose stored record is in the state, disabled or not.
pub async fn a_filtered_list_has_the_devices_of_a_state(stores: Stores) {
    one_of_each(&stores).await;
    for state in DeviceState::ALL {
        let wanted = ["D", "E"].map(|letter| format!("{letter}-{}", state.as_str()));
        let mut found = walk(&stores, DeviceFilter::State(state)).await;
        found.sort();
        assert_eq!(found, wanted);
    }
}

/// In order of [`Device::listed_at`], and of the bytes of the serial number where that is the same.
pub async fn a_filtered_list_is_in_order_of_its_place(stores: Stores) {
    for (make, filter) in
        [(issued as fn(&str, i64) -> Device, ISSUED), (active, ACTIVE), (deleted, DELETED)]
    {
        let kind = walk(&stores, filter).await;
        assert_eq!(kind, Vec::<String>::new());
        for (name, seconds) in [("b", 7), ("a:1", 7), ("c", -7), ("B", 7), ("a", 90_000)] {
            let name = format!("{filter:?}-{name}").replace(['(', ')'], "-");
            stores.commit(change(&make(&name, seconds))).await;
        }
        let names = walk(&stores, filter).await;
        let ends: Vec<_> =
            names.iter().map(|name| name.rsplit('-').next().unwrap_or_default()).collect();
        assert_eq!(ends, ["c", "B", "a:1", "b", "a"], "{filter:?}");
    }
}

/// Those of one second in an order of the store's, which stays the same.
pub async fn registered_devices_are_in_the_order_in_which_they_were(stores: Stores) {
    for (name, seconds) in [("c", 0), ("B", 1), ("b", 1), ("a", 1), ("0", 2)] {
        stores.commit(change(&registered(name, seconds))).await;
    }
    let first = walk(&stores, REGISTERED).await;
    assert_eq!((first.first(), first.last()), (Some(&"c".into()), Some(&"0".into())));
    let back = Device { version: 1, ..issued("B", 10) };
    stores.commit(change(&back)).await;
    stores.commit(change(&Device { version: 2, ..registered("B", 1) })).await;
    assert_eq!(walk(&stores, REGISTERED).await, first, "who comes back has the same place");
}

/// Whatever lies between them that is registered no more.
pub async fn registered_devices_are_found_among_many_that_are_so_no_more(stores: Stores) {
    let name = |n: i64| format!("D-{n:04}");
    let all = (0..1_100).map(|n| change(&registered(&name(n), n))).collect();
    assert!(stores.store.devices_commit(all).await.iter().all(Result::is_ok));
    let waiting = [0, 254, 255, 256, 257, 1_022, 1_023, 1_099];
    let move_on = |n| change(&Device { version: 1, ..issued(&name(n), 10) });
    let moved = (0..1_100).filter(|n| !waiting.contains(n)).map(move_on).collect();
    assert!(stores.store.devices_commit(moved).await.iter().all(Result::is_ok));
    assert_eq!(walk(&stores, REGISTERED).await, waiting.map(name));
}

/// What was there from the beginning and stays comes exactly once, whatever comes meanwhile.
pub async fn a_filtered_walk_is_complete_while_devices_come(stores: Stores) {
    for n in 0..20 {
        stores.commit(change(&registered(&format!("D-{n:02}"), n / 5))).await;
    }
    let mut request = PageRequest { after: None, limit: 3 };
    let mut seen = Vec::new();
    for n in 0.. {
        let page = stores.catalogue.device_page_where(REGISTERED, &request).await;
        let page = page.expect("the read works");
        seen.extend(page.items.into_iter().map(|device| device.serial_number.to_string()));
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
        stores.commit(change(&registered(&format!("A-new-{n}"), 0))).await;
        stores.commit(change(&registered(&format!("Z-new-{n}"), 3))).await;
    }
    let old: Vec<_> = seen.iter().filter(|name| !name.contains("new")).cloned().collect();
    assert_eq!(old, (0..20).map(|n| format!("D-{n:02}")).collect::<Vec<_>>());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "nothing comes twice");
    assert!(count > 20, "what came behind the walk is met by it");
}

/// A start that is no place has nothing after it.
pub async fn a_place_that_no_list_can_have_ends_a_filtered_list(stores: Stores) {
    stores.commit(change(&device("A"))).await;
    let request = PageRequest { after: Some(String::from("A")), limit: 3 };
    let page = stores.catalogue.device_page_where(REGISTERED, &request).await;
    let page = page.expect("the read works");
    assert!(page.items.is_empty() && page.next.is_none());
}

/// What a commit moved is on the new list and no longer on the old one, at its new place.
pub async fn a_record_that_moves_is_listed_where_it_is(stores: Stores) {
    stores.commit(change(&active("D-1", 50))).await;
    stores.commit(change(&registered("D-0", 0))).await;
    let lists = async || {
        let mut lists = Vec::new();
        for filter in [REGISTERED, ISSUED, ACTIVE, DELETED, DeviceFilter::Disabled] {
            lists.push(walk(&stores, filter).await.join(" "));
        }
        lists
    };
    let version = |n, device: Device| change(&Device { version: n, ..device });
    assert_eq!(lists().await, ["D-0", "", "D-1", "", ""]);
    stores.commit(version(1, issued("D-0", 10))).await;
    assert_eq!(lists().await, ["", "D-0", "D-1", "", ""]);
    stores.commit(version(2, active("D-0", 10))).await;
    assert_eq!(lists().await, ["", "", "D-0 D-1", "", ""]);
    stores.commit(version(3, active("D-0", 100))).await;
    assert_eq!(lists().await, ["", "", "D-1 D-0", "", ""]);
    stores.commit(version(4, Device { disabled: true, ..active("D-0", 100) })).await;
    assert_eq!(lists().await, ["", "", "D-1 D-0", "", "D-0"]);
    stores.commit(version(5, deleted("D-0", 1))).await;
    assert_eq!(lists().await, ["", "", "D-1", "D-0", ""]);
    let moved = version(1, issued("D-1", 9));
    assert!(stores.store.device_commit(version(9, issued("D-1", 9))).await.is_err());
    assert_eq!(lists().await, ["", "", "D-1", "D-0", ""], "what is refused moves nothing");
    stores.commit(moved).await;
    assert_eq!(lists().await, ["", "D-1", "", "D-0", ""]);
}

/// In order of their serial number.
pub async fn disabled_devices_are_listed_whatever_their_state(stores: Stores) {
    one_of_each(&stores).await;
    let wanted = ["D-active", "D-deleted", "D-issued", "D-registered"];
    assert_eq!(walk(&stores, DeviceFilter::Disabled).await, wanted);
    let enabled = Device { disabled: false, ..stores.device("D-issued").await };
    stores.commit(change(&enabled)).await;
    assert_eq!(walk(&stores, DeviceFilter::Disabled).await, [wanted[0], wanted[1], wanted[3]]);
}

/// Both ends of the span belong to it; soonest first.
pub async fn expiring_devices_are_the_active_ones_whose_end_is_in_the_span(stores: Stores) {
    for (name, seconds) in [("D-4", 40), ("D-2", 20), ("D-1", 9), ("D-3", 10), ("D-5", 41)] {
        stores.commit(change(&active(name, seconds))).await;
    }
    stores.commit(change(&issued("D-issued", 20))).await;
    stores.commit(change(&deleted("D-deleted", 20))).await;
    let span = |from, until| DeviceFilter::Expiring { from: after(from), until: after(until) };
    assert_eq!(walk(&stores, span(10, 40)).await, ["D-3", "D-2", "D-4"]);
    assert_eq!(walk(&stores, span(42, 90)).await, Vec::<String>::new());
}

/// Whose certificate has more than its last second behind it, soonest first.
pub async fn outlived_devices_are_issued_or_active_ones_whose_end_is_over(stores: Stores) {
    stores.commit(change(&registered("D-registered", -5))).await;
    stores.commit(change(&deleted("D-deleted", -5))).await;
    for device in [active("D-2", 20), issued("D-1", 10), active("D-3", 30), issued("D-4", 20)] {
        stores.commit(change(&device)).await;
    }
    let outlived = async |seconds, after: Option<&Due>| {
        let found = stores.catalogue.outlived_devices(Timestamp(NOW.0 + seconds), after).await;
        found.expect("the read works")
    };
    let names = |found: &[Due]| -> Vec<String> {
        found.iter().map(|due| due.serial_number.to_string()).collect()
    };
    assert_eq!(outlived(10, None).await, []);
    let all = outlived(31, None).await;
    assert_eq!(names(&all), ["D-1", "D-2", "D-4", "D-3"]);
    assert_eq!(all.first().map(|due| due.at), Some(after(10)));
    assert_eq!(names(&outlived(31, all.get(1)).await), ["D-4", "D-3"]);
    assert_eq!(names(&outlived(30, all.get(1)).await), ["D-4"]);
}

/// At most 100.
pub async fn no_more_devices_are_outlived_than_a_sweep_takes(stores: Stores) {
    for n in 0..101 {
        let make = if n % 2 == 0 { active } else { issued };
        stores.commit(change(&make(&format!("D-{n:03}"), 0))).await;
    }
    let outlived = stores.catalogue.outlived_devices(after(1), None).await;
    let outlived = outlived.expect("the read works");
    assert_eq!(outlived.len(), 100);
    let rest = stores.catalogue.outlived_devices(after(1), outlived.last()).await;
    let rest = rest.expect("the read works");
    assert_eq!(rest.len(), 1);
    assert!(rest.iter().all(|one| !outlived.contains(one)));
}
