//! What is not JSON for us, and that no refusal repeats it.

use cvm_wire::device::VendRequest;

use super::*;

fn detail(body: &[u8]) -> String {
    parse::<VendRequest>(body).unwrap_err().detail.into_owned()
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let deep = |open: &str, count: usize| format!("{{\"a\":{}", open.repeat(count)).into_bytes();
    for (body, wanted) in [
        (&b""[..], "ends too early: line 1, column 0"),
        (b"{", "ends too early"),
        (b"hello", "not JSON (RFC 8259): line 1, column 1"),
        (b"{\"serialNumber\": \"a\"}", "`token` is missing: line 1, column 21"),
        (b"{\n\"serialNumber\": 7, \"token\": \"t\"}", "wrong type: line 2, column 17"),
        (b"{\"serialNumber\": null, \"token\": \"t\"}", "wrong type"),
        (b"{\"serialNumber\": \"a\", \"token\": [\"t\"]}", "wrong type"),
        (b"{\"token\": \"t\", \"token\": \"t\"}", "there twice"),
        (b"{\"a\": {\"b\": 1, \"\\u0062\": 2}}", "there twice"),
        (b"[]", "wrong type"),
        (b"{} {}", "not JSON"),
        (b"\xEF\xBB\xBF{}", "not JSON"),
        (b"{\"serialNumber\": \"\xFF\"}", "not JSON"),
        (b"{\"serialNumber\": \"\0\"}", "not JSON"),
        (b"{\"serialNumber\": \"\\ud800\"}", "not JSON"),
        (b"{\"ignored\": \"\\ud800\"}", "not JSON"),
        (b"{\"n\": 1e999}", "not JSON"),
        (b"{\"n\": NaN}", "not JSON"),
        (&deep("[", 30_000), "not JSON"),
        (&deep("{\"a\":", 10_000), "not JSON"),
    ] {
        let said = detail(body);
        assert!(said.contains(wanted), "{:?}: {said}", String::from_utf8_lossy(body));
    }
}

#[test]
fn nothing_of_what_was_sent_is_repeated() {
    for body in [
        r#"{"serialNumber": "s3cret", "token": "s3cret", "csr": {"s3cret": "s3cret"}}"#,
        r#"{"serialNumber": ["s3cret"], "token": "s3cret"}"#,
        r#"{"token": "s3cret", "s3cret": 1, "s3cret": 2}"#,
        r#"{"token": "s3cret""#,
        r#""missing field `s3cret`""#,
        r#"{"serialNumber": "s", "token": 987654}"#,
    ] {
        let said = detail(body.as_bytes());
        assert!(!said.contains("s3cret") && !said.contains("987654"), "{said}");
    }
}

#[test]
fn unknown_fields_and_big_numbers_in_them_are_ignored() {
    let body = br#"{"serialNumber": "a", "token": "t", "more": [1.5, -3, {"a": null}, true]}"#;
    assert_eq!(parse::<VendRequest>(body).unwrap().serial_number, "a");
}
