//! The README cannot lie: its two commands are the ones that exist, and its walk-through is run as
//! it stands, with `openssl` and `curl`.

use std::process::{Command, Stdio};

use cvm_e2e::{Environment, cvm_binary};

const README: &str = include_str!("../../../../README.md");

/// The shell blocks below `<!-- test: NAME -->`, one after the other.
fn script(name: &str) -> String {
    let mark = format!("<!-- test: {name} -->\n```sh\n");
    let blocks = README.split(&mark).skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// Two ports that are free now.
fn free_ports() -> (u16, u16) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (bind(), bind());
    (one.local_addr().unwrap().port(), two.local_addr().unwrap().port())
}

#[test]
fn the_first_command_shows_the_main_job() {
    assert!(README.contains("cargo run --bin cvm -- dev --once\n"));
    let environment = Environment::new(&[]).unwrap();
    let (code, stdout, stderr) = environment.run(&["dev", "--once"]).unwrap();
    assert_eq!(code, 0, "{stdout}{stderr}");
    let told: Vec<&str> = stdout
        .lines()
        .map(|line| line.trim_start().split_once("ms  ").map_or(line, |(_, words)| words))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_second_command_is_what_ci_runs() {
    assert!(README.contains("cargo xtask test\n"));
    let ci = include_str!("../../../../.ci/run");
    assert!(ci.contains("exec cargo xtask test\n"));
}

#[test]
fn the_walk_through_works_as_it_stands() {
    let environment = Environment::new(&[]).unwrap();
    let (devices, operators) = free_ports();
    let script = script("by-hand").replace("8443", &devices.to_string());
    assert!(script.contains("cvm explain"), "all the blocks are there");
    let path = std::env::join_paths(
        std::iter::once(cvm_binary().unwrap().parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("trap 'kill $(jobs -p)' EXIT\n{script}")])
        .current_dir(environment.scratch())
        .env("PATH", path.unwrap())
        .env("CVM_HTTP__LISTEN", format!("127.0.0.1:{devices}"))
        .env("CVM_OPERATOR__LISTEN", format!("127.0.0.1:{operators}"))
        .env("CVM_METRICS__LISTEN", "127.0.0.1:0")
        .env("CVM_METRICS__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stdout.contains("WRONG ROOT"), "{stdout}");
    for wanted in [
        "device.pem: OK",
        "already-issued",
        "204\n",
        "REFUSED",
        "SN-0002",
        "renewed: SN-0002",
        "certificate-revoked",
        "Serial Number",
    ] {
        assert!(stdout.contains(wanted), "{wanted} in {stdout}\n{stderr}");
    }
}
