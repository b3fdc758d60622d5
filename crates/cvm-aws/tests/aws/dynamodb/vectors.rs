//! The conformance vectors of the protocol on this store: one in ten of the traces. `CVM_TRACES=all`
//! runs all of them, which takes minutes.

#[path = "../../../../cvm-store/tests/it/vectors/trace.rs"]
mod trace;

use serde_json::Value;

use super::Table;

/// Of how many traces one is run.
const ONE_OF: usize = 10;

/// How many are run at the same time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how many are run is said by the environment")]
async fn vectors() {
    let text = include_str!("../../../../cvm-store/tests/vectors/vending.jsonl");
    let traces = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let traces: Vec<_> = traces.filter(|trace| trace.get("steps").is_some()).collect();
    let one_of =
        if std::env::var("CVM_TRACES").is_ok_and(|which| which == "all") { 1 } else { ONE_OF };
    let chosen: Vec<_> = traces.into_iter().step_by(one_of).collect();
    let (mut failures, count) = (Vec::new(), chosen.len());
    let mut waiting = chosen.into_iter();
    loop {
        let some: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let runs = some.into_iter().map(|trace| async move {
            let table = Table::make().await;
            let ran = trace::run(&trace, table.open(1)).await;
            table.drop().await;
            ran.map_err(|what| format!("{}: {what}", trace["name"]))
        });
        let ran = futures_util::future::join_all(runs).await;
        failures.extend(ran.into_iter().filter_map(Result::err));
    }
    println!("{count} traces");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
