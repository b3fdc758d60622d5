//! `cvm doctor`: each thing that can be wrong is told with its cause and its cure, beside a server
//! and without one; and looking changes nothing.

mod keys;
mod machine;
mod network;
mod registry;

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cvm_e2e::Environment;
use serde_json::Value;

/// Exit code and report.
fn doctor(environment: &Environment, arguments: &[&str]) -> (i32, String) {
    let (code, report, stderr) =
        environment.run(&[&["doctor"], arguments].concat()).expect("a doctor");
    assert!(code == 0 || stderr.contains("checks failed"), "{report}{stderr}");
    (code, report)
}

/// Whether the report has a line that begins with `state` and `check`, and says all of `words`.
fn is_told(report: &str, state: &str, check: &str, words: &[&str]) -> bool {
    let begins = |line: &&str| {
        let mut first = line.split_whitespace();
        (first.next(), first.next()) == (Some(state), Some(check))
    };
    report.lines().filter(begins).any(|line| words.iter().all(|w| line.contains(w)))
}

fn assert_told(report: &str, state: &str, check: &str, words: &[&str]) {
    let is_told = is_told(report, state, check, words);
    assert!(is_told, "no {state} {check} with {words:?} in\n{report}");
}

/// What depends on the machine that the test runs on.
const OF_THE_MACHINE: [&str; 3] = ["descriptors", "disk", "file-system"];

/// The checks that are not `ok`.
fn not_ok(report: &str) -> Vec<&str> {
    let lines = report.lines().filter(|line| !line.starts_with("ok "));
    let checks = lines.filter_map(|line| line.split_whitespace().nth(1));
    checks.filter(|check| !OF_THE_MACHINE.contains(check)).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_healthy_server_has_ok_everywhere_but_for_its_unsealed_vault() {
    let mut environment = Environment::start(&[]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    for check in ["configuration", "files", "keys", "clock", "store", "expiry", "listeners", "tls"]
    {
        assert_told(&report, "ok", check, &[]);
    }
    assert_told(&report, "warning", "vault", &["not sealed", "What to do"]);
    assert_eq!(not_ok(&report), ["vault"], "{report}");
    assert!(report.lines().count() >= 25, "{report}");

    let (_, json) = doctor(&environment, &["--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), report.lines().count());
    assert!(checks.iter().any(|check| check["check"] == "clock" && check["state"] == "ok"));

    environment.terminate().unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "server", &["no server runs", "cvm serve"]);
    for check in ["configuration", "files", "keys", "clock", "store", "expiry", "listeners"] {
        assert_told(&report, "ok", check, &[]);
    }
    environment.serve().expect("looking took nothing away");
}

#[test]
fn a_server_that_crashed_is_told_to_be_gone() {
    let mut environment = Environment::start(&[]).unwrap();
    environment.kill().unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "server", &["runs no longer", "cvm serve"]);
    assert_told(&report, "ok", "store", &[]);
}

#[test]
fn a_directory_that_is_not_there_is_one_failure() {
    let environment = Environment::new(&[]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!((code, report.lines().count()), (1, 1), "{report}");
    assert_told(&report, "FAILED", "files", &["cvm init", "--data-dir"]);
}

#[test]
fn every_fault_of_the_configuration_is_told() {
    let environment = Environment::start(&[]).unwrap();
    let config = environment.data().join("cvm.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[log]\nlevle = \"info\"\n[nonsense]\na = 1\n")).unwrap();
    // [log] stands there already: that is a fault of its own, before any key is read.
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "configuration", &["line", "What to do"]);
    fs::write(&config, "[log]\nlevle = \"info\"\n[nonsense]\na = 1\n").unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "configuration", &["levle", "What to do"]);
    assert_told(&report, "FAILED", "configuration", &["[nonsense] a"]);
    assert_told(&report, "ok", "clock", &[]);
}

#[test]
fn a_token_that_never_ends_is_a_warning_until_the_rule_is_another() {
    let mut environment = Environment::new(&[("issuance.reissue", "always")]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "reissue", &["[issuance] reissue", "same-key"]);
    environment.set("issuance.reissue", "same-key");
    assert_told(&doctor(&environment, &[]).1, "ok", "reissue", &[]);
}

#[test]
fn a_store_that_is_never_synced_is_a_failure_until_it_is() {
    let mut environment =
        Environment::new(&[("store.url", "sqlite:cvm.db?synchronous=off")]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "durability", &["a power cut", "take `?synchronous=off` away"]);
    environment.set("store.url", "sqlite:cvm.db");
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "ok", "durability", &[]);
}

#[test]
fn certificates_of_two_backups_are_told_also_where_the_vault_is_sealed() {
    let made = || {
        let environment = Environment::new(&[]).unwrap();
        let passphrase = environment.scratch().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        environment.init(&["--passphrase-file", passphrase.to_str().unwrap()]).unwrap();
        environment
    };
    let (one, other) = (made(), made());
    assert_told(&doctor(&one, &[]).1, "ok", "vault", &["sealed"]);
    for file in ["vault/servers-ca.pem", "root-ca.pem", "server/cert.pem", "vault/journal.pem"] {
        let (here, there) = (one.data().join(file), other.data().join(file));
        let kept = fs::read(&here).unwrap();
        fs::copy(there, &here).unwrap();
        let (code, report) = doctor(&one, &[]);
        assert_eq!(code, 1, "{file}: {report}");
        assert_told(&report, "FAILED", "chains", &["signed by", "the same backup"]);
        fs::write(&here, kept).unwrap();
        assert_told(&doctor(&one, &[]).1, "ok", "chains", &[]);
    }
}

