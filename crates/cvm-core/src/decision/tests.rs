use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::device::{Basis, Burning, NewCertificate, Road, SealedKey, Word};
use crate::id::TokenMac;
use crate::time::Span;

const LIFE: i64 = 1_000;

fn device(state: TokenState) -> Device {
    let token = TokenRecord {
        generation: 1,
        mac: TokenMac([1; 32]),
        given_at: Timestamp(0),
        expires: Timestamp(50),
        state,
        denied: Vec::new(),
    };
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
        tokens: vec![token],
        live: Vec::new(),
        first_issued_at: None,
        outlived: None,
        review: None,
        sealed: None,
        contested: Vec::new(),
        reservation: None,
        owed: Vec::new(),
        version: 1,
    }
}

fn issued(key: u8, server_made: Option<KeyAlgorithm>) -> Device {
    let mut device = device(TokenState::Unused);
    let id = CertificateId([key; 32]);
    let sealed = server_made.map(|_| SealedKey {
        certificate: id,
        salt: [0; 16],
        ciphertext: vec![1],
        until: Timestamp(900),
        replays: 0,
    });
    let key = KeyIdentity([key; 32]);
    let not_after = Timestamp(LIFE);
    let (basis, overlap) = (Basis::Token(0), Span(0));
    let issued_at = Timestamp(0);
    let issue = NewCertificate {
        id,
        key,
        server_made,
        sealed,
        basis,
        issued_at,
        not_after,
        life_ends: None,
        overlap,
    };
    assert!(device.take_up(issue).is_empty());
    device
}

fn confirm(device: &mut Device, id: &CertificateId, now: i64) {
    drop(device.confirm(id, &Profile::default(), Timestamp(now)));
}

fn asked(device: &mut Device, key: u8, now: i64) -> Decision {
    drop(device.settle(Timestamp(now)));
    let key = KeyIdentity([key; 32]);
    decide(device, 0, Asked::DeviceKey(&key), &Profile::default(), Timestamp(now))
}

fn asked_server(device: &mut Device, algorithm: KeyAlgorithm, now: i64) -> Decision {
    drop(device.settle(Timestamp(now)));
    decide(device, 0, Asked::ServerKey(algorithm), &Profile::default(), Timestamp(now))
}

#[test]
fn admission_tells_every_kind_of_no() {
    let admitted = |device: &Device, slot| admit(device, slot, &Profile::default());
    let closed = |state| admitted(&device(state), Some(0));
    let burning = Burning { by: String::from("tok"), word: Word::Revoke, at: Timestamp(0) };
    let burnt = TokenState::BurntByOperator(burning);
    assert_eq!(closed(TokenState::Expired), Err(Denial::TokenExpired));
    assert_eq!(closed(burnt), Err(Denial::TokenBurntByOperator));
    assert_eq!(closed(TokenState::BurntByConfirmation), Ok(Admission::Burnt));
    assert_eq!(closed(TokenState::Unused), Ok(Admission::Open));
    assert_eq!(admitted(&device(TokenState::Unused), None), Err(Denial::WrongToken));
    let disabled = Device { disabled: true, ..device(TokenState::Unused) };
    assert_eq!(admitted(&disabled, Some(0)), Err(Denial::DeviceDisabled));
    assert_eq!(admitted(&disabled, None), Err(Denial::WrongToken));
    let deleted = Device { deleted_at: Some(Timestamp(1)), ..disabled };
    assert_eq!(admitted(&deleted, Some(0)), Err(Denial::DeviceDeleted));
}

#[test]
fn an_unused_token_issues_for_any_key() {
    assert_eq!(asked(&mut device(TokenState::Unused), 9, 0), Decision::Issue);
}

#[test]
fn a_used_token_answers_its_key_and_no_other() {
    let mut device = issued(1, None);
    assert_eq!(asked(&mut device, 1, 10), Decision::Answer(CertificateId([1; 32])));
    assert_eq!(asked(&mut device, 2, 10), Decision::AnotherKey(Conflict::AnotherKey));
    let another = Decision::AnotherKey(Conflict::AnotherKey);
    assert_eq!(asked_server(&mut device, KeyAlgorithm::EcP256, 10), another);
}

