//! What a power cut leaves of a device's identity and of files with tokens, at every step, and that
//! the same command again gets there.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cvm_e2e::{Client, Environment, Key, agent_binary};
use serde_json::Value;

use super::steps::{Ended, Home, cut_at_every_step, run};

fn enroll(home: &Home<'_>) -> Command {
    let environment = home.environment;
    let (server, root, token) = (environment.device_url(), root_file(home), token_file(home));
    let mut command = home.cvm(&["device", "enroll", "--server", &server, "--out", "device"]);
    command.args(["--serial", &home.serial]).arg("--root-ca").arg(root);
    command.arg("--token-file").arg(token);
    command
}

fn renew(home: &Home<'_>) -> Command {
    home.cvm(&["device", "renew", "--dir", "device"])
}

fn add(home: &Home<'_>) -> Command {
    home.cvm(&["device", "add", &home.serial, "--token-out", "token"])
}

fn new_token(home: &Home<'_>) -> Command {
    home.cvm(&["device", "new-token", &home.serial, "--token-out", "token"])
}

/// The agent, over a directory that it fills like `cvm device enroll`.
fn agent(home: &Home<'_>) -> Command {
    let mut command = Command::new(agent_binary().unwrap());
    command.args(["run", "--once", "--config"]).arg(config_file(home));
    command.current_dir(&home.path).stdin(Stdio::null()).env_remove("CVM_TOKEN");
    command
}

fn configure(home: &Home<'_>) {
    let (server, serial) = (home.environment.device_url(), &home.serial);
    let (root, token, directory) = (root_file(home), token_file(home), home.path.join("device"));
    let text = format!(
        "server = {server:?}\nserial = {serial:?}\nroot_ca = {root:?}\ntoken_file = {token:?}\n\
         directory = {directory:?}\n"
    );
    std::fs::write(config_file(home), text).unwrap();
}

fn config_file(home: &Home<'_>) -> PathBuf {
    home.environment.scratch().join(format!("{}.toml", home.serial))
}

fn root_file(home: &Home<'_>) -> PathBuf {
    home.environment.data().join("root-ca.pem")
}

/// Not in the home: the cut is not to take it.
fn token_file(home: &Home<'_>) -> PathBuf {
    home.environment.scratch().join(format!("{}.token", home.serial))
}

fn register(home: &Home<'_>) {
    let token = home.environment.device_add(&home.serial).unwrap();
    std::fs::write(token_file(home), token).unwrap();
}

fn succeed(home: &Home<'_>, command: Command) {
    let (code, stderr) = run(command);
    assert_eq!(code, 0, "{}: {stderr}", home.serial);
}

/// The states of the device's certificates, the oldest first.
fn states(home: &Home<'_>) -> Vec<String> {
    let path = format!("/v1/devices/{}", home.serial);
    let shown = home.environment.operate("GET", &path, None).unwrap().json().unwrap();
    let certificates = shown["certificates"].as_array().unwrap();
    certificates.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

/// Uses what is in the device's directory.
fn assert_works(home: &Home<'_>) {
    let read = |name: &str| home.read(&format!("device/{name}")).unwrap();
    let chain = format!("{}{}", read("device.pem"), read("chain.pem"));
    let (address, root) = (home.environment.ready("http"), read("root-ca.pem"));
    let client = Client::with_certificate(&address, &root, &chain, &read("device.key")).unwrap();
    let answer = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(answer.status, 204, "{}: {answer:?}", home.serial);
}

fn enroll_at_every_step(prepare: impl Fn(&Home<'_>), command: fn(&Home<'_>) -> Command) {
    let environment = Environment::start(&[]).unwrap();
    cut_at_every_step(&environment, prepare, command, |home, ended| {
        let before = home.read("device/device.json");
        succeed(home, command(home));
        if ended == Ended::ByItself {
            assert_eq!(home.read("device/device.json"), before, "what it said is done stays done");
        }
        assert_works(home);
        assert_eq!(states(home), ["current"], "{}", home.serial);
    });
}

#[test]
fn an_enrollment_that_is_cut_at_any_step_comes_to_one_certificate() {
    enroll_at_every_step(register, enroll);
}

#[test]
fn an_agent_whose_first_run_is_cut_at_any_step_comes_to_one_certificate() {
    let prepare = |home: &Home<'_>| {
        register(home);
        configure(home);
    };
    enroll_at_every_step(prepare, agent);
}

