//! Lists: in order of their key, from a key on, up to a limit.

use cvm_core::journal::JournalRow;
use cvm_core::page::PageRequest;
use cvm_core::policy::Policy;
use cvm_core::time::Timestamp;

use super::given::{NOW, certificate, change, device, event, policy_event, serial, vend};
use crate::Stores;

/// Walks a list to its end, three items a page, and returns the keys.
macro_rules! walk {
    ($port:expr, $page:ident, $key:expr) => {{
        let mut request = PageRequest { after: None, limit: 3 };
        let mut keys = Vec::new();
        loop {
            let page = $port.$page(&request).await.expect("the read works");
            assert!(page.items.len() <= 3, "a page has more than its limit");
            keys.extend(page.items.iter().map($key));
            request.after = page.next;
            if request.after.is_none() {
                break keys;
            }
        }
    }};
}

/// Serial numbers are compared byte for byte.
pub async fn devices_are_in_byte_order_of_their_serial_number(stores: Stores) {
    for name in ["b", "a", "B", "a-1", "10", "9", "a:1"] {
        stores.commit(change(&device(name))).await;
    }
    let keys = walk!(stores.catalogue, device_page, |d| d.serial_number.to_string());
    assert_eq!(keys, ["10", "9", "B", "a", "a-1", "a:1", "b"]);
}

/// At most so many items; the last page says that it is the last.
pub async fn a_page_has_no_more_than_its_limit(stores: Stores) {
    for n in 0..4 {
        stores.commit(change(&device(&format!("D-{n}")))).await;
    }
    for (limit, wanted, next) in
        [(1, 1, Some("D-0")), (3, 3, Some("D-2")), (4, 4, None), (9, 4, None)]
    {
        let request = PageRequest { after: None, limit };
        let page = stores.catalogue.device_page(&request).await.expect("the read works");
        assert_eq!((page.items.len(), page.next.as_deref()), (wanted, next));
    }
}

/// What was there from the beginning comes exactly once, whatever comes meanwhile.
pub async fn a_walk_is_complete_and_without_duplicates_while_devices_come(stores: Stores) {
    for n in 0..20 {
        stores.commit(change(&device(&format!("D-{n:02}")))).await;
    }
    let mut request = PageRequest { after: None, limit: 3 };
    let mut seen = Vec::new();
    for n in 0.. {
        let page = stores.catalogue.device_page(&request).await.expect("the read works");
        seen.extend(page.items.into_iter().map(|device| device.serial_number.to_string()));
        if page.next.is_none() {
            break;
        }
        request.after = page.next;
        for place in ["A", "D-10"] {
            stores.commit(change(&device(&format!("{place}-new-{n}")))).await;
        }
    }
    let old: Vec<_> = seen.iter().filter(|name| !name.contains("new")).cloned().collect();
    let wanted: Vec<_> = (0..20).map(|n| format!("D-{n:02}")).collect();
    assert_eq!(old, wanted);
    assert!(seen.is_sorted());
    seen.dedup();
    assert!(seen.len() > 20, "what came behind the walk is met by it");
}

/// In order of their id.
pub async fn certificates_are_in_order_of_their_id(stores: Stores) {
    for n in [5_u64, 1, 9, 3, 7, 2, 300] {
        stores.commit(vend(n, &device(&format!("D-{n}")))).await;
    }
    let keys = walk!(stores.catalogue, certificate_page, |row| row.serial_number.to_string());
    assert_eq!(keys, ["D-1", "D-2", "D-3", "D-5", "D-7", "D-9", "D-300"]);
}

/// Every certificate that the device ever had, oldest first.
pub async fn a_devices_certificates_are_oldest_first(stores: Stores) {
    stores.commit(vend(100, &device("B"))).await;
    stores.commit(change(&device("A"))).await;
    for (n, second) in [(5, 10), (3, 20), (9, 20), (1, 5)] {
        let read = stores.device("A").await;
        let mut row = certificate(n, &read);
        row.issued_at = Timestamp(NOW.0 + second);
        let mut change = change(&read);
        change.certificates = vec![cvm_core::ports::CertificateChange::Insert(Box::new(row))];
        stores.commit(change).await;
    }
    let rows = stores.catalogue.certificates_of(&serial("A")).await.expect("the read works");
    let read = stores.device("A").await;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 5, 3, 9].map(|n| certificate(n, &read).id));
}

/// In order of their name.
pub async fn policies_are_in_order_of_their_name(stores: Stores) {
    for name in ["d", "a", "c", "b"] {
        let name = name.parse().expect("a name");
        let policy = Policy { name, document: String::from("{}"), updated_at: NOW };
        stores.policies.policy_put(policy, policy_event()).await.expect("the policy is written");
    }
    let keys = walk!(stores.policies, policy_page, |policy| policy.name.to_string());
    assert_eq!(keys, ["a", "b", "c", "d"]);
}

/// In order of writer and number, where 10 comes after 9.
pub async fn the_journal_is_in_order_of_writer_and_number(stores: Stores) {
    for _ in 0..12 {
        stores.journal.event_record(event(&device("A"))).await.expect("the row is written");
    }
    let keys = walk!(stores.journal, journal_page, |row: &JournalRow| row.number);
    assert_eq!(keys, (1..=12).collect::<Vec<u64>>());
}

/// A start that is no key of the list has nothing after it.
pub async fn a_key_that_the_list_cannot_have_ends_it(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    let request = PageRequest { after: Some(String::from("not a key")), limit: 3 };
    let certificates = stores.catalogue.certificate_page(&request).await.expect("a read");
    let rows = stores.journal.journal_page(&request).await.expect("a read");
    assert!(certificates.items.is_empty() && certificates.next.is_none());
    assert!(rows.items.is_empty() && rows.next.is_none());
}
