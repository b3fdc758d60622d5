//! `Store::devices_find` and `Store::devices_commit`: as one by one, in order.

use cvm_core::device::Device;
use cvm_core::ports::{Change, CommitError};

use super::given::{change, device, serial, vend};
use crate::Stores;

/// More than any store writes in one commit.
const MANY: u64 = 700;

/// Each change has its own answer at its own place, and one that is refused changes nothing of the
/// others.
pub async fn each_of_many_changes_has_its_own_answer_at_its_place(stores: Stores) {
    stores.commit(change(&device("taken"))).await;
    let changes = (0..MANY).map(|n| {
        let mut fresh = device(&format!("D-{n}"));
        match n % 7 {
            3 => fresh.version = 9,
            5 => fresh.thing_name = "taken".parse().expect("a thing name"),
            _ => {}
        }
        vend(n, &fresh)
    });
    let answers = stores.store.devices_commit(changes.collect()).await;
    assert_eq!(answers.len() as u64, MANY);
    let mut written = 0;
    for (n, answer) in (0..MANY).zip(answers) {
        let is_written = match (n % 7, answer) {
            (3, Err(CommitError::Conflict)) | (5, Err(CommitError::ThingNameTaken)) => false,
            (0 | 1 | 2 | 4 | 6, Ok(())) => true,
            (_, other) => return assert_eq!(format!("{other:?}"), "", "change {n}"),
        };
        written += usize::from(is_written);
        let found = stores.store.device_find(&serial(&format!("D-{n}"))).await.expect("a read");
        assert_eq!(found.map(|found| found.version), is_written.then_some(1), "D-{n}");
        assert_eq!(stores.has_certificate(n).await, is_written);
    }
    let rows = stores.rows().await;
    assert_eq!(rows.len(), written);
    let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=written as u64).collect::<Vec<_>>());
}

/// It sees what those before it wrote.
pub async fn each_of_many_changes_sees_what_those_before_it_wrote(stores: Stores) {
    let mut changes: Vec<Change> = Vec::new();
    for n in 0..MANY {
        let first = device(&format!("D-{n}"));
        let namesake = Device { thing_name: first.thing_name.clone(), ..device(&format!("E-{n}")) };
        let next = Device { version: 1, disabled: true, ..first.clone() };
        changes.extend([&first, &first, &namesake, &next].map(change));
    }
    let answers = stores.store.devices_commit(changes).await;
    assert_eq!(answers.len() as u64, 4 * MANY);
    for (n, answers) in answers.chunks(4).enumerate() {
        let [Ok(()), Err(CommitError::Conflict), Err(CommitError::ThingNameTaken), Ok(())] =
            answers
        else {
            return assert_eq!(format!("{answers:?}"), "", "the changes of D-{n}");
        };
        let written = stores.device(&format!("D-{n}")).await;
        assert_eq!((written.version, written.disabled), (2, true));
    }
}

/// Records come in the order in which they are asked for, each as when it is asked for alone.
pub async fn many_records_come_in_the_order_in_which_they_are_asked_for(stores: Stores) {
    for n in (0..MANY).step_by(2) {
        stores.commit(change(&device(&format!("D-{n}")))).await;
    }
    let asked: Vec<_> = (0..MANY).rev().chain(0..9).map(|n| serial(&format!("D-{n}"))).collect();
    let found = stores.store.devices_find(asked.clone()).await;
    assert_eq!(found.len(), asked.len());
    for (serial, found) in asked.iter().zip(found) {
        let alone = stores.store.device_find(serial).await.expect("a read");
        assert_eq!(found.expect("a read"), alone, "{}", serial.as_str());
    }
}

/// Nothing is asked for, and nothing comes.
pub async fn of_nothing_nothing_comes(stores: Stores) {
    assert!(stores.store.devices_find(Vec::new()).await.is_empty());
    assert!(stores.store.devices_commit(Vec::new()).await.is_empty());
    assert!(stores.rows().await.is_empty());
}
