//! The document is the API: routes, bodies, statuses and slugs are the same on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cvm_wire::SecretText;
use cvm_wire::device::{Endpoints, RenewRequest, VendRequest, Vended};
use cvm_wire::import::{ImportProblem, ImportResult};
use cvm_wire::operator::{
    AdminToken, Attempt, AttemptList, Certificate, CertificateBrief, Clock, ClockAccepted, Device,
    JournalRow, List, NewAdminToken, NewDevice, NewToken, Policy, Review, Revocation, Step,
    UnknownSerialNumbers,
};
use cvm_wire::problem::{Pending, Problem, Signable};
use cvm_wire::signed::{Flattened, FreshNonce};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap());

/// That an answer, to whatever operation, is as the document says. Requests that reach no
/// operation have none to be documented in.
pub(crate) fn check(method: &str, path: &str, status: u16, slug: Option<&str>) {
    let method = if method == "HEAD" { "GET" } else { method };
    let operations = DOCUMENT["paths"].as_object().unwrap().iter().filter_map(|(pattern, item)| {
        let operation = item.get(method.to_lowercase())?;
        is_like(pattern, path).then_some((pattern, operation))
    });
    // A literal segment is closer than a variable.
    let Some((pattern, operation)) = operations.min_by_key(|(pattern, _)| pattern.contains('{'))
    else {
        return;
    };
    let answer = resolved(&operation["responses"][status.to_string()]);
    // A route of the other listener is 404 wherever it is, or 405 where another has its path.
    if matches!(status, 404 | 405) && answer.is_null() {
        return;
    }
    assert!(!answer.is_null(), "{method} {pattern} answers {status}, undocumented");
    if let Some(slug) = slug {
        let slugs = answer["x-problems"].as_array().unwrap();
        assert!(slugs.iter().any(|known| known == slug), "{method} {pattern} {status} {slug}");
    }
}

fn is_like(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (wanted, given): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len()
        && wanted.iter().zip(&given).all(|(wanted, given)| match wanted.strip_prefix('{') {
            Some(variable) => action_of(variable) == action_of(given),
            None => wanted == given,
        })
}

fn action_of(segment: &str) -> Option<&str> {
    segment.rsplit_once(':').map(|(_, action)| action)
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &'static Value) {
        match value {
            Value::Object(fields) => {
                if fields.contains_key("$ref") {
                    assert!(!resolved(value).is_null());
                }
                fields.values().for_each(walk);
            }
            Value::Array(items) => items.iter().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&DOCUMENT);
}

/// A secret of the examples.
fn secret() -> SecretText {
    SecretText::new(Zeroizing::new(String::from("s")))
}

fn t() -> String {
    String::from("t")
}

fn brief() -> CertificateBrief {
    CertificateBrief { certificate_id: t(), state: t() }
}

fn device(token: Option<SecretText>) -> Device {
    Device {
        serial_number: t(),
        thing_name: t(),
        policy: t(),
        profile: t(),
        attributes: BTreeMap::new(),
        roads: Vec::new(),
        state: t(),
        disabled: false,
        token_state: t(),
        token_expires: t(),
        certificates: vec![brief()],
        created_at: t(),
        version: 1,
        token,
    }
}

fn certificate(maybe: Option<String>) -> Certificate {
    Certificate {
        certificate_id: t(),
        certificate_serial: t(),
        serial_number: t(),
        thing_name: t(),
        state: t(),
        origin: t(),
        not_before: t(),
        not_after: t(),
        confirmed_at: maybe.clone(),
        revoked_at: maybe.clone(),
        reason: maybe,
        certificate: t(),
    }
}

fn admin_token(maybe: Option<String>) -> AdminToken {
    AdminToken {
        id: t(),
        name: t(),
        role: t(),
        state: t(),
        created_at: t(),
        token: maybe.as_ref().map(|_| secret()),
        expires: maybe.clone(),
        revoked_at: maybe,
    }
}

