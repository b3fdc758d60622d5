//! The benchmarks at their smallest: that they run, and that what they yield is numbers. How large
//! these are says nothing here.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The `cvm` that was built beside these tests.
fn cvm() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a file");
    let profile = tests.ancestors().nth(2).expect("it lies in a target directory");
    let binary = profile.join("cvm");
    assert!(binary.exists(), "run `cargo build --bin cvm` first, or `cargo xtask bench-smoke`");
    binary
}

fn bench(place: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-bench"));
    command.args(arguments).arg("--cvm").arg(cvm()).arg("--place").arg(place);
    let output = command.output().expect("the benchmark starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout
}

#[test]
fn a_short_run_yields_numbers_for_the_floor_the_server_and_its_growth() {
    let place = TempDir::new().expect("a directory");
    let results = place.path().join("results.json");
    let out = results.to_string_lossy();
    let arguments = ["run", "--seconds", "1", "--passes", "1", "--at-once", "2", "--patience", "0"];
    let rest = ["--devices", "1000,2000", "--floor-times", "200", "--out", &out];
    bench(place.path(), &[&arguments[..], &rest].concat());
    let text = std::fs::read_to_string(&results).expect("the results");
    let results: Value = serde_json::from_str(&text).expect("JSON");
    let list = |name: &str| results[name].as_array().expect("a list").clone();
    let is_positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    let rows = list("rows");
    assert_eq!(rows.len(), 2 * 3, "floor and cvm, in three ways");
    for row in &rows {
        let measured = &row["measured"];
        for name in ["answered", "per_second", "server_cpu", "p50", "p99", "resident"] {
            assert!(is_positive(&measured[name]), "{name} of {row}");
        }
        assert_eq!(measured["wrong"], 0, "{row}");
        assert_eq!(measured["sent"], measured["answered"], "{row}");
    }
    for floor in list("floors") {
        assert!(
            ["request_check", "certificate", "insert"].iter().all(|it| is_positive(&floor[it]))
        );
    }
    let growths = list("growths");
    assert_eq!(growths.len(), 2);
    for growth in growths {
        assert!(is_positive(&growth["new"][0]) && is_positive(&growth["kept"][0]), "{growth}");
        assert!(is_positive(&growth["ready"][0]), "{growth}");
    }
}

#[test]
fn every_pair_of_refusals_is_compared_by_its_times() {
    let place = TempDir::new().expect("a directory");
    let told = bench(place.path(), &["timing", "--each", "20"]);
    assert_eq!(told.matches("against").count(), 15, "{told}");
}
