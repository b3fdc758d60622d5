//! Calls that fail on their way, before and after they took effect: what was acknowledged is there,
//! what was refused is not, and the journal has no gap and nothing twice.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Moved, MovedBy};
use cvm_core::id::CertificateId;
use cvm_core::nonce::Nonce;
use cvm_core::ports::{CertificateChange, Change, CommitError, NonceUse};
use cvm_core::time::Timestamp;
use cvm_e2e::aws::{DynamoDbLocal, Fault, FaultProxy, Lasting};
use cvm_store::Stores;
use cvm_store::conformance::given::{NOW, change, device, digest, serial, vend};

use super::{Table, client, gapless_journal, open};

const TRANSACT: &str = "TransactWriteItems";
const PUT: &str = "PutItem";

/// A table that is reached directly, and through a proxy.
struct Bench {
    table: Table,
    proxy: FaultProxy,
    stores: Stores,
}

impl Bench {
    async fn new() -> Self {
        let table = Table::make().await;
        let upstream = DynamoDbLocal::shared().unwrap().endpoint();
        let proxy = FaultProxy::start(&[("dynamodb", &upstream)]).unwrap();
        let through = client(&proxy.endpoint("dynamodb").unwrap()).await;
        let stores = open(through, &table.name, 1);
        Self { table, proxy, stores }
    }

