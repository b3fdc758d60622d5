//! The functions that `fuzz/` calls, on the stable toolchain: with what is right, and with that after
//! a few bytes of it were changed, taken out or doubled.

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "it is a library of its own too")]
#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

const CASES: u32 = 2_000;

/// Texts that the parsers take, or nearly.
const TEXTS: [&str; 14] = [
    "SN-0001",
    "line/7:A+1",
    "1800000000:SN-0001",
    "K7QF2-M8WXA",
    "0000000000000000000000000000000000000000000000000000000000000001",
    "90d",
    "2026-01-31T12:00:00Z",
    "cvm-default",
    r#"{"serialNumber": "SN-1", "token": "a token of its own", "attributes": {"a": "1"}}"#,
    r#"{"serialNumber": "SN-1", "token": "a token", "csr": "-----BEGIN CERTIFICATE REQUEST-----"}"#,
    r#"{"name": "ci", "role": "viewer", "reason": "keyCompromise", "revoke": true}"#,
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}"#,
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": ["iot:Publish"], "Resource": ["a/${iot:Connection.Thing.ThingName}"]}}"#,
    "",
];

/// One of them, after up to eight changes.
fn changed(texts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    (prop::sample::select(texts), prop::collection::vec(change, 0..8)).prop_map(
        |(mut text, changes)| {
            for (place, kind, byte) in changes {
                let at = place.index(text.len() + 1);
                match kind {
                    0 => text.insert(at, byte),
                    1 if at < text.len() => text[at] = byte,
                    2 if at < text.len() => drop(text.remove(at)),
                    _ => text.extend_from_within(at..),
                }
            }
            text
        },
    )
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    prop_oneof![4 => changed(texts), 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn names_bodies_and_policies_that_were_read_are_read_the_same_again(text in texts()) {
        targets::names(&text);
        targets::body(&text);
        targets::policy(&text);
    }
}

#[test]
fn requests_that_were_changed_never_panic() {
    let requests = targets::Requests::begin();
    let pem = cvm_e2e::Key::new().unwrap().csr().unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    runner
        .run(&changed(vec![pem.into_bytes(), der]), |text| {
            requests.read(&text);
            Ok(())
        })
        .unwrap();
}
