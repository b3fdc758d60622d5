//! The `OpenAPI` document as it is served, judged by a validator that others wrote, and the answers
//! of the real server judged by the document.

use std::process::Command;

use cvm_e2e::{Environment, Key, test_python};
use serde_json::{Value, json};

/// Checks each `[schema name, instance]` against the document's schemas.
const JUDGE: &str = r##"
import json, sys
import jsonschema
document, cases = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
for name, instance in cases:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(instance)
    print("valid", name)
"##;

fn python(arguments: &[&str]) -> String {
    let output = Command::new(test_python().unwrap()).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn the_document_is_valid_and_so_are_the_answers() {
    let environment = Environment::start(&[]).unwrap();
    let served = environment.operator_client().unwrap();
    let served = served.request("GET", "/v1/openapi.json", &[], None).unwrap();
    let document = environment.scratch().join("openapi.json");
    std::fs::write(&document, &served.body).unwrap();
    let document = document.to_str().unwrap();
    python(&["-m", "openapi_spec_validator", "--schema", "3.1", document]);

    let token = environment.device_add("SN-1").unwrap();
    let vended = environment.vend("SN-1", &token, &Key::new().unwrap().csr().unwrap()).unwrap();
    let refused = environment.vend("SN-1", "not this device's token", "no CSR").unwrap();
    let accepted = environment.operate("POST", "/v1/clock:accept", None).unwrap();
    let get = |path: &str| environment.operate("GET", path, None).unwrap().json().unwrap();
    let first = |path: &str| get(path)["items"][0].clone();
    let new = json!({"name": "ci", "role": "viewer"});
    let made = environment.operate("POST", "/v1/admin-tokens", Some(&new)).unwrap();
    let cases: Vec<(&str, Value)> = vec![
        ("AdminToken", made.json().unwrap()),
        ("AdminToken", first("/v1/admin-tokens")),
        ("Vended", vended.json().unwrap()),
        ("Problem", refused.json().unwrap()),
        ("Device", get("/v1/devices/SN-1")),
        ("Device", first("/v1/devices")),
        ("Certificate", first("/v1/certificates")),
        ("Policy", get("/v1/policies/cvm-default")),
        ("Attempt", first("/v1/attempts?serialNumber=SN-1")),
        ("JournalRow", first("/v1/journal")),
        ("Clock", get("/v1/clock")),
        ("ClockAccepted", accepted.json().unwrap()),
    ];
    let instances = environment.scratch().join("instances.json");
    std::fs::write(&instances, serde_json::to_string(&cases).unwrap()).unwrap();
    let said = python(&["-c", JUDGE, document, instances.to_str().unwrap()]);
    assert_eq!(said.matches("valid ").count(), cases.len(), "{said}");
}
