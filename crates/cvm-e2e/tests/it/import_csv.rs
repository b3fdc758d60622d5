//! `cvm device import`: what it does with files, and with servers that lose connections, are busy, or
//! die; and what is left when it is killed itself.

mod file;
mod kills;
mod labels;
mod power;
mod refused;
mod stand_in;
mod unsteady;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use cvm_e2e::{Environment, Key};
use serde_json::Value;

/// A file of the test's own.
fn write(environment: &Environment, name: &str, text: &str) -> PathBuf {
    let path = environment.scratch().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A file of `count` devices that bring nothing but their serial numbers.
fn fleet(environment: &Environment, count: usize) {
    let rows: String = (0..count).map(|number| format!("SN-{number}\n")).collect();
    write(environment, "fleet.csv", &format!("serial\n{rows}"));
}

/// Runs an import to its end: exit code, standard output, standard error.
fn import(environment: &Environment, arguments: &[&str]) -> (i32, String, String) {
    environment.run(&[&["device", "import"], arguments].concat()).unwrap()
}

/// Runs an import that has to succeed, and returns its summary.
fn imported(environment: &Environment, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = import(environment, &[arguments, &["--output", "json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// What a tokens file holds.
fn tokens(environment: &Environment, name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(environment.scratch().join(name)).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("serial,token"));
    let pairs: Vec<(String, String)> = lines
        .map(|line| line.split_once(',').unwrap())
        .map(|(serial, token)| (serial.to_owned(), token.to_owned()))
        .collect();
    let tokens: BTreeMap<String, String> = pairs.iter().cloned().collect();
    assert_eq!(tokens.len(), pairs.len(), "no device has two tokens");
    tokens
}

/// The serial numbers of all devices that the server has.
fn registered(environment: &Environment) -> Vec<String> {
    let mut serials = Vec::new();
    let mut path = String::from("/v1/devices?limit=1000");
    loop {
        let page = environment.operate("GET", &path, None).unwrap().json().unwrap();
        let items = page["items"].as_array().unwrap();
        serials.extend(items.iter().map(|it| it["serialNumber"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["cursor"].as_str() else { return serials };
        path = format!("/v1/devices?limit=1000&cursor={cursor}");
    }
}

/// A token is a device's own if it gets a certificate with it.
fn assert_vends(environment: &Environment, serial: &str, token: &str) {
    let csr = Key::new().unwrap().csr().unwrap();
    let response = environment.vend(serial, token, &csr).unwrap();
    assert_eq!(response.status, 201, "{serial}: {response:?}");
}

#[test]
fn devices_of_a_file_are_registered_as_it_says_and_get_certificates_with_their_tokens() {
    let environment = Environment::start(&[]).unwrap();
    let text = "\u{feff}thing_name,serial,token,attributes\r\n\
                lamp-1,SN/1,,line=7;batch=a=b\r\n\
                ,SN:2,my own token 0123,\"{\"\"note\"\": \"\"one;\"\"}\"\r\n\
                \r\n\
                ,SN+3,,\r\n";
    write(&environment, "devices.csv", text);
    let arguments = ["devices.csv", "--tokens-out", "tokens.csv"];
    let summary = imported(&environment, &arguments);
    assert_eq!((&summary["rows"], &summary["registered"]), (&3.into(), &3.into()), "{summary}");
    let shown = |serial: &str| -> Value {
        let text = environment.succeed(&["device", "show", serial, "--output", "json"]).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(shown("SN/1")["thingName"], "lamp-1");
    assert_eq!(shown("SN/1")["attributes"], serde_json::json!({"line": "7", "batch": "a=b"}));
    assert_eq!(shown("SN:2")["attributes"], serde_json::json!({"note": "one;"}));
    let kept = tokens(&environment, "tokens.csv");
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["SN+3", "SN/1"]);
    assert_vends(&environment, "SN/1", &kept["SN/1"]);
    assert_vends(&environment, "SN:2", "my own token 0123");

    // Once more, and nothing changes, whatever became of the tokens.
    let again = imported(&environment, &arguments);
    assert_eq!((&again["registered"], &again["registeredBefore"]), (&0.into(), &3.into()));
    assert_eq!(tokens(&environment, "tokens.csv"), kept);
    assert_vends(&environment, "SN+3", &kept["SN+3"]);
}

#[test]
fn a_file_may_come_through_a_pipe() {
    let environment = Environment::start(&[]).unwrap();
    let path = write(&environment, "devices.csv", "serial\nSN-1\n");
    let mut command =
        environment.command(&["device", "import", "-", "--tokens-out", "tokens.csv"]).unwrap();
    let output = command.stdin(Stdio::from(std::fs::File::open(path).unwrap())).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(registered(&environment), ["SN-1"]);
}

#[test]
fn who_may_not_register_is_told_before_anything_is_written() {
    let environment = Environment::start(&[]).unwrap();
    let create = ["admin", "token", "create", "v", "--role", "viewer", "--out", "viewer"];
    environment.succeed(&create).unwrap();
    write(&environment, "devices.csv", "serial\nSN-1\n");
    let arguments = ["devices.csv", "--tokens-out", "tokens.csv", "--admin-token-file", "viewer"];
    let (code, _, stderr) = import(&environment, &arguments);
    assert_eq!(code, 1);
    assert!(stderr.contains("role-required"), "{stderr}");
    assert!(!environment.scratch().join("tokens.csv").exists());
}
