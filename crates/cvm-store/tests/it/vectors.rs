//! The conformance vectors: traces made by an independent model of the protocol, run through the
//! real use cases on the memory and the `SQLite` store with a set clock.
//!
//! `CVM_VECTORS` names another file of the same format.

mod trace;

use cvm_store::Stores;
use serde_json::Value;

use self::trace::run;

/// How many traces our own file has: it may only grow.
const OURS: usize = 695;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the file to run is named by the environment")]
async fn vectors() {
    let named = std::env::var("CVM_VECTORS").ok();
    let text = match &named {
        Some(path) => std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")),
        None => String::from(include_str!("../vectors/vending.jsonl")),
    };
    let traces = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let traces: Vec<Value> = traces.filter(|trace| trace.get("steps").is_some()).collect();
    let least = if named.is_some() { 1 } else { OURS };
    assert!(traces.len() >= least, "{} traces", traces.len());
    let mut failures = Vec::new();
    for trace in &traces {
        for (store, stores, _directory) in stores() {
            if let Err(what) = run(trace, stores).await {
                failures.push(format!("{} on {store}: {what}", trace["name"]));
            }
        }
    }
    println!("{} traces, each on two stores", traces.len());
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn stores() -> Vec<(&'static str, Stores, Option<tempfile::TempDir>)> {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap();
    vec![("memory", Stores::in_memory(), None), ("sqlite", sqlite, Some(directory))]
}
