//! `cvm doctor --keys`: keys of several devices, moduli that share a factor, and keys that no request
//! of today would be answered with. Python and badkeys say the same of them.

use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use cvm_e2e::{Key, Response, test_python};

use super::*;

fn python(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/doctor/keys.py");
    let output = Command::new(test_python().unwrap()).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn vended(environment: &Environment, serial: &str, csr: &str) -> Response {
    let token = environment.device_add(serial).unwrap();
    let answer = environment.vend(serial, &token, csr).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn assert_good(environment: &Environment) {
    let (_, report) = doctor(environment, &["--keys"]);
    for check in ["weak-keys", "shared-keys", "common-factors"] {
        assert_told(&report, "ok", check, &[]);
    }
}

/// The command of the cure for a device's certificate, run as it stands there.
fn apply(environment: &Environment, report: &str, check: &str, serial: &str) {
    let begins = |line: &&str| line.starts_with("FAILED") && line.contains(check);
    let line = report.lines().filter(begins).find(|line| line.contains(&format!("  {serial} (")));
    let (_, cure) = line.unwrap_or_else(|| panic!("{report}")).split_once("What to do: ").unwrap();
    let revoke = cure.split(';').next().unwrap();
    let words: Vec<&str> = revoke.split_whitespace().skip(1).collect();
    environment.succeed(&words).unwrap();
}

#[test]
fn moduli_that_share_a_factor_are_found_by_us_and_by_plain_arithmetic() {
    let environment = Environment::start(&[]).unwrap();
    let made: Value = serde_json::from_str(&python(&["make"])).unwrap();
    vended(&environment, "SN-EC", &Key::new().unwrap().csr().unwrap());
    assert_good(&environment);
    let mut files = Vec::new();
    for name in ["one", "other", "good"] {
        let answer = vended(&environment, name, made[name].as_str().unwrap());
        let file = environment.scratch().join(name);
        fs::write(&file, answer.text("certificate")).unwrap();
        files.push(file.to_str().unwrap().to_owned());
    }
    let judge: Vec<&str> = ["judge"].into_iter().chain(files.iter().map(String::as_str)).collect();
    assert_eq!(python(&judge), format!("{} {}\n", files[0], files[1]));

    let (code, report) = doctor(&environment, &["--keys"]);
    assert_eq!(code, 1);
    assert_told(&report, "ok", "weak-keys", &["of 4 certificates"]);
    let words = ["one (certificate", "with other (certificate", "--reason keyCompromise"];
    assert_told(&report, "FAILED", "common-factors", &words);
    assert_told(&report, "FAILED", "common-factors", &["other (certificate", "with one (cert"]);
    assert!(!report.contains("good (certificate"), "{report}");
    assert!(!doctor(&environment, &[]).1.contains("common-factors"), "only where it is asked for");

    apply(&environment, &report, "common-factors", "one");
    apply(&environment, &report, "common-factors", "other");
    let (code, report) = doctor(&environment, &["--keys"]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "common-factors", &["it has ended"]);
}

#[test]
fn a_key_of_two_devices_is_told_until_one_of_them_has_another() {
    let environment = Environment::start(&[]).unwrap();
    let key = Key::new().unwrap().csr().unwrap();
    vended(&environment, "SN-1", &key);
    let second = vended(&environment, "SN-2", &key);
    vended(&environment, "SN-3", &Key::new().unwrap().csr().unwrap());
    let (code, report) = doctor(&environment, &["--keys"]);
    assert_eq!(code, 1);
    for serial in ["SN-1 (certificate", "SN-2 (certificate"] {
        assert_told(&report, "FAILED", "shared-keys", &[serial, "an image with a key in it"]);
    }
    assert!(!report.contains("SN-3"), "{report}");
    let id = second.text("certificateId");
    environment.succeed(&["certificate", "revoke", &id, "--reason", "superseded"]).unwrap();
    assert_good(&environment);
}

#[test]
fn a_key_that_came_in_before_it_was_looked_for_is_found_by_us_and_by_badkeys() {
    let mut environment = Environment::start(&[]).unwrap();
    vended(&environment, "SN-1", &Key::new().unwrap().csr().unwrap());
    assert_good(&environment);
    let made: Value = serde_json::from_str(&python(&["make"])).unwrap();
    let weak = made["weak"].as_str().unwrap();
    let file = environment.scratch().join("weak.crt");
    fs::write(&file, weak).unwrap();
    let judged = Command::new(test_python().unwrap().with_file_name("badkeys"))
        .args(["--checks", "fermat,roca,smallfactors", "--all", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(judged.stdout).unwrap();
    assert!(said.contains("fermat"), "{said}");

    // No server of today certifies it, so it is put into the store.
    environment.terminate().unwrap();
    let lines = weak.lines().filter(|line| !line.starts_with('-'));
    let der = BASE64_STANDARD.decode(lines.collect::<String>()).unwrap();
    let store = rusqlite::Connection::open(environment.data().join("cvm.db")).unwrap();
    assert_eq!(store.execute("UPDATE certificate SET der = ?1", [der]).unwrap(), 1);
    drop(store);
    let (code, report) = doctor(&environment, &["--keys"]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "weak-keys", &["SN-1", "too close", "keyCompromise"]);
    environment.serve().unwrap();
    apply(&environment, &report, "weak-keys", "SN-1");
    let (code, report) = doctor(&environment, &["--keys"]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "weak-keys", &["SN-1", "it has ended"]);
}
