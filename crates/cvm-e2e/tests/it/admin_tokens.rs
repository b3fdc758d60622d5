//! `cvm admin token` as an operator types it.

use std::os::unix::fs::PermissionsExt;

use cvm_e2e::Environment;
use serde_json::Value;

const CREATE: [&str; 3] = ["admin", "token", "create"];

fn create(environment: &Environment, arguments: &[&str]) -> (i32, String, String) {
    environment.run(&[&CREATE[..], arguments].concat()).unwrap()
}

fn listed(environment: &Environment) -> Vec<Value> {
    let list = environment.succeed(&["admin", "token", "list", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn states(environment: &Environment, name: &str) -> Vec<Value> {
    let items = listed(environment).into_iter();
    items.filter(|item| item["name"] == name).map(|item| item["state"].clone()).collect()
}

#[test]
fn a_token_goes_into_its_file_and_works_from_there_until_it_is_revoked() {
    let environment = Environment::start(&[]).unwrap();
    let arguments = ["ci", "--role", "registrar", "--expires", "30d", "--out", "ci-token"];
    let (code, stdout, stderr) =
        create(&environment, &[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let made: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&made["role"], made.get("token")), (&Value::from("registrar"), None));
    assert!(stderr.contains("ci-token"), "{stderr}");
    let file = environment.scratch().join("ci-token");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("cvm1-") && token.ends_with('\n'));

    let with_it = |command: &[&str]| {
        environment.run(&[command, &["--admin-token-file", "ci-token"]].concat()).unwrap()
    };
    assert_eq!(with_it(&["device", "add", "SN-1"]).0, 0);
    let (code, _, stderr) = with_it(&["admin", "token", "list"]);
    assert_eq!(code, 1);
    for told in ["security or owner", "cvm admin token create"] {
        assert!(stderr.contains(told), "{stderr}");
    }
    let id = made["id"].as_str().unwrap();
    for _ in 0..2 {
        let revoked = environment.succeed(&["admin", "token", "revoke", id]).unwrap();
        assert!(revoked.contains("revoked"), "{revoked}");
    }
    let (code, _, stderr) = with_it(&["device", "list"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("--admin-token-file"), "{stderr}");
    assert_eq!(states(&environment, "ci"), ["revoked"]);
}

#[test]
fn a_token_that_has_no_place_to_go_is_not_made_or_does_not_stay() {
    let environment = Environment::start(&[]).unwrap();
    std::fs::write(environment.scratch().join("taken"), "mine").unwrap();
    let (code, _, stderr) = create(&environment, &["a", "--role", "viewer", "--out", "taken"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("exists already"), "{stderr}");
    assert_eq!(std::fs::read_to_string(environment.scratch().join("taken")).unwrap(), "mine");
    assert_eq!(states(&environment, "a"), [Value::Null; 0]);

    let nowhere = ["b", "--role", "viewer", "--out", "nowhere/token"];
    let (code, stdout, stderr) = create(&environment, &nowhere);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("nowhere/token") && stderr.contains("is revoked"), "{stderr}");
    assert!(!stderr.contains("cvm1-"), "{stderr}");
    assert_eq!(states(&environment, "b"), ["revoked"]);
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let environment = Environment::start(&[]).unwrap();
    for (arguments, exit, told) in [
        (&["ci"][..], 2, "--role"),
        (&["ci", "--role", "admin"], 2, "viewer"),
        (&["c i", "--role", "viewer"], 2, "letters"),
        (&["ci", "--role", "viewer", "--expires", "soon"], 2, "--expires"),
        (&["ci", "--role", "viewer", "--expires", "0d"], 2, "--expires"),
        (&["init", "--role", "viewer"], 1, "has this name"),
    ] {
        let (code, stdout, stderr) = create(&environment, arguments);
        assert_eq!((code, stdout.as_str()), (exit, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
    let items = listed(&environment);
    assert_eq!(items.len(), 1);
    let (name, role) = (items[0]["name"].as_str().unwrap(), items[0]["role"].as_str().unwrap());
    assert_eq!((name, role), ("init", "owner"));
    let id = items[0]["id"].as_str().unwrap();
    let (code, _, stderr) = environment.run(&["admin", "token", "revoke", id]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("last live admin token of an owner"), "{stderr}");
    let (code, _, stderr) = environment.run(&["admin", "token", "revoke", "none"]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("no admin token with this id"), "{stderr}");
}

#[test]
fn a_list_is_a_table_for_people() {
    let environment = Environment::start(&[]).unwrap();
    let (code, stdout, stderr) = create(&environment, &["reader", "--role", "viewer"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("cvm1-") && stderr.contains("this once"), "{stdout}{stderr}");
    let list = environment.succeed(&["admin", "token", "list"]).unwrap();
    assert!(list.starts_with("ID"), "{list}");
    let row = list.lines().find(|line| line.contains("reader")).unwrap();
    for cell in ["viewer", "live", "never"] {
        assert!(row.contains(cell), "{row}");
    }
    assert!(!list.contains("cvm1-"), "{list}");
}
