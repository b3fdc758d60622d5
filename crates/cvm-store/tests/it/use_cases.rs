//! The use cases over real stores: what the vectors do not say, such as what is written after the
//! answer, what a failing dependency leaves, and what the sweeper finds.

mod expiry;
mod losers;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use cvm_core::certificate::CertificateState;
use cvm_core::id::{CertificateId, SerialNumber};
use cvm_core::key::KeyAlgorithm;
use cvm_core::page::PageRequest;
use cvm_core::ports::Ports;
use cvm_core::profile::{Profile, Profiles};
use cvm_core::provisioning::{
    Ask, Caller, NewDevice, NewToken, OperatorRefusal, Provisioning, Refusal, VendRequest, Vended,
};
use cvm_core::testing::{
    TestClock, TestIssuer, default_policy_put, test_bad_csr, test_csr, test_ports,
};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp(1_800_000_000);
const CA_ENDS: Timestamp = Timestamp(NOW.0 + 20 * 365 * 86_400);

pub(super) struct World {
    provisioning: Provisioning,
    pub(super) ports: Ports,
    profile: Profile,
    clock: Arc<TestClock>,
    issuer: Arc<TestIssuer>,
    store: Arc<MemoryStore>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Profile { server_keys: true, ..Profile::default() }, "1000000/1s").await
    }

    async fn with(profile: Profile, budget: &str) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(TestClock::at(NOW));
        let issuer =
            Arc::new(TestIssuer::new(NOW.minus(Span::DAY)).owning("the server's").ending(CA_ENDS));
        let ports = test_ports(&store, clock.clone(), issuer.clone());
        default_policy_put(&ports, NOW).await.unwrap();
        let profiles = Profiles { default: profile.clone(), ..Profiles::default() };
        let provisioning = Provisioning::new(ports.clone(), profiles, budget.parse().unwrap());
        Self { provisioning, ports, profile, clock, issuer, store }
    }

    /// The same world, with other ports.
    pub(super) fn through(&self, ports: Ports) -> Provisioning {
        let profiles = Profiles { default: self.profile.clone(), ..Profiles::default() };
        Provisioning::new(ports, profiles, "1000000/1s".parse().unwrap())
    }

    pub(super) async fn register(&self, serial: &str) {
        self.provisioning.device_register(new(serial), "test").await.unwrap();
    }

    async fn vend(&self, serial: &str, ask: Ask) -> Result<Vended, Refusal> {
        let (result, follow_up) = self.provisioning.vend(request(serial, ask), &caller()).await;
        self.provisioning.follow(follow_up).await;
        result
    }

    pub(super) async fn issued(&self, serial: &str, key: &str) -> CertificateId {
        let vended = self.vend(serial, Ask::Csr(test_csr(key))).await.unwrap();
        vended.certificate.id
    }

    pub(super) async fn confirm(&self, id: CertificateId) -> Result<(), Refusal> {
        let (result, follow_up) = self.provisioning.confirm(Some(id), &caller()).await;
        self.provisioning.follow(follow_up).await;
        result.map(drop)
    }

    /// The state in the row, not as judged at the read.
    async fn stored_state(&self, id: CertificateId) -> CertificateState {
        let holding = self.ports.store.holding_find(&id).await.unwrap().unwrap();
        holding.certificate.state
    }

    async fn kinds(&self) -> Vec<String> {
        let page = PageRequest { after: None, limit: 1_000 };
        let rows = self.ports.journal.journal_page(&page).await.unwrap().items;
        rows.into_iter().map(|row| row.kind).collect()
    }
}

fn new(serial: &str) -> NewDevice {
    NewDevice {
        serial_number: serial.parse().unwrap(),
        token: NewToken::Brought(token(serial)),
        token_expires: None,
        thing_name: None,
        policy: None,
        profile: None,
        attributes: BTreeMap::new(),
        again: false,
    }
}

fn token(serial: &str) -> Token {
    Token::unchecked(Zeroizing::new(format!("the-one-time-token-of-{serial}")))
}

pub(super) fn request(serial: &str, ask: Ask) -> VendRequest {
    VendRequest { serial_number: serial.into(), token: token(serial), ask }
}

