//! The audit on accounts and stores that were doctored: each invariant can be seen to break.

use std::collections::BTreeMap;

use cvm_wire::problem::Problem;

use super::*;

fn given(id: &str, act: Act) -> Given {
    Given { id: id.to_owned(), der: CertificateDer::from(id.as_bytes().to_vec()), act }
}

fn pem(id: &str) -> String {
    // `one` and `two` in base64.
    let body = if id == "one" { "b25l" } else { "dHdv" };
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn certificate(id: &str, origin: &str, state: &str) -> Certificate {
    Certificate {
        certificate_id: id.to_owned(),
        certificate_serial: String::new(),
        serial_number: String::from("rehearse-1-0"),
        thing_name: String::new(),
        state: state.to_owned(),
        origin: origin.to_owned(),
        not_before: String::new(),
        not_after: String::new(),
        confirmed_at: None,
        revoked_at: None,
        reason: None,
        certificate: pem(id),
    }
}

fn shown(state: &str, token_state: &str) -> Shown {
    Shown {
        serial_number: String::from("rehearse-1-0"),
        thing_name: String::new(),
        policy: String::new(),
        profile: String::from("rehearse"),
        attributes: BTreeMap::new(),
        roads: Vec::new(),
        state: state.to_owned(),
        disabled: false,
        token_state: token_state.to_owned(),
        token_expires: String::new(),
        certificates: Vec::new(),
        created_at: String::new(),
        version: 1,
        token: None,
    }
}

fn account(reached: Reached, given: Vec<Given>, holds: &str) -> Account {
    let holds = Some(holds.to_owned()).filter(|id| !id.is_empty());
    Account {
        serial: String::from("rehearse-1-0"),
        is_registered: true,
        reached,
        given,
        holds,
        ..Account::default()
    }
}

/// A device that was vended, confirmed and renewed, as all of them should end.
fn renewed() -> (Account, Stored) {
    let given = vec![given("one", Act::Vend), given("two", Act::Renew)];
    let certificates =
        vec![certificate("one", "token", "retiring"), certificate("two", "renewal", "current")];
    let stored = Stored { device: Some(shown("active", "burnt")), certificates };
    (account(Reached::Renewed, given, "two"), stored)
}

fn kinds(account: &Account, setback: Option<&Setback>, stored: &Stored) -> Vec<Kind> {
    let mut kinds: Vec<Kind> =
        judge(account, setback, stored).into_iter().map(|finding| finding.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// What the audit finds where `doctor` changed one thing.
fn doctored(doctor: impl Fn(&mut Account, &mut Stored)) -> Vec<Kind> {
    let (mut account, mut stored) = renewed();
    doctor(&mut account, &mut stored);
    kinds(&account, None, &stored)
}

fn interrupted() -> Setback {
    Setback::Impatient { act: Act::Prove, last: String::new(), is_limited: false }
}

#[test]
fn what_went_well_breaks_nothing() {
    assert_eq!(doctored(|_, _| {}), []);
    let of = |reached, state: &str, device: Shown| {
        let account = account(reached, vec![given("one", Act::Vend)], "one");
        let certificates = vec![certificate("one", "token", state)];
        kinds(&account, None, &Stored { device: Some(device), certificates })
    };
    assert_eq!(of(Reached::Vended, "unconfirmed", shown("issued", "used")), []);
    assert_eq!(of(Reached::Confirmed, "current", shown("active", "burnt")), []);
}

#[test]
fn i3_a_certificate_that_left_and_is_not_in_the_store_is_lost() {
    let lost = doctored(|_, stored| drop(stored.certificates.remove(0)));
    assert_eq!(lost, [Kind::Lost]);
    let gone = doctored(|_, stored| *stored = Stored::default());
    assert!(gone.contains(&Kind::Lost));
}

#[test]
fn i3_other_bytes_or_another_device_are_as_bad_as_nothing() {
    let bytes = doctored(|_, stored| stored.certificates[1].certificate = pem("one"));
    assert_eq!(bytes, [Kind::Lost]);
    let device = doctored(|_, stored| stored.certificates[1].serial_number = String::from("x"));
    assert_eq!(device, [Kind::Lost]);
}

#[test]
fn i3_a_certificate_that_nobody_was_given_is_an_orphan() {
    let orphan = doctored(|account, stored| {
        account.given.remove(0);
        stored.certificates[0].state = String::from("superseded");
    });
    assert_eq!(orphan, [Kind::Orphan]);
}

#[test]
fn i2_a_token_that_obtained_two_is_a_double_whether_they_live_or_not() {
    let double = doctored(|account, stored| {
        account.given.push(given("two", Act::Vend));
        stored.certificates[1].origin = String::from("token");
    });
    assert_eq!(double, [Kind::Double]);
    let renewed = doctored(|_, stored| stored.certificates[0].origin = String::from("renewal"));
    assert_eq!(renewed, [Kind::Double]);
}

#[test]
fn i1_two_that_work_or_a_candidate_alone_are_too_many() {
    let two = doctored(|_, stored| stored.certificates[0].state = String::from("unconfirmed"));
    assert!(two.contains(&Kind::Shape));
    let alone = doctored(|_, stored| {
        stored.certificates[0].state = String::from("candidate");
        stored.certificates[1].state = String::from("unconfirmed");
    });
    assert!(alone.contains(&Kind::Shape));
}

#[test]
fn i5_a_device_whose_certificate_was_revoked_or_not_promoted_is_told() {
    for state in ["revoked", "candidate", "superseded", "dropped"] {
        let taken = doctored(|_, stored| stored.certificates[1].state = state.to_owned());
        assert!(taken.contains(&Kind::Taken), "{state}");
    }
    let disabled = doctored(|_, stored| stored.device.as_mut().unwrap().disabled = true);
    assert_eq!(disabled, [Kind::Taken]);
}

#[test]
fn i9_a_token_that_is_not_burnt_by_the_first_use_is_told() {
    let token = doctored(|_, stored| stored.device = Some(shown("active", "used")));
    assert_eq!(token, [Kind::Token]);
}

#[test]
fn a_refusal_is_a_broken_invariant_and_a_lack_of_patience_is_none() {
    let (_, stored) = renewed();
    let problem = Box::new(Problem {
        kind: String::from("/problems/access-denied"),
        title: String::new(),
        status: 403,
        detail: String::from("no"),
        attempt: String::from("K7QF2-M8WXA"),
    });
    let mut account = account(Reached::Confirmed, vec![given("one", Act::Vend)], "one");
    account.given.push(given("two", Act::Renew));
    account.candidate = Some(String::from("two"));
    let refused =
        |act| kinds(&account, Some(&Setback::Refused { act, problem: problem.clone() }), &stored);
    assert_eq!(refused(Act::Vend), [Kind::Stuck]);
    assert_eq!(refused(Act::Prove), [Kind::Taken]);
    assert_eq!(kinds(&account, Some(&interrupted()), &stored), []);
}

#[test]
fn who_gave_up_may_have_one_on_its_way_and_must_have_one_that_works() {
    let (_, mut stored) = renewed();
    let account = account(Reached::Confirmed, vec![given("one", Act::Vend)], "one");
    stored.certificates[0].state = String::from("current");
    stored.certificates[1].state = String::from("candidate");
    assert_eq!(kinds(&account, Some(&interrupted()), &stored), []);
    stored.certificates[0].state = String::from("superseded");
    assert_eq!(kinds(&account, Some(&interrupted()), &stored), [Kind::Shape, Kind::Taken]);
}
