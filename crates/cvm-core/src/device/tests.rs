use proptest::prelude::*;

use super::*;
use crate::id::TokenMac;

fn device() -> Device {
    Device {
        serial_number: "SN-1".parse().unwrap(),
        thing_name: "SN-1".parse().unwrap(),
        policy: "cvm-default".parse().unwrap(),
        profile: "default".parse().unwrap(),
        attributes: BTreeMap::new(),
        roads: vec![Road::Vend],
        created_at: Timestamp(0),
        disabled: false,
        deleted_at: None,
        tokens: vec![TokenRecord {
            generation: 1,
            mac: TokenMac([1; 32]),
            expires: Timestamp(1_000),
            state: TokenState::Unused,
        }],
        live: Vec::new(),
        sealed: None,
        contested: None,
        version: 0,
    }
}

fn issue(number: u8, at: i64) -> NewCertificate {
    NewCertificate {
        id: CertificateId([number; 32]),
        key: KeyIdentity([number; 32]),
        server_made: None,
        sealed: None,
        issued_at: Timestamp(at),
        not_after: Timestamp(at + 10_000),
    }
}

fn server_made(number: u8, at: i64) -> NewCertificate {
    let certificate = CertificateId([number; 32]);
    let sealed = SealedKey {
        certificate,
        salt: [0; 16],
        ciphertext: vec![0xC5, 9],
        until: Timestamp(at + 900),
        replays: 0,
    };
    NewCertificate {
        server_made: Some(KeyAlgorithm::EcP256),
        sealed: Some(sealed),
        ..issue(number, at)
    }
}

fn bound(device: &Device) -> Option<Binding> {
    if let TokenState::Used { bound, .. } = device.tokens[0].state { bound } else { None }
}

#[test]
fn a_token_expires_after_its_last_second_and_only_while_unused() {
    let mut unused = device();
    assert!(unused.settle(Timestamp(1_000)).is_empty());
    assert_eq!(unused.tokens[0].state, TokenState::Unused);
    assert!(unused.settle(Timestamp(1_001)).is_empty());
    assert_eq!(unused.tokens[0].state, TokenState::Expired);

    let mut used = device();
    assert!(used.take_up(0, issue(1, 1_000)).is_empty());
    assert!(used.settle(Timestamp(2_000)).is_empty());
    assert_eq!(used.tokens[0].state.as_str(), "used");
}

#[test]
fn a_certificate_ends_after_its_last_second() {
    let mut device = device();
    assert!(device.take_up(0, issue(1, 0)).is_empty());
    assert!(device.settle(Timestamp(10_000)).is_empty());
    let ended = device.settle(Timestamp(10_001));
    assert_eq!(ended[0].state, CertificateState::Expired);
    assert_eq!(device.state(), DeviceState::Registered);
}

#[test]
fn what_nobody_confirmed_is_superseded_by_the_next() {
    let mut device = device();
    assert!(device.take_up(0, issue(1, 0)).is_empty());
    let ended = device.take_up(0, issue(2, 5));
    assert_eq!(
        (ended[0].id, ended[0].state),
        (CertificateId([1; 32]), CertificateState::Superseded)
    );
    assert_eq!(device.live.len(), 1);
    let TokenState::Used { first_issue_at, obtained, .. } = device.tokens[0].state else {
        panic!()
    };
    assert_eq!((first_issue_at, obtained), (Timestamp(0), CertificateId([2; 32])));
}

#[test]
fn the_first_use_burns_the_token_and_destroys_the_sealed_key() {
    let mut device = device();
    assert!(device.take_up(0, server_made(1, 0)).is_empty());
    device.confirm(&CertificateId([1; 32]));
    assert_eq!(device.state(), DeviceState::Active);
    assert_eq!(device.tokens[0].state, TokenState::BurntByConfirmation);
    assert_eq!(device.sealed, None);
}

#[test]
fn a_sealed_key_goes_after_its_time_and_its_token_is_released() {
    let mut device = device();
    assert!(device.take_up(0, server_made(1, 0)).is_empty());
    assert!(device.settle(Timestamp(900)).is_empty());
    assert!(device.sealed.is_some() && bound(&device).is_some());
    assert!(device.settle(Timestamp(901)).is_empty());
    assert!(device.sealed.is_none() && bound(&device).is_none());
    assert_eq!(device.state(), DeviceState::Issued, "the certificate stays");
}

#[test]
fn a_timer_looks_at_a_sealed_key_when_its_time_is_over_and_at_nothing_else() {
    let mut device = device();
    assert_eq!(device.due_at(), None);
    assert!(device.take_up(0, server_made(1, 0)).is_empty());
    assert_eq!(device.due_at(), Some(Timestamp(901)));
    assert!(device.settle(Timestamp(901)).is_empty());
    assert_eq!(device.due_at(), None);
}

#[test]
fn a_sealed_key_goes_after_five_replays() {
    let mut device = device();
    assert!(device.take_up(0, server_made(1, 0)).is_empty());
    device.sealed.as_mut().unwrap().replays = KEY_REPLAYS_MAX - 1;
    assert!(device.settle(Timestamp(1)).is_empty());
    assert!(device.sealed.is_some());
    device.sealed.as_mut().unwrap().replays = KEY_REPLAYS_MAX;
    assert!(device.settle(Timestamp(1)).is_empty());
    assert!(device.sealed.is_none());
}

#[test]
fn who_loses_a_key_loses_its_certificate_and_keeps_a_token_for_another_key() {
    let mut device = device();
    assert!(device.take_up(0, issue(1, 0)).is_empty());
    let ended = device.lose_key(&KeyIdentity([1; 32]));
    assert_eq!(ended[0].state, CertificateState::Revoked);
    assert_eq!(bound(&device), None);
    assert_eq!(device.tokens[0].state.as_str(), "used");
}

#[test]
fn the_stored_form_is_read_back_as_it_was() {
    let mut device = device();
    assert!(device.take_up(0, server_made(1, 0)).is_empty());
    device.attributes.insert(String::from("line"), String::from("2"));
    let text = serde_json::to_string(&device).unwrap();
    assert_eq!(serde_json::from_str::<Device>(&text).unwrap(), device);
}

proptest! {
    /// Invariant I1 and rule 2, whatever happens in whatever order: at most one certificate that
    /// is unconfirmed or current, and once burnt a token stays burnt.
    #[test]
    fn no_order_of_events_breaks_the_record(events in prop::collection::vec((0_u8..5, 0_i64..400), 0..60)) {
        let mut device = device();
        let mut now = 0;
        let mut is_burnt = false;
        for (number, (event, wait)) in (1_u8..).zip(events) {
            now += wait;
            drop(device.settle(Timestamp(now)));
            let may_issue = matches!(device.tokens[0].state, TokenState::Unused | TokenState::Used { .. });
            match event {
                0 if may_issue => drop(device.take_up(0, issue(number, now))),
                1 if may_issue => drop(device.take_up(0, server_made(number, now))),
                2 => if let Some(id) = device.live.first().map(|live| live.id) { device.confirm(&id) },
                3 => if let Some(key) = device.live.first().map(|live| live.key) { drop(device.lose_key(&key)) },
                _ => {}
            }
            prop_assert!(device.live.len() <= 1);
            prop_assert!(device.sealed.as_ref().is_none_or(|key| device.live_by_id(&key.certificate).is_some()));
            let burnt_now = device.tokens[0].state == TokenState::BurntByConfirmation;
            prop_assert!(!is_burnt || burnt_now);
            is_burnt = burnt_now;
        }
    }
}
