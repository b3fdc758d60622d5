//! CRLs over real stores: what is revoked is named from its commit on, and nobody buys more than
//! one signing with however many requests.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::{CertificateRecord, CertificateState, IssuerId};
use cvm_core::ports::{
    CertificateChange, Change, CommitError, NewCrl, Ports, Revocations, Revoked, StoreError,
    StoredCrl,
};
use cvm_core::profile::Profiles;
use cvm_core::provisioning::{Provisioning, Refusal};
use cvm_core::testing::{TestClock, TestIssuer, test_ports};
use cvm_core::time::{Span, Timestamp};
use cvm_store::conformance::given::{NOW, certificate, change, device};
use cvm_store::{MemoryStore, Stores};

/// The one CA of the fake signer.
const ISSUER: IssuerId = IssuerId([7; 20]);
const SHARD: u8 = 0x5A;
const HOUR: i64 = 3_600;

struct World {
    provisioning: Provisioning,
    ports: Ports,
    clock: Arc<TestClock>,
    issuer: Arc<TestIssuer>,
    store: Arc<MemoryStore>,
}

impl World {
    fn new() -> Self {
        Self::with(|ports| ports)
    }

    fn with(replace: impl FnOnce(Ports) -> Ports) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(TestClock::at(NOW));
        let issuer = Arc::new(TestIssuer::new(NOW.minus(Span::DAY)));
        let ports = replace(test_ports(&store, clock.clone(), issuer.clone()));
        let provisioning = provisioning(ports.clone());
        Self { provisioning, ports, clock, issuer, store }
    }

    /// Revokes a certificate of a device of its own, good for another hundred days.
    async fn revoke(&self, n: u64, serial: &[u8]) {
        revoke(&self.ports, n, serial, NOW.plus(Span(100 * Span::DAY.0))).await;
    }

    async fn ask(&self) -> Result<String, Refusal> {
        let found = self.provisioning.crl(&ISSUER, SHARD).await?;
        Ok(String::from_utf8(found.unwrap().der.to_vec()).unwrap())
    }

    async fn asked(&self) -> String {
        self.ask().await.unwrap()
    }

    fn wait(&self, hours: i64) {
        self.clock.set(NOW.plus(Span(hours * HOUR)));
    }
}

fn provisioning(ports: Ports) -> Provisioning {
    Provisioning::new(ports, Profiles::default(), "1000000/1s".parse().unwrap())
}

async fn revoke(ports: &Ports, n: u64, serial: &[u8], not_after: Timestamp) {
    let device = device(&format!("D-{n}"));
    let row = CertificateRecord {
        certificate_serial: serial.to_vec(),
        issuer: ISSUER,
        state: CertificateState::Revoked,
        not_after,
        ended_at: Some(NOW),
        ..certificate(n, &device)
    };
    let certificates = vec![CertificateChange::Insert(Box::new(row))];
    let change = Change { certificates, ..change(&device) };
    ports.store.device_commit(change).await.unwrap();
}

/// The list as the fake signer writes it.
fn list(number: i64, at: Timestamp, revoked: &str) -> String {
    format!("crl {number} of {at}: {revoked}")
}

fn stored(number: u64, this_update: Timestamp) -> NewCrl {
    NewCrl {
        issuer: ISSUER,
        shard: SHARD,
        number,
        this_update,
        next_update: this_update.plus(Span::DAY),
        url: format!("http://crl.example/{SHARD:02x}.crl"),
        changes: 0,
        der: Arc::from(*b"an older list"),
    }
}

#[tokio::test]
async fn a_list_is_signed_once_in_six_hours() {
    let world = World::new();
    let first = world.asked().await;
    assert_eq!(first, list(NOW.0, NOW, ""));
    world.clock.set(NOW.plus(Span(6 * HOUR - 1)));
    assert_eq!(world.asked().await, first);
    assert_eq!(world.issuer.signed(), 1);
    world.wait(6);
    let later = NOW.plus(Span(6 * HOUR));
    assert_eq!(world.asked().await, list(later.0, later, ""));
    assert_eq!(world.issuer.signed(), 2);
}