pub(super) fn caller() -> Caller {
    Caller { address: "192.0.2.1".into(), attempt: "00000-00000".parse().unwrap() }
}

#[tokio::test]
async fn who_loses_a_key_has_its_row_revoked_after_the_winners_answer() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.register("SN-2").await;
    let lost = world.issued("SN-1", "K").await;
    let won = world.issued("SN-2", "K").await;
    world.confirm(won).await.unwrap();
    assert_eq!(world.stored_state(lost).await, CertificateState::Revoked);
    assert_eq!(world.stored_state(won).await, CertificateState::Current);
    assert!(world.kinds().await.contains(&String::from("certificate-key-lost")));
    assert_eq!(world.confirm(lost).await, Err(Refusal::CertificateRevoked));
}

#[tokio::test]
async fn the_loser_is_refused_even_where_nobody_wrote_that_it_lost() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.register("SN-2").await;
    let lost = world.issued("SN-1", "K").await;
    let won = world.issued("SN-2", "K").await;
    // The process ended between the answer and what follows from it.
    let (result, _never_run) = world.provisioning.confirm(Some(won), &caller()).await;
    result.unwrap();
    assert_eq!(world.stored_state(lost).await, CertificateState::Unconfirmed);
    assert_eq!(world.confirm(lost).await, Err(Refusal::CertificateRevoked));
    let serial: SerialNumber = "SN-1".parse().unwrap();
    let shown = world.provisioning.device_show(&serial).await.unwrap().unwrap();
    assert_eq!(shown.certificates[0].state, CertificateState::Revoked);
    // The winner's record remembers it, and the sweeper writes it.
    assert_eq!(world.provisioning.sweep().await.devices, 1);
    assert_eq!(world.stored_state(lost).await, CertificateState::Revoked);
    assert_eq!(world.provisioning.sweep().await.devices, 0);
    world.issued("SN-1", "another").await;
}

#[tokio::test]
async fn the_fifth_replay_destroys_the_sealed_key_in_its_commit() {
    let world = World::new().await;
    world.register("SN-1").await;
    let serial: SerialNumber = "SN-1".parse().unwrap();
    for replay in 0..=5 {
        let vended = world.vend("SN-1", Ask::ServerKey(KeyAlgorithm::EcP256)).await.unwrap();
        assert_eq!((vended.is_new, vended.private_key.is_some()), (replay == 0, true));
        let stored = world.ports.store.device_find(&serial).await.unwrap().unwrap();
        assert_eq!(stored.sealed.is_some(), replay < 5, "after replay {replay}");
    }
}

#[tokio::test]
async fn the_last_tenth_of_a_short_life_destroys_the_sealed_key() {
    let profile = Profile { server_keys: true, lifetime: Span(600), ..Profile::default() };
    let world = World::with(profile, "1000000/1m").await;
    world.register("SN-1").await;
    world.vend("SN-1", Ask::ServerKey(KeyAlgorithm::EcP256)).await.unwrap();
    world.clock.set(NOW.plus(Span(540)));
    assert_eq!(world.provisioning.sweep().await.devices, 0);
    world.clock.set(NOW.plus(Span(541)));
    assert_eq!(world.provisioning.sweep().await.devices, 1);
}

#[tokio::test]
async fn every_decision_on_a_valid_token_is_journalled_and_no_stranger_buys_a_row() {
    let world = World::with(Profile::default(), "6/1h").await;
    world.register("SN-1").await;
    let decided = async |ask: Ask| {
        let before = world.kinds().await.len();
        drop(world.vend("SN-1", ask).await);
        world.kinds().await.split_off(before)
    };
    assert_eq!(decided(Ask::Csr(test_bad_csr("K"))).await, ["request-decided"]);
    assert_eq!(decided(Ask::Csr("no CSR".into())).await, ["request-decided"]);
    assert_eq!(decided(Ask::ServerKey(KeyAlgorithm::EcP256)).await, ["request-decided"]);
    assert_eq!(decided(Ask::Csr(test_csr("the server's"))).await, ["request-decided"]);
    assert_eq!(decided(Ask::Csr(test_csr("K"))).await, ["certificate-issued"]);
    assert_eq!(decided(Ask::Csr(test_csr("K"))).await, ["request-decided"], "answered again");
    assert_eq!(decided(Ask::Csr(test_csr("K"))).await, ["request-slowed-down"]);
    assert_eq!(decided(Ask::Csr(test_csr("K"))).await, Vec::<String>::new(), "once a minute");
    let before = world.kinds().await.len();
    for serial in ["SN-1", "SN-9"] {
        let stranger = Token::unchecked(Zeroizing::new(String::from("nobody's token at all")));
        let ask = Ask::Csr(test_csr("K"));
        let request = VendRequest { serial_number: serial.into(), token: stranger, ask };
        let (_, follow_up) = world.provisioning.vend(request, &caller()).await;
        world.provisioning.follow(follow_up).await;
    }
    assert_eq!(world.kinds().await.len(), before);
}