    /// What the table says, whatever the proxy does.
    fn truth(&self) -> Stores {
        self.table.open(1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_once_is_as_if_it_had_not_failed() {
    let bench = Bench::new().await;
    for (n, fault) in (0..).zip(Fault::ALL) {
        bench.proxy.clear();
        bench.proxy.fail_operation(TRANSACT, 0, fault, Lasting::Once);
        bench.stores.commit(vend(n, &device(&format!("D-{n}")))).await;
        assert_eq!(bench.proxy.struck(), 1, "{fault:?}");
        assert!(bench.truth().has_certificate(n).await, "{fault:?}");
    }
    assert_eq!(gapless_journal(&bench.truth()).await.len(), Fault::ALL.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answers_are_all_lost_is_known_by_its_row() {
    let bench = Bench::new().await;
    for (n, fault) in (0..).zip([Fault::AnswerLost, Fault::ErrorAfterEffect]) {
        bench.proxy.clear();
        bench.proxy.fail_operation(TRANSACT, 0, fault, Lasting::Onwards);
        bench.stores.commit(vend(n, &device(&format!("D-{n}")))).await;
        assert!(bench.truth().has_certificate(n).await, "{fault:?}");
    }
    assert_eq!(gapless_journal(&bench.truth()).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_never_arrives_is_told_as_that_and_its_number_is_void() {
    let bench = Bench::new().await;
    bench.proxy.fail_operation(TRANSACT, 0, Fault::NotSent, Lasting::Onwards);
    let refused = bench.stores.refuse(vend(1, &device("A"))).await;
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    bench.proxy.clear();
    assert!(bench.truth().store.device_find(&serial("A")).await.unwrap().is_none());
    bench.stores.commit(vend(1, &device("A"))).await;
    let rows = gapless_journal(&bench.truth()).await;
    let classes: Vec<_> = rows.iter().map(|row| row.class.as_str()).collect();
    assert_eq!(classes, ["void", "change"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_are_too_many_nothing_is_written_and_no_number_is_taken() {
    let bench = Bench::new().await;
    bench.proxy.fail_operation(TRANSACT, 0, Fault::Throttled, Lasting::Onwards);
    let refused = bench.stores.refuse(vend(1, &device("A"))).await;
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    assert!((2..=8).contains(&bench.proxy.struck()), "{} tries", bench.proxy.struck());
    bench.proxy.clear();
    bench.stores.commit(vend(1, &device("A"))).await;
    let rows = gapless_journal(&bench.truth()).await;
    let classes: Vec<_> = rows.iter().map(|row| row.class.as_str()).collect();
    assert_eq!(classes, ["change"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_arrives_nothing_is_written_and_then_all_goes_on() {
    let bench = Bench::new().await;
    bench.proxy.fail(0, Fault::NotSent, Lasting::Onwards);
    for _ in 0..2 {
        let refused = bench.stores.refuse(vend(1, &device("A"))).await;
        assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    }
    assert!(bench.stores.store.ready().await.is_err());
    bench.proxy.clear();
    bench.stores.store.ready().await.unwrap();
    bench.stores.commit(vend(1, &device("A"))).await;
    gapless_journal(&bench.truth()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nobody_waits_for_any_more_leaves_no_gap() {
    let bench = Bench::new().await;
    bench.proxy.fail_operation(TRANSACT, 0, Fault::Frozen, Lasting::Once);
    let store = bench.stores.store.clone();
    let gone = tokio::spawn(async move { store.device_commit(vend(1, &device("A"))).await });
    let frozen = bench.proxy.wait_frozen(std::time::Duration::from_secs(60));
    frozen.unwrap();
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    // Before the next row is written, it is settled that this one never will be.
    bench.stores.commit(vend(2, &device("B"))).await;
    bench.proxy.heal();
    bench.stores.commit(vend(3, &device("C"))).await;
    let rows = gapless_journal(&bench.truth()).await;
    let classes: Vec<_> = rows.iter().map(|row| row.class.as_str()).collect();
    assert_eq!(classes, ["void", "change", "change"]);
    assert!(bench.truth().store.device_find(&serial("A")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_tried_again_is_counted_once() {
    let bench = Bench::new().await;
    bench.stores.commit(vend(1, &device("A"))).await;
    let read = bench.stores.device("A").await;
    let ended = Moved {
        id: CertificateId(digest(1)),
        state: CertificateState::Revoked,
        reason: Some(Reason::KeyCompromise),
        by: MovedBy::Act,
    };
    let end = vec![CertificateChange::Move(ended, NOW)];
    bench.proxy.clear();
    bench.proxy.fail_operation(TRANSACT, 0, Fault::AnswerLost, Lasting::Once);
    bench.stores.commit(Change { certificates: end, ..change(&read) }).await;
    let row = bench.truth().certificate(1).await;
    let revoked = bench.truth().revocations.revoked_of(&row.issuer, 0x7F, Timestamp(0)).await;
    let revoked = revoked.unwrap();
    assert_eq!((revoked.changes, revoked.entries.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_whose_use_was_answered_late_is_first_used_then() {
    let bench = Bench::new().await;
    for (n, fault) in (0..).zip([Fault::AnswerLost, Fault::ErrorAfterEffect, Fault::Twice]) {
        bench.proxy.clear();
        bench.proxy.fail_operation(PUT, 0, fault, Lasting::Once);
        let nonce = Nonce::new(NOW, [n; 16]);
        let used = bench.stores.nonces.nonce_use(&nonce, NOW).await.unwrap();
        assert_eq!(used, NonceUse::First, "{fault:?}");
        let again = bench.stores.nonces.nonce_use(&nonce, NOW).await.unwrap();
        assert_eq!(again, NonceUse::Again, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vend_is_one_transaction_and_nothing_is_scanned() {
    let bench = Bench::new().await;
    bench.stores.commit(change(&device("A"))).await;
    bench.proxy.clear();
    let read = bench.stores.device("A").await;
    bench.stores.commit(vend(1, &read)).await;
    assert_eq!(calls(&bench.proxy), ["GetItem", TRANSACT]);
    bench.proxy.clear();
    assert!(bench.stores.has_certificate(1).await);
    assert_eq!(calls(&bench.proxy), ["GetItem", "TransactGetItems"]);
}

/// The operations by name.
fn calls(proxy: &FaultProxy) -> Vec<String> {
    let name = |call: String| call.rsplit(['.', ' ', '/']).next().unwrap_or_default().to_owned();
    proxy.calls().into_iter().map(name).collect()
}