#[tokio::test]
async fn it_is_good_for_a_day_and_says_for_how_long_still() {
    let world = World::new();
    let valid_for =
        async || world.provisioning.crl(&ISSUER, SHARD).await.unwrap().unwrap().valid_for;
    assert_eq!(valid_for().await, Span::DAY);
    world.wait(5);
    assert_eq!(valid_for().await, Span(19 * HOUR));
    world.issuer.fail(true);
    world.wait(24);
    assert_eq!(valid_for().await, Span(0));
}

#[tokio::test]
async fn what_is_revoked_is_named_at_the_next_request() {
    let world = World::new();
    world.asked().await;
    world.revoke(1, &[SHARD, 1]).await;
    assert_eq!(world.asked().await, list(NOW.0 + 1, NOW, "5a01 "), "numbers rise");
    world.revoke(2, &[SHARD ^ 1, 1]).await;
    assert_eq!(world.asked().await, list(NOW.0 + 1, NOW, "5a01 "), "another shard");
    assert_eq!(world.issuer.signed(), 2);
}

#[tokio::test]
async fn a_ca_that_is_not_ours_has_no_list() {
    let world = World::new();
    assert!(world.provisioning.crl(&IssuerId([8; 20]), SHARD).await.unwrap().is_none());
    assert_eq!(world.issuer.signed(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_at_the_same_time_shares_one_signing() {
    let directory = tempfile::tempdir().unwrap();
    let stores = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap();
    let Stores { store, revocations, .. } = stores;
    let world = World::with(|ports| Ports { store, revocations, ..ports });
    let provisioning = Arc::new(provisioning(world.ports.clone()));
    for round in 1..=10 {
        world.revoke(round, &[SHARD, u8::try_from(round).unwrap()]).await;
        let ask = |_| {
            let provisioning = provisioning.clone();
            tokio::spawn(
                async move { provisioning.crl(&ISSUER, SHARD).await.unwrap().unwrap().der },
            )
        };
        let asking: Vec<_> = (0..16).map(ask).collect();
        let mut lists = Vec::new();
        for one in asking {
            lists.push(one.await.unwrap());
        }
        lists.dedup();
        assert_eq!(lists.len(), 1);
        assert_eq!(world.issuer.signed(), round);
    }
}

#[tokio::test]
async fn nothing_is_signed_by_a_clock_that_is_not_to_be_trusted() {
    let world = World::new();
    world.clock.trust(false);
    let refused = world.ask().await.unwrap_err();
    assert!(matches!(refused, Refusal::Unavailable { reason: "clock", .. }), "{refused:?}");
    world.clock.trust(true);
    let first = world.asked().await;
    world.clock.trust(false);
    world.wait(48);
    world.revoke(1, &[SHARD, 1]).await;
    assert_eq!(world.asked().await, first, "what there is");
    let swept = world.provisioning.sweep_crls().await;
    assert_eq!((swept.signed, swept.failed, world.issuer.signed()), (0, 0, 1));
}

#[tokio::test]
async fn while_the_signer_is_down_what_is_true_is_answered_and_nothing_else() {
    let world = World::new();
    let first = world.asked().await;
    world.issuer.fail(true);
    world.wait(24);
    assert_eq!(world.asked().await, first, "old, and true until its nextUpdate");
    world.clock.set(NOW.plus(Span(24 * HOUR + 1)));
    assert!(matches!(world.ask().await, Err(Refusal::Unavailable { .. })), "past it");
    world.wait(1);
    world.revoke(1, &[SHARD, 1]).await;
    assert!(matches!(world.ask().await, Err(Refusal::Unavailable { .. })), "stale");
    world.issuer.fail(false);
    assert!(world.asked().await.ends_with(": 5a01 "));
}

#[tokio::test]
async fn a_store_that_is_down_is_no_list() {
    let world = World::new();
    world.asked().await;
    world.store.fail();
    assert!(matches!(world.ask().await, Err(Refusal::Unavailable { .. })));
    assert_eq!(world.provisioning.sweep_crls().await.failed, 1);
}

#[tokio::test]
async fn what_expired_is_named_for_a_week_and_until_it_was_named_after_its_end() {
    let day = |count: i64| NOW.plus(Span(count * Span::DAY.0));
    let world = World::new();
    revoke(&world.ports, 1, &[SHARD, 1], day(1)).await;
    for (at, is_named) in [(0, true), (2, true), (8, true), (9, false)] {
        world.clock.set(day(at));
        assert_eq!(world.asked().await.contains("5a01"), is_named, "{at}");
    }
    revoke(&world.ports, 2, &[SHARD, 2], day(10)).await;
    assert!(world.asked().await.contains("5a02"));
    world.clock.set(day(100));
    assert!(world.asked().await.contains("5a02"), "off from before its end to now");
    world.clock.set(day(101));
    assert!(!world.asked().await.contains("5a02"));
}

#[tokio::test]
async fn a_list_of_another_place_or_from_the_future_is_signed_anew() {
    let later = NOW.plus(Span::DAY);
    for older in [
        NewCrl { url: String::from("http://before.example/5a.crl"), ..stored(5, NOW) },
        stored(u64::try_from(later.0).unwrap(), later),
    ] {
        let world = World::new();
        let number = NOW.0.max(i64::try_from(older.number).unwrap() + 1);
        world.ports.revocations.crl_put(older).await.unwrap();
        assert_eq!(world.asked().await, list(number, NOW, ""));
        assert_eq!(world.issuer.signed(), 1);
    }
}

/// Revocations where another process is always faster.
struct Outrun(Arc<dyn Revocations>);

#[async_trait]
impl Revocations for Outrun {
    async fn crl_find(
        &self,
        issuer: &IssuerId,
        shard: u8,
    ) -> Result<Option<StoredCrl>, StoreError> {
        self.0.crl_find(issuer, shard).await
    }

    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError> {
        let theirs = NewCrl { der: Arc::from(*b"theirs"), ..crl.clone() };
        self.0.crl_put(theirs).await?;
        self.0.crl_put(crl).await
    }

    async fn due_crls(
        &self,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError> {
        self.0.due_crls(until, limit).await
    }

    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        from: Timestamp,
    ) -> Result<Revoked, StoreError> {
        self.0.revoked_of(issuer, shard, from).await
    }
}

#[tokio::test]
async fn the_list_of_a_faster_process_is_answered() {
    let outrun = |ports: Ports| Ports { revocations: Arc::new(Outrun(ports.revocations)), ..ports };
    assert_eq!(World::with(outrun).asked().await, "theirs");
}

#[tokio::test]
async fn the_sweeper_signs_what_changed_and_what_is_six_hours_old() {
    let world = World::new();
    assert_eq!(world.provisioning.sweep_crls().await.signed, 0, "nobody asked, nothing changed");
    world.asked().await;
    world.revoke(1, &[9, 1]).await;
    assert_eq!(world.provisioning.sweep_crls().await.signed, 1);
    assert_eq!(world.provisioning.sweep_crls().await.signed, 0);
    world.wait(6);
    assert_eq!(world.provisioning.sweep_crls().await.signed, 2);
    assert_eq!(world.issuer.signed(), 4);
    world.asked().await;
    assert_eq!(world.issuer.signed(), 4, "swept");
}

#[tokio::test]
async fn a_sweep_is_bounded_and_the_next_goes_on() {
    let world = World::new();
    for n in 0..=255 {
        world.revoke(u64::from(n), &[n, 1]).await;
    }
    for expected in [64, 64, 64, 64, 0] {
        assert_eq!(world.provisioning.sweep_crls().await.signed, expected);
    }
}

#[tokio::test]
async fn what_cannot_be_signed_holds_up_no_other() {
    let world = World::new();
    for shard in 0..=255 {
        let crl = NewCrl { issuer: IssuerId([1; 20]), shard, ..stored(1, Timestamp(0)) };
        world.ports.revocations.crl_put(crl).await.unwrap();
    }
    world.revoke(1, &[SHARD, 1]).await;
    let swept = world.provisioning.sweep_crls().await;
    let told = (swept.signed, swept.failed, swept.left);
    assert_eq!(told, (1, 0, 0), "a CA that was taken away is nobody's");
    world.issuer.fail(true);
    world.revoke(2, &[SHARD, 2]).await;
    let swept = world.provisioning.sweep_crls().await;
    assert_eq!((swept.signed, swept.failed, swept.left), (0, 1, 1));
    let cause = swept.cause.unwrap();
    assert!(
        cause.starts_with(&format!("{ISSUER}/5a: ")) && cause.contains("it is down"),
        "{cause}"
    );
}
