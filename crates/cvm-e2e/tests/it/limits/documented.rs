//! `docs/LIMITS.md` against the binary and these tests: whoever adds a key to `[limits]` writes its
//! line, which names the test that has it at its edge and past it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cvm_e2e::{Environment, cvm_binary};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The cells of each line of the tables in the document.
fn lines() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/LIMITS.md")).unwrap();
    let cells = |line: &str| {
        let line = line.trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let tables = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    tables.map(cells).collect()
}

/// The keys of `[limits]` with their defaults, as the document has them.
fn documented() -> BTreeMap<String, String> {
    let keys = lines().into_iter().filter(|cells| cells.len() == 5 && cells[0] != "key");
    keys.map(|cells| (bare(&cells[0]), bare(&cells[1]))).collect()
}

fn bare(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

/// The keys of `[limits]` with their values where nobody says anything, as the binary has them.
fn in_force() -> BTreeMap<String, String> {
    let environment = Environment::new(&[]).unwrap();
    let output = std::process::Command::new(cvm_binary().unwrap())
        .args(["config", "show", "--output", "json", "--data-dir"])
        .arg(environment.scratch())
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let limits = settings.iter().filter(|it| it["section"] == "limits");
    let pairs = limits.map(|it| (it["key"].as_str().unwrap().to_owned(), it["value"].to_string()));
    pairs.collect()
}

#[test]
fn the_document_has_every_key_of_limits_with_its_default_and_no_other() {
    assert_eq!(documented(), in_force());
}

/// Every source of tests that a line may name one of.
fn sources(directory: &Path, found: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_line_of_the_document_names_a_test_that_is_there() {
    let mut found = String::new();
    sources(&root().join("crates"), &mut found);
    let rows: Vec<_> =
        lines().into_iter().filter(|cells| cells.last().unwrap() != "test").collect();
    assert!(rows.len() > 40, "the tables are not read: {}", rows.len());
    for cells in rows {
        let names = cells.last().unwrap();
        assert!(!names.is_empty(), "{} has no test", cells[0]);
        for name in names.split(", ").map(bare) {
            assert!(found.contains(&format!("fn {name}(")), "{}: there is no {name}", cells[0]);
        }
    }
}
