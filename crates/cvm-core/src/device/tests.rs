use proptest::prelude::*;

use super::*;
use crate::id::TokenMac;
use crate::key::KeyAlgorithm;
use crate::profile::{Profile, Reissue};
use crate::time::Span;

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
            given_at: Timestamp(0),
            expires: Timestamp(1_000),
            state: TokenState::Unused,
            denied: Vec::new(),
        }],
        live: Vec::new(),
        first_issued_at: None,
        outlived: None,
        review: None,
        sealed: None,
        contested: Vec::new(),
        reservation: None,
        owed: Vec::new(),
        version: 0,
    }
}

fn issue(number: u8, at: i64) -> NewCertificate {
    NewCertificate {
        id: CertificateId([number; 32]),
        key: KeyIdentity([number; 32]),
        server_made: None,
        sealed: None,
        basis: Basis::Token(0),
        issued_at: Timestamp(at),
        not_after: Timestamp(at + 10_000),
        life_ends: None,
        overlap: Span(500),
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

fn renewed(number: u8, at: i64) -> NewCertificate {
    NewCertificate { basis: Basis::Renewal(1), ..issue(number, at) }
}

fn confirm(device: &mut Device, number: u8, at: i64) -> Vec<Moved> {
    let id = CertificateId([number; 32]);
    device.confirm(&id, &Profile::default(), Timestamp(at)).map_or_else(Vec::new, |it| it.moved)
}

fn states(device: &Device) -> Vec<(u8, CertificateState)> {
    device.live.iter().map(|live| (live.id.0[0], live.state)).collect()
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
    assert!(used.take_up(issue(1, 1_000)).is_empty());
    assert!(used.settle(Timestamp(2_000)).is_empty());
    assert_eq!(used.tokens[0].state.as_str(), "used");
}

#[test]
fn a_certificate_ends_after_its_last_second() {
    let mut device = device();
    assert!(device.take_up(issue(1, 0)).is_empty());
    assert!(device.settle(Timestamp(10_000)).is_empty());
    let ended = device.settle(Timestamp(10_001));
    assert_eq!(ended[0].state, CertificateState::Expired);
    assert_eq!(device.state(), DeviceState::Registered);
}

#[test]
fn what_nobody_confirmed_is_superseded_by_the_next() {
    let mut device = device();
    assert!(device.take_up(issue(1, 0)).is_empty());
    let ended = device.take_up(issue(2, 5));
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
    assert!(device.take_up(server_made(1, 0)).is_empty());
    assert_eq!(confirm(&mut device, 1, 1), []);
    assert_eq!(device.state(), DeviceState::Active);
    assert_eq!(device.tokens[0].state, TokenState::BurntByConfirmation);
    assert_eq!(device.sealed, None);
}

#[test]
fn a_sealed_key_goes_after_its_time_and_the_certificate_stays() {
    let mut device = device();
    assert!(device.take_up(server_made(1, 0)).is_empty());
    assert!(device.settle(Timestamp(900)).is_empty());
    assert!(device.sealed.is_some());
    assert!(device.settle(Timestamp(901)).is_empty());
    assert!(device.sealed.is_none());
    assert_eq!(device.state(), DeviceState::Issued, "the certificate stays");
}

#[test]
fn a_timer_looks_at_a_sealed_key_when_its_time_is_over_and_at_nothing_else() {
    let mut device = device();
    assert_eq!(device.due_at(), None);
    assert!(device.take_up(server_made(1, 0)).is_empty());
    assert_eq!(device.due_at(), Some(Timestamp(901)));
    assert!(device.settle(Timestamp(901)).is_empty());
    assert_eq!(device.due_at(), None);
}

#[test]
fn a_sealed_key_goes_after_five_replays() {
    let mut device = device();
    assert!(device.take_up(server_made(1, 0)).is_empty());
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
    assert!(device.take_up(issue(1, 0)).is_empty());
    let ended = device.lose_key(&KeyIdentity([1; 32]));
    assert_eq!(ended[0].state, CertificateState::Revoked);
    assert_eq!(bound(&device), None);
    assert_eq!(device.tokens[0].state.as_str(), "used");
}

#[test]
fn with_a_current_key_that_is_compromised_goes_what_was_renewed_from_it() {
    let compromised = KeyIdentity([1; 32]);
    let mut renewing = device();
    assert_eq!(renewing.take_up(issue(1, 0)), []);
    assert_eq!(confirm(&mut renewing, 1, 0), []);
    let mut reissued = renewing.clone();

    assert_eq!(renewing.take_up(renewed(2, 10)), []);
    let mut expired = renewing.clone();
    assert_eq!(renewing.lose_key(&compromised).len(), 2);
    assert_eq!(states(&renewing), []);

    assert_eq!(expired.settle(Timestamp(10_005)).len(), 2);
    assert_eq!(states(&expired), [(2, CertificateState::Unconfirmed)]);
    assert_eq!(expired.lose_key(&compromised).len(), 1);
    assert_eq!((states(&expired), expired.outlived), (vec![], None));

    assert_eq!(reissued.take_up(issue(3, 10)), []);
    drop(reissued.lose_key(&compromised));
    assert_eq!(states(&reissued), [(3, CertificateState::Unconfirmed)], "came with a token");
}

#[test]
fn the_stored_form_is_read_back_as_it_was() {
    let mut device = device();
    assert!(device.take_up(server_made(1, 0)).is_empty());
    device.attributes.insert(String::from("line"), String::from("2"));
    let text = serde_json::to_string(&device).unwrap();
    assert_eq!(serde_json::from_str::<Device>(&text).unwrap(), device);
}

#[test]
fn promotion_retires_the_former_current_one_for_its_grace() {
    let mut device = device();
    assert_eq!(device.take_up(issue(1, 0)), []);
    assert_eq!(confirm(&mut device, 1, 0), []);
    assert_eq!(device.take_up(renewed(2, 10)), []);
    assert_eq!(states(&device), [(1, CertificateState::Current), (2, CertificateState::Candidate)]);
    let moved = confirm(&mut device, 2, 20);
    assert_eq!((moved[0].id.0[0], moved[0].state), (1, CertificateState::Retiring));
    assert_eq!(device.due_at(), Some(Timestamp(20 + 300 + 1)));
    assert_eq!(device.settle(Timestamp(320)), []);
    assert_eq!(device.settle(Timestamp(321))[0].state, CertificateState::Superseded);
    assert_eq!(states(&device), [(2, CertificateState::Current)]);
}

#[test]
fn a_second_promotion_ends_the_retiring_one_at_once() {
    let mut device = device();
    assert_eq!(device.take_up(issue(1, 0)), []);
    for number in 1..=3 {
        drop(confirm(&mut device, number, 10));
        drop(device.take_up(renewed(number + 1, 10)));
    }
    let at_most_one = |state| device.live.iter().filter(|live| live.state == state).count() <= 1;
    assert!(at_most_one(CertificateState::Retiring));
    assert_eq!(device.live.len(), 3);
}

#[test]
fn a_candidate_is_dropped_on_evidence_after_its_overlap_and_not_before() {
    let mut device = device();
    assert_eq!(device.take_up(issue(1, 0)), []);
    assert_eq!(confirm(&mut device, 1, 0), []);
    assert_eq!(device.take_up(renewed(2, 10)), []);
    let current = CertificateId([1; 32]);
    assert_eq!(device.settle(Timestamp(600)), [], "time alone is no evidence");
    assert_eq!(device.use_current(&current, Timestamp(510)), []);
    assert_eq!(device.use_current(&CertificateId([2; 32]), Timestamp(511)), []);
    let moved = device.use_current(&current, Timestamp(511));
    assert_eq!(moved[0].state, CertificateState::Dropped);
}

#[test]
fn what_a_renewal_wins_over_is_dropped_and_what_a_token_displaces_is_superseded() {
    let mut device = device();
    assert_eq!(device.take_up(issue(1, 0)), []);
    assert_eq!(confirm(&mut device, 1, 0), []);
    assert_eq!(device.take_up(issue(2, 1)), []);
    assert_eq!(device.take_up(renewed(3, 2))[0].state, CertificateState::Dropped);
    assert_eq!(device.take_up(issue(4, 3))[0].state, CertificateState::Superseded);
}

#[test]
fn a_review_that_was_approved_lapses_after_seven_days() {
    let mut device = device();
    device.review = Some(Review {
        id: "00000-00001".parse().unwrap(),
        token: 1,
        key: ReviewKey::Device(KeyIdentity([9; 32])),
        bound: None,
        address: String::new(),
        opened_at: Timestamp(0),
        state: ReviewState::Waiting,
    });
    assert!(device.decide_review(Verdict::Approve, Timestamp(10)));
    assert!(!device.decide_review(Verdict::Deny, Timestamp(10)), "it is decided");
    let state = |device: &Device| device.review.as_ref().unwrap().state.clone();
    drop(device.settle(Timestamp(10 + 7 * 86_400)));
    assert_eq!(state(&device), ReviewState::Approved(Timestamp(10)));
    drop(device.settle(Timestamp(11 + 7 * 86_400)));
    assert_eq!(state(&device), ReviewState::Lapsed);
}

#[test]
fn under_always_and_approval_confirmation_burns_no_token() {
    for reissue in [Reissue::Always, Reissue::Approval] {
        let mut device = device();
        assert_eq!(device.take_up(issue(1, 0)), []);
        let profile = Profile { reissue, ..Profile::default() };
        assert!(device.confirm(&CertificateId([1; 32]), &profile, Timestamp(1)).is_some());
        assert!(device.tokens[0].is_unburnt());
    }
}

proptest! {
    /// I1, whatever happens in whatever order: one certificate that is unconfirmed or current, one
    /// candidate beside a current one only, one retiring; and once burnt a token stays burnt.
    #[test]
    fn no_order_of_events_breaks_the_record(events in prop::collection::vec((0_u8..9, 0_i64..400), 0..60)) {
        let mut device = device();
        let mut now = 0;
        let mut is_burnt = false;
        for (number, (event, wait)) in (1_u8..).zip(events) {
            now += wait;
            drop(device.settle(Timestamp(now)));
            let may_issue = matches!(device.tokens[0].state, TokenState::Unused | TokenState::Used { .. });
            let (first, last) = (device.live.first().cloned(), device.live.last().cloned());
            match event {
                0 if may_issue => drop(device.take_up(issue(number, now))),
                1 if may_issue => drop(device.take_up(server_made(number, now))),
                2 | 3 => if let Some(live) = last { drop(confirm(&mut device, live.id.0[0], now)) },
                4 => if let Some(live) = first { drop(device.lose_key(&live.key)) },
                5 | 6 if device.state() == DeviceState::Active => drop(device.take_up(renewed(number, now))),
                7 => if let Some(live) = first { drop(device.use_current(&live.id, Timestamp(now))) },
                _ => {}
            }
            let count = |state| device.live.iter().filter(|live| live.state == state).count();
            let working = count(CertificateState::Current) + count(CertificateState::Unconfirmed);
            prop_assert!(working <= 1 && count(CertificateState::Retiring) <= 1);
            prop_assert!(count(CertificateState::Candidate) <= count(CertificateState::Current));
            prop_assert!(device.sealed.as_ref().is_none_or(|key| device.live_by_id(&key.certificate).is_some()));
            let burnt_now = device.tokens[0].state == TokenState::BurntByConfirmation;
            prop_assert!(!is_burnt || burnt_now);
            is_burnt = burnt_now;
        }
    }
}

#[test]
fn a_record_at_home_says_nothing_of_a_platform_outside() {
    let mut device = device();
    drop(device.take_up(issue(1, 0)));
    let text = serde_json::to_string(&device).unwrap();
    for field in ["reservation", "owed", "life_ends"] {
        assert!(!text.contains(field), "{text}");
    }
    // What an older release wrote is read as it was meant.
    assert_eq!(serde_json::from_str::<Device>(&text).unwrap(), device);
}