fn new_admin_token(expires: Option<String>) -> NewAdminToken {
    NewAdminToken { name: t(), role: t(), expires }
}

fn attempt() -> Attempt {
    Attempt {
        attempt: t(),
        at: t(),
        serial_number: t(),
        address: t(),
        act: t(),
        outcome: t(),
        reason: t(),
        steps: Vec::new(),
        meaning: t(),
        cure: t(),
    }
}

fn row(maybe: Option<String>) -> JournalRow {
    JournalRow {
        writer: t(),
        number: 1,
        at: t(),
        class: t(),
        kind: t(),
        serial_number: t(),
        certificate_id: maybe.clone(),
        attempt: maybe,
        actor: t(),
        detail: t(),
    }
}

fn vended(private_key: Option<SecretText>) -> Vended {
    Vended {
        certificate_id: t(),
        certificate: t(),
        chain: t(),
        root_ca: t(),
        private_key,
        thing_name: t(),
        not_before: t(),
        not_after: t(),
        renew_after: t(),
        server_time: t(),
        endpoints: Endpoints::default(),
        attempt: t(),
    }
}

fn vend_request(csr: Option<String>) -> VendRequest {
    VendRequest { serial_number: t(), token: secret(), key_algorithm: csr.clone(), csr }
}

fn new_device(maybe: Option<String>) -> NewDevice {
    NewDevice {
        serial_number: t(),
        token: maybe.as_ref().map(|_| secret()),
        token_expires: maybe.clone(),
        thing_name: maybe.clone(),
        policy: maybe.clone(),
        profile: maybe.clone(),
        roads: maybe.as_ref().map(|_| Vec::new()),
        again: maybe.is_some(),
        attributes: maybe.map(|text| (text.clone(), text)).into_iter().collect(),
    }
}

fn new_token(maybe: Option<String>) -> NewToken {
    NewToken {
        token: maybe.as_ref().map(|_| secret()),
        revoke: maybe.is_some(),
        token_expires: maybe,
    }
}

fn import_problem() -> ImportProblem {
    ImportProblem { kind: t(), title: t(), status: 400, detail: t() }
}

fn import_result(maybe: Option<String>) -> ImportResult {
    ImportResult {
        line: 1,
        status: 201,
        token: maybe.as_ref().map(|_| secret()),
        problem: maybe.as_ref().map(|_| import_problem()),
        serial_number: maybe,
    }
}

fn review(maybe: Option<String>) -> Review {
    Review {
        id: t(),
        serial_number: t(),
        thing_name: t(),
        state: t(),
        key: maybe.clone(),
        key_algorithm: maybe.clone(),
        bound_key: maybe.clone(),
        address: t(),
        opened_at: t(),
        approved_until: maybe,
    }
}

fn pending() -> BTreeSet<String> {
    let pending = Pending { review: t() };
    let problem = Problem { kind: t(), title: t(), status: 202, detail: t(), attempt: t() };
    names(&problem).union(&names(&pending)).cloned().collect()
}

fn certificate_required() -> BTreeSet<String> {
    let problem = Problem { kind: t(), title: t(), status: 401, detail: t(), attempt: t() };
    names(&problem).union(&names(&Signable { signed: true })).cloned().collect()
}

fn clock(maybe: Option<String>) -> Clock {
    Clock { now: t(), believed: t(), mark: maybe.clone(), trusted: true, reason: maybe }
}

fn clock_accepted(mark_before: Option<String>) -> ClockAccepted {
    ClockAccepted { now: t(), mark_before }
}

fn list<T>(item: T) -> List<T> {
    List { items: vec![item], cursor: None }
}

fn unknown() -> UnknownSerialNumbers {
    UnknownSerialNumbers { address: t(), count: 1 }
}

fn attempts(is_unknown: bool) -> AttemptList {
    let unknown_serial_numbers = if is_unknown { vec![unknown()] } else { Vec::new() };
    AttemptList { items: vec![attempt()], cursor: None, unknown_serial_numbers }
}

