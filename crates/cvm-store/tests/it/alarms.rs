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
use cvm_core::testing::{TestClock, TestIssuer, default_policy_put, test_csr, test_ports};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use parking_lot::Mutex;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A journal and whoever is told of alarms, which note what they get, in one list.
#[derive(Default)]
struct Heard {
    events: Mutex<Vec<(&'static str, Event)>>,
    is_full: bool,
}

impl Heard {
    fn alarms(&self) -> Vec<(String, EventKind)> {
        let events = self.events.lock();
        let raised = events.iter().filter(|(to, _)| *to == "alarms");
        raised.map(|(_, it)| (it.serial_number.clone().unwrap().to_string(), it.kind)).collect()
    }
}

impl Alarms for Heard {
    fn alarm_raise(&self, event: &Event) {
        self.events.lock().push(("alarms", event.clone()));
    }
}

#[async_trait]
impl Journal for Heard {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        if self.is_full {
            return Err(StoreError::Unavailable("the disk is full".into()));
        }
        self.events.lock().push(("journal", event));
        Ok(())
    }

    async fn journal_page(&self, _: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}

struct World {
    provisioning: Provisioning,
    clock: Arc<TestClock>,
    heard: Arc<Heard>,
}

impl World {
    /// Two devices, whose certificates are for one key each.
    async fn new(heard: Heard) -> (Self, [CertificateId; 2]) {
        let clock = Arc::new(TestClock::at(NOW));
        let issuer = Arc::new(TestIssuer::new(NOW.minus(Span::DAY)));
        let ports = test_ports(&Arc::new(MemoryStore::new()), clock.clone(), issuer);
        default_policy_put(&ports, NOW).await.unwrap();
        let heard = Arc::new(heard);
        let ports = Ports { alarms: heard.clone(), journal: heard.clone(), ..ports };
        let budget = "1000000/1s".parse().unwrap();
        let provisioning = Provisioning::new(ports, Profiles::default(), budget);
        let world = Self { provisioning, clock, heard };
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
    let (world, [one, _]) = World::new(Heard::default()).await;
    for at in [0, 1, 59] {
        world.clock.set(NOW.plus(Span(at)));
        world.show_another_key("SN-1").await;
    }
    let first = (String::from("SN-1"), EventKind::AnotherKeyRefused);
    assert_eq!(world.heard.alarms(), std::slice::from_ref(&first));

    world.show_another_key("SN-2").await;
    let other_device = (String::from("SN-2"), EventKind::AnotherKeyRefused);
    world.confirm(one).await;
    world.show_another_key("SN-1").await;
    let other_kind = (String::from("SN-1"), EventKind::BurntTokenShown);
    assert_eq!(world.heard.alarms(), [first, other_device.clone(), other_kind.clone()]);

    world.clock.set(NOW.plus(Span(119)));
    for serial in ["SN-1", "SN-2", "SN-1", "SN-2"] {
        world.show_another_key(serial).await;
    }
    assert_eq!(world.heard.alarms()[3..], [other_kind, other_device], "a minute later");
}

#[tokio::test]
async fn an_alarm_is_told_after_its_row_and_as_it_stands_there() {
    let (world, _) = World::new(Heard::default()).await;
    world.show_another_key("SN-1").await;
    let events = world.heard.events.lock();
    let alarms: Vec<_> = events.iter().filter(|(_, it)| it.class == EventClass::Alarm).collect();
    let [(first, row), (second, told)] = alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((*first, *second), ("journal", "alarms"));
    assert_eq!(row, told);
    assert_eq!(told.attempt, Some(caller().attempt));
}

#[tokio::test]
async fn a_journal_that_fails_does_not_silence_an_alarm() {
    let (world, _) = World::new(Heard { is_full: true, ..Heard::default() }).await;
    let followed = world.show_another_key("SN-1").await;
    assert_eq!((followed.alarms_raised, followed.failures.len()), (1, 1), "{followed:?}");
    let again = world.show_another_key("SN-1").await;
    assert_eq!((again.alarms_raised, again.failures.len()), (0, 1), "{again:?}");
    assert_eq!(world.heard.alarms(), [(String::from("SN-1"), EventKind::AnotherKeyRefused)]);
}

#[tokio::test]
async fn what_is_no_alarm_is_told_to_nobody() {
    let (world, [one, two]) = World::new(Heard::default()).await;
    world.confirm(one).await;
    world.confirm(two).await;
    let (repeated, follow_up) = world.provisioning.vend(ask("SN-1", "SN-1"), &caller()).await;
    assert!(!repeated.unwrap().is_new);
    world.provisioning.follow(follow_up).await;
    assert_eq!(world.heard.alarms(), []);
}