fn renew_at_every_step(prepare: impl Fn(&Home<'_>), command: fn(&Home<'_>) -> Command) {
    let environment = Environment::start(&[]).unwrap();
    let enrolled = |home: &Home<'_>| {
        register(home);
        succeed(home, enroll(home));
        assert_works(home);
        prepare(home);
    };
    cut_at_every_step(&environment, enrolled, command, |home, ended| {
        if ended == Ended::ByItself {
            assert_eq!(states(home).len(), 2, "{}: there is another", home.serial);
            assert_works(home);
        }
        succeed(home, command(home));
        assert_works(home);
        let states = states(home);
        let count = |state: &str| states.iter().filter(|it| *it == state).count();
        assert_eq!((count("current"), count("candidate")), (1, 0), "{}: {states:?}", home.serial);
        assert_eq!(states.last().map(String::as_str), Some("current"), "the newest");
        assert!(states.len() > 1, "{}: {states:?}", home.serial);
    });
}

#[test]
fn a_renewal_that_is_cut_at_any_step_leaves_a_device_that_renews() {
    renew_at_every_step(|_| {}, renew);
}

#[test]
fn an_agent_whose_renewal_is_cut_at_any_step_renews_at_its_next_run() {
    let due = |home: &Home<'_>| {
        configure(home);
        let path = home.path.join("device/device.json");
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["renewAfter"] = record["notBefore"].clone();
        std::fs::write(path, record.to_string()).unwrap();
    };
    renew_at_every_step(due, agent);
}

fn vends(home: &Home<'_>, token: &str) -> bool {
    let csr = Key::new().unwrap().csr().unwrap();
    home.environment.vend(&home.serial, token.trim(), &csr).unwrap().status == 201
}

/// The same command again, or what it says instead.
fn add_again(home: &Home<'_>) {
    let (code, stderr) = run(add(home));
    if code == 0 {
        return;
    }
    let cure = format!("cvm device add {} --token-stdin < token", home.serial);
    assert!(stderr.contains(&cure), "{stderr}");
    let mut cured = home.cvm(&["device", "add", &home.serial, "--token-stdin"]);
    cured.stdin(File::open(home.path.join("token")).unwrap());
    succeed(home, cured);
}

#[test]
fn a_token_that_the_server_knows_is_in_its_file() {
    let environment = Environment::start(&[]).unwrap();
    cut_at_every_step(
        &environment,
        |_| {},
        add,
        |home, ended| {
            let path = format!("/v1/devices/{}", home.serial);
            let is_known = environment.operate("GET", &path, None).unwrap().status == 200;
            assert!(is_known || ended == Ended::Cut, "{}: said and not done", home.serial);
            if !is_known {
                add_again(home);
            }
            assert!(vends(home, &home.read("token").unwrap_or_default()), "{}", home.serial);
        },
    );
}

#[test]
fn a_new_token_that_the_server_knows_is_in_its_file() {
    let environment = Environment::start(&[]).unwrap();
    cut_at_every_step(&environment, register, new_token, |home, ended| {
        let old = std::fs::read_to_string(token_file(home)).unwrap();
        let new = home.read("token").filter(|token| vends(home, token));
        assert!(new.is_some() || ended == Ended::Cut, "{}: said and not done", home.serial);
        // Where the server was not told of another, the old one is as good as before.
        assert!(new.is_some() || vends(home, &old), "{}", home.serial);
    });
}