fn names(value: &impl Serialize) -> BTreeSet<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

/// Each wire type, by its schema: with everything it can have, and with as little as it can.
fn examples() -> Vec<(&'static str, BTreeSet<String>, BTreeSet<String>)> {
    let full = Some(t());
    let endpoints = Endpoints { mqtt: full.clone(), https: full.clone() };
    let step = Step { name: t(), passed: true, evidence: t() };
    let problem = Problem { kind: t(), title: t(), status: 400, detail: t(), attempt: t() };
    let policy = || Policy { name: t(), document: Value::Null, updated_at: t() };
    let same = |value: BTreeSet<String>| (value.clone(), value);
    let two = |name, (full, least)| (name, full, least);
    vec![
        two("AdminToken", (names(&admin_token(full.clone())), names(&admin_token(None)))),
        two("AdminTokenList", same(names(&list(admin_token(None))))),
        two("Attempt", same(names(&attempt()))),
        two("AttemptList", (names(&attempts(true)), names(&attempts(false)))),
        two("Certificate", (names(&certificate(full.clone())), names(&certificate(None)))),
        two("CertificateBrief", same(names(&brief()))),
        two("CertificateList", same(names(&list(certificate(None))))),
        two("CertificateRequiredProblem", same(certificate_required())),
        two("Clock", (names(&clock(full.clone())), names(&clock(None)))),
        two("ClockAccepted", same(names(&clock_accepted(full.clone())))),
        two("Device", (names(&device(Some(secret()))), names(&device(None)))),
        two("DeviceList", same(names(&list(device(None))))),
        two("Endpoints", (names(&endpoints), names(&Endpoints::default()))),
        two("ImportProblem", same(names(&import_problem()))),
        two("ImportResult", (names(&import_result(full.clone())), names(&import_result(None)))),
        two("JournalRow", (names(&row(full.clone())), names(&row(None)))),
        two("JournalRowList", same(names(&list(row(None))))),
        two(
            "NewAdminToken",
            (names(&new_admin_token(full.clone())), names(&new_admin_token(None))),
        ),
        two("NewDevice", (names(&new_device(full.clone())), names(&new_device(None)))),
        two("NewToken", (names(&new_token(full.clone())), names(&new_token(None)))),
        two("Nonce", same(names(&FreshNonce { nonce: t() }))),
        two("PendingProblem", same(pending())),
        two("Policy", same(names(&policy()))),
        two("PolicyList", same(names(&list(policy())))),
        two("Problem", same(names(&problem))),
        two(
            "RenewRequest",
            (names(&RenewRequest { csr: full.clone() }), names(&RenewRequest { csr: None })),
        ),
        two("Review", same(names(&review(full.clone())))),
        two("ReviewList", same(names(&list(review(None))))),
        two(
            "Revocation",
            (names(&Revocation { reason: full.clone() }), names(&Revocation { reason: None })),
        ),
        two(
            "SignedRequest",
            same(names(&Flattened { protected: t(), payload: t(), signature: t() })),
        ),
        two("Step", same(names(&step))),
        two("UnknownSerialNumbers", same(names(&unknown()))),
        two("Vended", (names(&vended(Some(secret()))), names(&vended(None)))),
        two("VendRequest", (names(&vend_request(full)), names(&vend_request(None)))),
    ]
}

#[test]
fn every_body_has_exactly_the_properties_of_its_schema() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    let mut described: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    // What a policy document is, AWS says.
    assert!(described.remove("PolicyDocument"));
    for (name, full, least) in examples() {
        let schema = &schemas[name];
        let properties = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(full, properties, "{name}");
        let required = schema["required"].as_array().unwrap().iter();
        let required = required.map(|field| field.as_str().unwrap().to_owned()).collect();
        assert_eq!(least, required, "{name}");
        assert!(described.remove(name), "{name}");
    }
    assert_eq!(described, BTreeSet::new());
}
