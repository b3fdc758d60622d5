//! The named conformance traces against the real binary, over its device and its operator API: one
//! server, every trace a device of its own, all of them side by side in one walk of the clock.
//!
//! The in-process runner in `cvm-store` has the same acts. What HTTP has not is substituted, and
//! counted: see [`acts`]. `CVM_VECTORS` names another file of the same format.

mod acts;
mod after;
mod alarms;
mod site;
mod trace;
mod walk;

use site::Site;
use trace::Trace;

/// How many named traces our own file has: it may only grow.
const OURS: usize = 195;

#[test]
#[expect(clippy::disallowed_methods, reason = "the file to run is named by the environment")]
fn vectors() {
    let named = std::env::var("CVM_VECTORS").ok();
    let text = match &named {
        Some(path) => std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")),
        None => String::from(include_str!("../../../cvm-store/tests/vectors/vending.jsonl")),
    };
    let traces = trace::named_traces(&text);
    let least = if named.is_some() { 1 } else { OURS };
    assert!(traces.len() >= least, "{} named traces", traces.len());

    let mut site = Site::start(&traces);
    // Whose clock is wrong at times walks alone: the others' must be right.
    let (alone, together): (Vec<&Trace>, Vec<&Trace>) =
        traces.iter().partition(|trace| trace.sets_clock());
    walk::walk(&mut site, &together);
    for trace in alone {
        walk::walk(&mut site, &[trace]);
    }
    site.compare_alarms();
    println!("{} traces; {}", traces.len(), site.counts());
    let failures = &site.failures;
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
