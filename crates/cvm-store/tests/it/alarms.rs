//! Who is told of alarms: once a minute for each device and kind, after the journal, and where the
//! journal fails too.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::id::CertificateId;
use cvm_core::journal::{Event, EventClass, EventKind, JournalRow};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Alarms, Journal, Ports, StoreError};
use cvm_core::profile::Profiles;
use cvm_core::provisioning::{
    Ask, Caller, Followed, NewDevice, NewToken, Provisioning, VendRequest,
};
use cvm_core::testing::{
    TestAlarms, TestClock, TestIssuer, default_policy_put, test_csr, test_ports,
};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use parking_lot::Mutex;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A journal and whoever is told of alarms, which note what they get, in one list.
#[derive(Default)]
struct Heard(Mutex<Vec<(&'static str, Event)>>);

impl Alarms for Heard {
    fn alarm_raise(&self, event: &Event) {
        self.0.lock().push(("alarms", event.clone()));
    }
}

#[async_trait]
impl Journal for Heard {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        self.0.lock().push(("journal", event));
        Ok(())
    }

    async fn journal_page(&self, _: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}

/// A journal that takes nothing.
struct Full;

#[async_trait]
impl Journal for Full {
    async fn event_record(&self, _: Event) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("the disk is full".into()))
    }

    async fn journal_page(&self, _: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}

struct World {
    provisioning: Provisioning,
    clock: Arc<TestClock>,
    alarms: Arc<TestAlarms>,
}

impl World {
    /// Two devices, whose certificates are for one key each.
    async fn new(replace: impl FnOnce(Ports) -> Ports) -> (Self, [CertificateId; 2]) {
        let clock = Arc::new(TestClock::at(NOW));
        let issuer = Arc::new(TestIssuer::new(NOW.minus(Span::DAY)));
        let ports = test_ports(&Arc::new(MemoryStore::new()), clock.clone(), issuer);
        default_policy_put(&ports, NOW).await.unwrap();
        let alarms = Arc::new(TestAlarms::default());
        let ports = replace(Ports { alarms: alarms.clone(), ..ports });
        let budget = "1000000/1s".parse().unwrap();
        let provisioning = Provisioning::new(ports, Profiles::default(), budget);
        let world = Self { provisioning, clock, alarms };
        let (one, two) = (world.issued("SN-1").await, world.issued("SN-2").await);
        (world, [one, two])
    }

    async fn issued(&self, serial: &str) -> CertificateId {
        let new = NewDevice {
            serial_number: serial.parse().unwrap(),
            token: NewToken::Brought(token()),
            token_expires: None,
            thing_name: None,
            policy: None,
            profile: None,
            attributes: BTreeMap::new(),
            again: false,
        };
        self.provisioning.device_register(new, "test").await.unwrap();
        let (vended, follow_up) = self.provisioning.vend(ask(serial, serial), &caller()).await;
        self.provisioning.follow(follow_up).await;
        vended.unwrap().certificate.id
    }

    /// Of whom and of what was told since the last time.
    fn told(&self) -> Vec<(String, EventKind)> {
        let raised = self.alarms.take().into_iter();
        raised.map(|it| (it.serial_number.unwrap().to_string(), it.kind)).collect()
    }

    /// Shows the device's token with a key that is not its own.
    async fn show_another_key(&self, serial: &str) -> Followed {
        let (refused, follow_up) = self.provisioning.vend(ask(serial, "another"), &caller()).await;
        assert!(refused.is_err());
        self.provisioning.follow(follow_up).await
    }

    async fn confirm(&self, id: CertificateId) {
        let (confirmed, follow_up) = self.provisioning.confirm(Some(id), &caller()).await;
        confirmed.unwrap();
        self.provisioning.follow(follow_up).await;
    }
}

fn ask(serial: &str, key: &str) -> VendRequest {
    VendRequest { serial_number: serial.into(), token: token(), ask: Ask::Csr(test_csr(key)) }
}

fn token() -> Token {
    Token::unchecked(Zeroizing::new(String::from("a-token-that-the-test-brings")))
}

fn caller() -> Caller {
    Caller { address: "192.0.2.1".into(), attempt: "00000-00001".parse().unwrap() }
}

#[tokio::test]
async fn an_alarm_is_told_once_a_minute_for_each_device_and_kind() {
    let (world, [one, _]) = World::new(|ports| ports).await;
    for at in [0, 1, 59] {
        world.clock.set(NOW.plus(Span(at)));
        world.show_another_key("SN-1").await;
    }
    assert_eq!(world.told(), [(String::from("SN-1"), EventKind::AnotherKeyRefused)]);

    world.show_another_key("SN-2").await;
    let other_device = (String::from("SN-2"), EventKind::AnotherKeyRefused);
    world.confirm(one).await;
    world.show_another_key("SN-1").await;
    let other_kind = (String::from("SN-1"), EventKind::BurntTokenShown);
    assert_eq!(world.told(), [other_device.clone(), other_kind.clone()]);

    world.clock.set(NOW.plus(Span(119)));
    for serial in ["SN-1", "SN-2", "SN-1", "SN-2"] {
        world.show_another_key(serial).await;
    }
    assert_eq!(world.told(), [other_kind, other_device], "a minute later");
}

#[tokio::test]
async fn an_alarm_is_told_after_its_row_and_as_it_stands_there() {
    let heard = Arc::new(Heard::default());
    let (alarms, journal) = (heard.clone(), heard.clone());
    let (world, _) = World::new(|ports| Ports { alarms, journal, ..ports }).await;
    world.show_another_key("SN-1").await;
    let events = heard.0.lock();
    let alarms: Vec<_> = events.iter().filter(|(_, it)| it.class == EventClass::Alarm).collect();
    let [(first, row), (second, told)] = alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((*first, *second), ("journal", "alarms"));
    assert_eq!(row, told);
    assert_eq!(told.attempt, Some(caller().attempt));
}

#[tokio::test]
async fn a_journal_that_fails_does_not_silence_an_alarm() {
    let (world, _) = World::new(|ports| Ports { journal: Arc::new(Full), ..ports }).await;
    let followed = world.show_another_key("SN-1").await;
    assert_eq!((followed.alarms_raised, followed.failures.len()), (1, 1), "{followed:?}");
    let again = world.show_another_key("SN-1").await;
    assert_eq!((again.alarms_raised, again.failures.len()), (0, 1), "{again:?}");
    assert_eq!(world.told(), [(String::from("SN-1"), EventKind::AnotherKeyRefused)]);
}

#[tokio::test]
async fn what_is_no_alarm_is_told_to_nobody() {
    let (world, [one, two]) = World::new(|ports| ports).await;
    world.confirm(one).await;
    world.confirm(two).await;
    let (repeated, follow_up) = world.provisioning.vend(ask("SN-1", "SN-1"), &caller()).await;
    assert!(!repeated.unwrap().is_new);
    world.provisioning.follow(follow_up).await;
    assert_eq!(world.told(), []);
}
