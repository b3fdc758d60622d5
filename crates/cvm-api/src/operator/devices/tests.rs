//! What a registration may say.

use super::*;

fn refused(body: &str) -> Option<String> {
    let new = json::parse(body.as_bytes()).and_then(|wire| new_device(wire, None));
    new.err().map(|refused| refused.detail.into_owned())
}

#[test]
fn each_mistake_names_its_field_and_repeats_nothing() {
    for (body, field) in [
        (r#"{"serialNumber": "a s3cret"}"#, "serialNumber"),
        (r#"{"serialNumber": ""}"#, "serialNumber"),
        (r#"{"serialNumber": "a", "token": "s3cret"}"#, "token"),
        (r#"{"serialNumber": "a", "tokenExpires": "s3cret"}"#, "tokenExpires"),
        (r#"{"serialNumber": "a", "thingName": "a/s3cret"}"#, "thingName"),
        (r#"{"serialNumber": "a", "policy": "a s3cret"}"#, "policy"),
        (r#"{"serialNumber": "a", "profile": ""}"#, "profile"),
    ] {
        let said = refused(body).unwrap();
        assert!(said.contains(field) && !said.contains("s3cret"), "{body}: {said}");
    }
}

#[test]
fn an_idempotency_key_is_one_of_1_to_255_characters() {
    let key = |values: &[&str]| {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append("idempotency-key", value.parse().unwrap());
        }
        idempotency_key(&fields)
    };
    assert_eq!(key(&[]).unwrap(), None);
    assert_eq!(key(&["k"]).unwrap().as_deref(), Some("k"));
    assert!(key(&[&"k".repeat(255)]).is_ok());
    assert!(key(&[&"k".repeat(256)]).is_err());
    assert!(key(&[""]).is_err());
    assert!(key(&["a", "b"]).is_err());
}