#[test]
fn what_is_secret_and_open_to_others_is_told_with_the_command_that_closes_it() {
    let environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let data = environment.data();
    let modes = [
        (data.clone(), 0o755, 0o700),
        (data.join("vault"), 0o750, 0o700),
        (data.join("vault/root-key.sealed"), 0o640, 0o600),
        (data.join("server/key.pem"), 0o644, 0o600),
        (data.join("admin-token"), 0o604, 0o600),
        (data.join("cvm.db"), 0o660, 0o600),
    ];
    for (path, open, _) in &modes {
        set_mode(path, *open);
    }
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    for (path, open, closed) in &modes {
        let (mode, cure) =
            (format!("{open:04o}"), format!("chmod {closed:04o} {}", path.display()));
        assert_told(&report, "FAILED", "files", &[&mode, &cure]);
    }
    for (path, _, closed) in &modes {
        set_mode(path, *closed);
    }
    assert_told(&doctor(&environment, &[]).1, "ok", "files", &[]);
}

#[test]
fn a_sealed_vault_is_looked_into_where_the_passphrase_is_given() {
    let environment = Environment::new(&[]).unwrap();
    let passphrase = environment.scratch().join("passphrase");
    fs::write(&passphrase, "correct horse\n").unwrap();
    let passphrase = passphrase.to_str().unwrap();
    environment.init(&["--passphrase-file", passphrase]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "ok", "keys", &["sealed", "--passphrase-file"]);
    assert_told(&report, "ok", "vault", &[]);
    assert!(!report.contains("not sealed"), "{report}");
    let (_, report) = doctor(&environment, &["--passphrase-file", passphrase]);
    assert_told(&report, "ok", "keys", &["every key"]);
    fs::write(passphrase, "wrong\n").unwrap();
    let (code, report) = doctor(&environment, &["--passphrase-file", passphrase]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "keys", &["passphrase is wrong"]);
}

#[test]
fn keys_and_certificates_that_do_not_fit_are_told() {
    let one = Environment::new(&[]).unwrap();
    one.init(&["--unsealed"]).unwrap();
    let other = Environment::new(&[]).unwrap();
    other.init(&["--unsealed"]).unwrap();
    let file = "vault/devices-ca.pem";
    fs::copy(other.data().join(file), one.data().join(file)).unwrap();
    let (code, report) = doctor(&one, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "keys", &["backup"]);
    fs::write(one.data().join(file), "no certificate\n").unwrap();
    let (_, report) = doctor(&one, &[]);
    assert_told(&report, "FAILED", "expiry", &[file]);
    fs::remove_file(one.data().join("vault/token-mac-key.sealed")).unwrap();
    fs::copy(other.data().join(file), one.data().join(file)).unwrap();
    assert_told(&doctor(&one, &[]).1, "FAILED", "keys", &[]);
}

#[test]
fn a_store_that_is_damaged_or_gone_is_told() {
    let environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let store = environment.data().join("cvm.db");
    let mut bytes = fs::read(&store).unwrap();
    let quarter = bytes.len() / 4;
    bytes[quarter..].fill(0x55);
    fs::write(&store, bytes).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "store", &["damaged", "backup"]);
    fs::remove_file(&store).unwrap();
    assert_told(&doctor(&environment, &[]).1, "FAILED", "store", &["cvm.db"]);
    assert!(!store.exists(), "looking makes nothing");
}

#[test]
fn a_store_that_is_large_or_served_is_read_whole_where_somebody_asks() {
    let mut environment = Environment::start(&[]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "store", &["--full"]);
    assert_told(&doctor(&environment, &["--full"]).1, "ok", "store", &["is whole"]);
    environment.terminate().unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "store", &["is whole"]);
    // A hole behind what SQLite says is there.
    let store = File::options().append(true).open(environment.data().join("cvm.db")).unwrap();
    store.set_len(2 << 30).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "store", &["--full"]);
    assert_told(&doctor(&environment, &["--full"]).1, "ok", "store", &["is whole"]);
}

#[test]
fn an_address_that_another_program_has_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = Environment::new(&[("http.listen", &address)]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "listeners", &["[http] listen", &address, "What to do"]);
    drop(taken);
    assert_told(&doctor(&environment, &[]).1, "ok", "listeners", &[]);
}

#[test]
fn a_server_that_cannot_be_asked_is_told_and_the_files_are_looked_at_all_the_same() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.scratch().join("token");
    fs::write(&token, "cvm1-00000000000000000000000000AAAA\n").unwrap();
    let (code, report) = doctor(&environment, &["--admin-token-file", token.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "server", &["unauthenticated", "check the admin token"]);
    assert_told(&report, "ok", "clock", &[]);
    assert_told(&report, "ok", "store", &[]);

    let other = Environment::start(&[]).unwrap();
    let root = other.data().join("root-ca.pem");
    let (code, report) = doctor(&environment, &["--root-ca", root.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "server", &["not the pinned server", "--root-ca"]);
}

#[test]
fn a_server_elsewhere_is_asked_without_a_data_directory() {
    let server = Environment::start(&[]).unwrap();
    let here = Environment::new(&[]).unwrap();
    let url = format!("https://{}", server.ready("operator"));
    let (root, token) = (server.data().join("root-ca.pem"), server.data().join("admin-token"));
    let arguments = [
        "--server",
        &url,
        "--root-ca",
        root.to_str().unwrap(),
        "--admin-token-file",
        token.to_str().unwrap(),
    ];
    let (code, report) = doctor(&here, &arguments);
    assert_eq!(code, 0, "{report}");
    for check in ["clock", "store", "server", "listeners"] {
        assert_told(&report, "ok", check, &[]);
    }
    assert_eq!(report.lines().count(), 4, "{report}");
    let (code, report) = doctor(&here, &[&arguments[..], &["--keys"]].concat());
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "weak-keys", &["no data directory here", "on a copy"]);
}
