//! What a failing COMMIT and a full disk do: nothing acknowledged is lost, nothing unknown is
//! acknowledged, and the store goes on by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use cvm_core::ports::{CommitError, StoreError};
use cvm_store::conformance::given::{device, serial, vend};
use cvm_store::{Fault, Faults, Stores};

use super::gapless_journal;

fn open_with(directory: &Path) -> (Stores, Faults) {
    let faults = Faults::default();
    (cvm_store::open_with_faults("sqlite:cvm.db", directory, &faults).unwrap(), faults)
}

async fn until_ready(stores: &Stores) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = stores.store.ready().await {
        assert!(Instant::now() < deadline, "the store does not recover: {error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_unavailable(answer: &Result<(), CommitError>) -> bool {
    matches!(answer, Err(CommitError::Unavailable(_)))
}

fn vends(from: u64, count: u64) -> Vec<cvm_core::ports::Change> {
    (from..from + count).map(|n| vend(n, &device(&format!("D-{n}")))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_fails_for_all_its_members_and_leaves_void_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, faults) = open_with(directory.path());
    stores.commit(vend(0, &device("before"))).await;
    faults.set(Fault::CommitFails);
    let answers = stores.race(vends(100, 64)).await;
    assert!(answers.iter().all(is_unavailable));
    assert!(matches!(stores.store.ready().await, Err(StoreError::Unavailable(_))));

    faults.set(Fault::None);
    until_ready(&stores).await;
    for n in 100..164 {
        let found = stores.store.device_find(&serial(&format!("D-{n}"))).await.unwrap();
        assert!(found.is_none() && !stores.has_certificate(n).await);
    }
    stores.commit(vend(1, &device("after"))).await;
    let rows = gapless_journal(&stores).await;
    let named: Vec<_> = rows.iter().filter(|row| row.class != "void").collect();
    assert_eq!(named.len(), 2);
    assert!(rows.len() > 2, "the failed commit's numbers have void rows");
    assert!(rows.iter().all(|row| row.class != "void" || row.kind.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_outcome_is_lost_is_not_acknowledged_and_its_rows_are_not_voided() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, faults) = open_with(directory.path());
    faults.set(Fault::CommitLost);
    let answers = stores.race(vends(0, 64)).await;
    assert!(answers.iter().all(is_unavailable));

    faults.set(Fault::None);
    until_ready(&stores).await;
    let mut written = 0;
    for n in 0..64 {
        let found = stores.store.device_find(&serial(&format!("D-{n}"))).await.unwrap();
        assert_eq!(found.is_some(), stores.has_certificate(n).await);
        written += usize::from(found.is_some());
    }
    let rows = gapless_journal(&stores).await;
    assert!(written > 0);
    assert_eq!(rows.iter().filter(|row| row.class == "change").count(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_loses_nothing_and_space_heals_it() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, faults) = open_with(directory.path());
    for change in vends(0, 20) {
        stores.commit(change).await;
    }
    faults.set(Fault::Full);
    let mut written = 20;
    let told = loop {
        let name = format!("D-{written}");
        match stores.store.device_commit(vend(written, &device(&name))).await {
            Ok(()) => written += 1,
            Err(CommitError::Unavailable(why)) => break why.to_string(),
            Err(other) => panic!("{other}"),
        }
        assert!(written < 1_000, "the disk is never full");
    };
    assert!(told.contains("disk is full"), "{told}");

    faults.set(Fault::None);
    until_ready(&stores).await;
    for change in vends(1_000, 20) {
        stores.commit(change).await;
    }
    for n in (0..written).chain(1_000..1_020) {
        assert_eq!(stores.device(&format!("D-{n}")).await.version, 1);
        assert!(stores.has_certificate(n).await);
    }
    let rows = gapless_journal(&stores).await;
    let changes = rows.iter().filter(|row| row.class == "change").count();
    assert_eq!(u64::try_from(changes).unwrap(), written + 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_down_the_store_refuses_at_once_and_still_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, faults) = open_with(directory.path());
    stores.commit(vend(0, &device("A"))).await;
    faults.set(Fault::CommitFails);
    stores.refuse(vend(1, &device("B"))).await;
    for n in 2..200 {
        let refused = stores.refuse(vend(n, &device(&format!("D-{n}")))).await;
        assert!(matches!(refused, CommitError::Unavailable(_)));
        assert_eq!(stores.device("A").await.version, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_in_flight_need_less_than_a_sync_each() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, _faults) = open_with(directory.path());
    for round in 0..10 {
        let answers = stores.race(vends(round * 64, 64)).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    let (commits, writes) = (stores.counters.commits(), stores.counters.writes());
    assert_eq!(writes, 640);
    assert!(commits <= 320, "{commits} commits for {writes} writes");
}