#[tokio::test]
async fn the_sweeper_destroys_a_sealed_key_whose_time_is_over() {
    let world = World::new().await;
    world.register("SN-1").await;
    let serial: SerialNumber = "SN-1".parse().unwrap();
    world.vend("SN-1", Ask::ServerKey(KeyAlgorithm::EcP256)).await.unwrap();
    world.clock.set(NOW.plus(Span(900)));
    assert_eq!(world.provisioning.sweep().await.devices, 0);
    world.clock.set(NOW.plus(Span(901)));
    world.clock.trust(false);
    assert_eq!(world.provisioning.sweep().await.devices, 0, "a wrong clock destroys nothing");
    world.clock.trust(true);
    let stored = async || world.ports.store.device_find(&serial).await.unwrap().unwrap();
    assert!(stored().await.sealed.is_some());
    assert_eq!(world.provisioning.sweep().await.devices, 1);
    assert!(stored().await.sealed.is_none());
    assert_eq!(world.provisioning.sweep().await.devices, 0);
    assert_eq!(world.kinds().await.last().unwrap(), "private-key-destroyed");
}

#[tokio::test]
async fn a_store_that_is_down_loses_nothing_and_the_same_request_succeeds_later() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.store.fail();
    let refused = world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap_err();
    assert_eq!(refused.slug(), "unavailable");
    world.store.recover();
    assert!(world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap().is_new);
}

#[tokio::test]
async fn a_signer_that_is_down_spends_no_token() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.issuer.fail(true);
    for _ in 0..3 {
        let refused = world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap_err();
        assert_eq!(refused.slug(), "unavailable");
    }
    world.issuer.fail(false);
    assert!(world.vend("SN-1", Ask::Csr(test_csr("another"))).await.unwrap().is_new);
}

#[tokio::test]
async fn a_clock_before_the_issuing_ca_issues_nothing() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.clock.set(NOW.minus(Span(2 * Span::DAY.0)));
    let refused = world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap_err();
    assert_eq!((refused.slug(), refused.reason()), ("unavailable", "clock"));
}

#[tokio::test]
async fn a_ca_that_has_ended_issues_nothing_and_spends_no_token() {
    let world = World::with(
        Profile { token_life: Span(100 * 365 * 86_400), ..Profile::default() },
        "1000000/1s",
    );
    let world = world.await;
    world.register("SN-1").await;
    world.register("SN-2").await;
    world.clock.set(CA_ENDS.minus(Span::DAY));
    let vended = world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap();
    assert_eq!(vended.certificate.not_after, CA_ENDS, "a leaf ends with its CA");
    world.clock.set(CA_ENDS);
    let refused = world.vend("SN-2", Ask::Csr(test_csr("another"))).await.unwrap_err();
    assert_eq!(refused.slug(), "unavailable");
    let serial: SerialNumber = "SN-2".parse().unwrap();
    let shown = world.provisioning.device_show(&serial).await.unwrap().unwrap();
    assert_eq!(shown.device.newest_token().unwrap().state.as_str(), "unused");
}