#[test]
fn exactly_a_tenth_of_the_life_still_answers_the_same_bytes() {
    let mut device = issued(1, None);
    assert_eq!(asked(&mut device, 1, 900), Decision::Answer(CertificateId([1; 32])));
    assert_eq!(asked(&mut device, 1, 901), Decision::Issue);
    assert_eq!(asked(&mut device, 1, LIFE + 1), Decision::Issue);
}

#[test]
fn a_key_made_here_is_answered_to_the_same_algorithm_only() {
    let mut device = issued(1, Some(KeyAlgorithm::EcP256));
    let replay = Decision::ReplayKey(CertificateId([1; 32]));
    assert_eq!(asked_server(&mut device, KeyAlgorithm::EcP256, 10), replay);
    assert!(matches!(
        asked_server(&mut device, KeyAlgorithm::Rsa2048, 10),
        Decision::AnotherKey(_)
    ));
    assert_eq!(asked_server(&mut device, KeyAlgorithm::Rsa2048, 901), Decision::Issue);
}

#[test]
fn a_burnt_token_answers_the_current_key_and_nothing_else() {
    let mut device = issued(1, None);
    confirm(&mut device, &CertificateId([1; 32]), 0);
    assert_eq!(asked(&mut device, 1, LIFE), Decision::Answer(CertificateId([1; 32])));
    assert_eq!(asked(&mut device, 2, 10), Decision::Deny);
    assert_eq!(asked_server(&mut device, KeyAlgorithm::EcP256, 10), Decision::Deny);
    assert_eq!(asked(&mut device, 1, LIFE + 1), Decision::Deny);
}

#[test]
fn after_sixteen_denied_keys_every_further_one_is_refused_unasked() {
    let mut device = issued(1, None);
    let profile = Profile { reissue: Reissue::Approval, ..Profile::default() };
    let asked = |device: &Device, key: u8| {
        let key = KeyIdentity([key; 32]);
        decide(device, 0, Asked::DeviceKey(&key), &profile, Timestamp(10))
    };
    for key in 100..116 {
        assert_eq!(asked(&device, key), Decision::Review);
        let denied = Asked::DeviceKey(&KeyIdentity([key; 32])).review_key();
        device.tokens[0].denied.push(denied);
        assert_eq!(asked(&device, key), Decision::AnotherKey(Conflict::KeyDenied));
    }
    assert_eq!(asked(&device, 200), Decision::AnotherKey(Conflict::KeyDenied));
    assert_eq!(asked(&device, 1), Decision::Answer(CertificateId([1; 32])), "its own key");
}

proptest! {
    /// I2 and I9: whatever keys ask in whatever order and time, one token obtains certificates for
    /// one device-made key, and after confirmation it issues nothing.
    #[test]
    fn one_token_one_device_made_key(asks in prop::collection::vec((1_u8..4, 0_i64..300, any::<bool>()), 1..40)) {
        let mut device = device(TokenState::Unused);
        let (mut now, mut first, mut number) = (0, None, 0_u8);
        for (key, wait, uses) in asks {
            now += wait;
            let decision = asked(&mut device, key, now);
            let was_burnt = device.tokens[0].state == TokenState::BurntByConfirmation;
            if decision == Decision::Issue {
                prop_assert!(!was_burnt);
                prop_assert!(first.is_none_or(|first| first == key));
                first = Some(key);
                number += 1;
                let id = CertificateId([number; 32]);
                drop(device.take_up(NewCertificate {
                    id, key: KeyIdentity([key; 32]), server_made: None, sealed: None,
                    basis: Basis::Token(0), overlap: Span(0),
                    issued_at: Timestamp(now), not_after: Timestamp(now + LIFE),
                    life_ends: None,
                }));
            }
            if let Decision::Answer(id) = decision {
                let live = device.live_by_id(&id);
                prop_assert!(live.is_some_and(|live| live.key == KeyIdentity([key; 32])));
            }
            if uses && let Some(id) = device.live.first().map(|live| live.id) {
                confirm(&mut device, &id, now);
            }
        }
    }
}
