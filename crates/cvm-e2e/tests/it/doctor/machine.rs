//! The machine under the server: its disks, and what the process may do.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::*;

/// A data directory that no server runs on.
fn at_rest(settings: &[(&str, &str)]) -> Environment {
    let environment = Environment::new(settings).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment
}

/// The report's line of `check`.
fn line_of(environment: &Environment, check: &str) -> String {
    let (_, report) = doctor(environment, &[]);
    let is_of = |line: &&str| line.split_whitespace().nth(1) == Some(check);
    report.lines().find(is_of).unwrap_or_else(|| panic!("{report}")).to_owned()
}

#[test]
fn a_store_in_memory_is_told_and_one_elsewhere_is_not() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let url = format!("sqlite:{}/cvm.db", memory.path().display());
    let mut environment = at_rest(&[("store.url", &url)]);
    // Where nothing was served nothing was made.
    environment.serve().unwrap();
    environment.terminate().unwrap();
    let (_, report) = doctor(&environment, &[]);
    assert_told(&report, "warning", "file-system", &["lies on memory", "What to do", "a disk"]);
    fs::copy(memory.path().join("cvm.db"), environment.data().join("cvm.db")).unwrap();
    environment.set("store.url", "sqlite:cvm.db");
    let line = line_of(&environment, "file-system");
    assert!(!line.contains("/dev/shm"), "{line}");
}

#[test]
fn a_disk_without_room_for_a_copy_of_the_store_is_told() {
    let environment = at_rest(&[]);
    assert!(line_of(&environment, "disk").starts_with("ok "));
    let attempts = environment.data().join("attempts.db");
    let file = File::options().create(true).append(true).open(&attempts).unwrap();
    set_mode(&attempts, 0o600);
    let before = file.metadata().unwrap().len();
    let room = rustix::fs::statvfs(&attempts).unwrap();
    // A hole takes no room, and is counted as what it may become.
    file.set_len(room.f_blocks * room.f_frsize + before).unwrap();
    let line = line_of(&environment, "disk");
    assert!(line.starts_with("warning") && line.contains("there can be no copy"), "{line}");
    assert!(line.contains("What to do: make room"), "{line}");
    file.set_len(before).unwrap();
    assert!(line_of(&environment, "disk").starts_with("ok "));
}

#[test]
fn a_log_that_is_not_cut_is_told_and_another_start_cuts_it() {
    let mut environment = Environment::start(&[]).unwrap();
    assert!(line_of(&environment, "log").starts_with("ok "));
    let log = environment.data().join("cvm.db-wal");
    File::options().append(true).open(&log).unwrap().set_len(300 << 20).unwrap();
    let line = line_of(&environment, "log");
    assert!(line.starts_with("warning") && line.contains("300 MiB"), "{line}");
    assert!(line.contains("start the server again"), "{line}");
    environment.terminate().unwrap();
    environment.serve().unwrap();
    assert!(line_of(&environment, "log").starts_with("ok "));
}

#[test]
fn too_few_files_for_the_connections_are_told() {
    let mut environment = at_rest(&[]);
    let report = |environment: &Environment| {
        let cvm = environment.command(&["doctor"]).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 256 && exec \"$0\" doctor"]).arg(cvm.get_program());
        shell.envs(cvm.get_envs().filter_map(|(name, value)| Some((name, value?))));
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    let few = report(&environment);
    assert_told(&few, "warning", "descriptors", &["256 files", "2128", "LimitNOFILE="]);
    environment.set("limits.connections", "64");
    assert_told(&report(&environment), "ok", "descriptors", &["208"]);
}

#[test]
fn a_crash_that_would_write_keys_to_a_disk_is_told() {
    let environment = Environment::start(&[]).unwrap();
    assert!(line_of(&environment, "core-dumps").starts_with("ok "), "serve forbids them");
    let pid = environment.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    // What the machine allows this test it allows the server.
    let maximum = getrlimit(Resource::Core).maximum;
    prlimit(pid, Resource::Core, Rlimit { current: Some(1 << 20), maximum }).unwrap();
    let line = line_of(&environment, "core-dumps");
    assert!(line.starts_with("warning") && line.contains("CA keys"), "{line}");
    let (_, cure) = line.split_once("What to do: ").unwrap();
    let status = Command::new("sh").args(["-c", cure]).status().unwrap();
    assert!(status.success(), "{cure}");
    assert!(line_of(&environment, "core-dumps").starts_with("ok "));
}