#[tokio::test]
async fn alarms_of_one_device_and_kind_come_once_a_minute() {
    let world = World::new().await;
    world.register("SN-1").await;
    world.issued("SN-1", "K").await;
    for at in [0, 1, 59, 60] {
        world.clock.set(NOW.plus(Span(at)));
        world.vend("SN-1", Ask::Csr(test_csr("another"))).await.unwrap_err();
    }
    let page = PageRequest { after: None, limit: 1_000 };
    let rows = world.ports.journal.journal_page(&page).await.unwrap().items;
    let of = |class: &str| {
        rows.iter().filter(|row| row.class == class && row.kind == "another-key-refused").count()
    };
    assert_eq!((of("alarm"), of("decision")), (2, 2), "each refusal of a valid token is on record");
}

#[tokio::test]
async fn a_burnt_token_that_is_shown_again_and_again_buys_one_row_a_minute() {
    let world = World::new().await;
    world.register("SN-1").await;
    let id = world.issued("SN-1", "K").await;
    world.confirm(id).await.unwrap();
    let before = world.kinds().await.len();
    for _ in 0..50 {
        world.vend("SN-1", Ask::Csr(test_csr("another"))).await.unwrap_err();
    }
    assert_eq!(world.kinds().await.len(), before + 1);
}

#[tokio::test]
async fn no_device_gets_a_certificate_for_the_servers_own_key() {
    let world = World::new().await;
    world.register("SN-1").await;
    let refused = world.vend("SN-1", Ask::Csr(test_csr("the server's"))).await.unwrap_err();
    assert_eq!(refused, Refusal::KeyNotAcceptable);
    assert_eq!(world.issuer.signed(), 0);
}

#[tokio::test]
async fn strangers_do_not_make_the_server_verify_signatures_or_sign() {
    let world = World::new().await;
    world.register("SN-1").await;
    for serial in ["SN-1", "SN-9", "?"] {
        let stranger = Token::unchecked(Zeroizing::new(String::from("nobody's token at all")));
        let ask = Ask::Csr(test_bad_csr("K"));
        let request = VendRequest { serial_number: serial.into(), token: stranger, ask };
        let (result, _) = world.provisioning.vend(request, &caller()).await;
        // A CSR that was looked at would have been refused for itself.
        assert_eq!(result.unwrap_err().slug(), "access-denied", "{serial}");
    }
}

#[tokio::test]
async fn only_valid_credentials_spend_a_devices_budget() {
    let world = World::with(Profile::default(), "2/1h").await;
    world.register("SN-1").await;
    for _ in 0..9 {
        let stranger = Token::unchecked(Zeroizing::new(String::from("nobody's token at all")));
        let ask = Ask::Csr(test_csr("K"));
        let request = VendRequest { serial_number: "SN-1".into(), token: stranger, ask };
        let (result, _) = world.provisioning.vend(request, &caller()).await;
        assert_eq!(result.unwrap_err().slug(), "access-denied");
    }
    for _ in 0..2 {
        world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap();
    }
    let refused = world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap_err();
    assert_eq!(refused, Refusal::SlowDown { retry_after: Span(1_800) });
    world.clock.set(NOW.plus(Span(1_800)));
    assert!(!world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap().is_new);
}

#[tokio::test]
async fn a_token_that_could_never_be_used_is_not_registered() {
    let world = World::new().await;
    let past = Some(NOW.minus(Span(1)));
    let refused = world
        .provisioning
        .device_register(NewDevice { token_expires: past, ..new("SN-1") }, "test")
        .await;
    assert!(matches!(refused, Err(OperatorRefusal::Invalid(_))));
}

#[tokio::test]
async fn a_token_derived_from_an_idempotency_key_is_repeated_for_a_day() {
    let world = World::new().await;
    let register = async |key: &str| {
        let token = NewToken::Derived(key.into());
        world.provisioning.device_register(NewDevice { token, ..new("SN-1") }, "operator-1").await
    };
    let secret = |registered: cvm_core::provisioning::Registered| {
        registered.token.unwrap().expose().to_owned()
    };
    let first = register("once").await.unwrap();
    assert!(first.is_new);
    let first = secret(first);
    world.clock.set(NOW.plus(Span::DAY));
    assert_eq!(secret(register("once").await.unwrap()), first);
    assert!(matches!(register("other").await, Err(OperatorRefusal::AlreadyExists)));
    world.clock.set(NOW.plus(Span(Span::DAY.0 + 1)));
    assert!(matches!(register("once").await, Err(OperatorRefusal::AlreadyExists)));
}
