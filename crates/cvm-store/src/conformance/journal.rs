//! The journal: numbered from 1 up for each writer, without a gap, in the commit of the change.

use cvm_core::journal::{EventClass, EventKind, JournalRow};
use cvm_core::operator::Actor;

use super::given::{change, device, event, vend};
use crate::Stores;

/// What is read is what was written, and the number.
pub async fn a_row_comes_back_whole(stores: Stores) {
    let full = event(&device("A"));
    let mut sparse = full.clone();
    (sparse.certificate, sparse.attempt, sparse.detail) = (None, None, String::new());
    sparse.actor = Actor::Operator(String::from("op-1"));
    for event in [&full, &sparse] {
        stores.journal.event_record(event.clone()).await.expect("the row is written");
    }
    let rows = stores.rows().await;
    for ((row, event), number) in rows.iter().zip([full, sparse]).zip(1..) {
        assert!(row.writer > 0 && row.writer < 1 << 63);
        let wanted = JournalRow {
            writer: row.writer,
            number,
            at: event.at,
            class: event.class.as_str().to_owned(),
            kind: event.kind.as_str().to_owned(),
            serial_number: event.serial_number.map(String::from).unwrap_or_default(),
            certificate: event.certificate,
            attempt: event.attempt,
            actor: event.actor.to_string(),
            detail: event.detail,
        };
        assert_eq!(*row, wanted);
    }
    assert_eq!(rows.len(), 2);
}

/// `event_record` writes a row for what changes no device.
pub async fn a_decision_is_recorded_without_a_change(stores: Stores) {
    let mut decision = event(&device("A"));
    decision.class = EventClass::Decision;
    decision.kind = EventKind::AnotherKeyRefused;
    stores.journal.event_record(decision).await.expect("the row is written");
    let classes: Vec<_> = stores.rows().await.into_iter().map(|row| row.class).collect();
    assert_eq!(classes, ["decision"]);
}

/// Once a change is acknowledged its rows are there, in their order.
pub async fn the_rows_of_a_change_are_in_its_commit(stores: Stores) {
    let mut change = change(&device("A"));
    let mut second = event(&change.device);
    second.kind = EventKind::CertificateKeyLost;
    change.events = vec![event(&change.device), second];
    stores.commit(change).await;
    let kinds: Vec<_> = stores.rows().await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["certificate-issued", "certificate-key-lost"]);
}

/// A refused change has written nothing, and takes no number.
pub async fn a_refused_change_has_no_row(stores: Stores) {
    stores.commit(vend(1, &device("A"))).await;
    stores.refuse(vend(2, &device("A"))).await;
    stores.commit(vend(3, &device("B"))).await;
    let numbers: Vec<_> = stores.rows().await.into_iter().map(|row| row.number).collect();
    assert_eq!(numbers, [1, 2]);
}

/// Numbers are given once each, whoever writes at the same time.
pub async fn concurrent_rows_have_numbers_from_one_up_without_a_gap(stores: Stores) {
    let changes = (0..100).map(|n| vend(n, &device(&format!("D-{}", n / 2)))).collect();
    let written = stores.race(changes).await.into_iter().filter(Result::is_ok).count();
    let numbers: Vec<_> = stores.rows().await.into_iter().map(|row| row.number).collect();
    assert_eq!(written, 50);
    assert_eq!(numbers, (1..=50).collect::<Vec<u64>>());
}
