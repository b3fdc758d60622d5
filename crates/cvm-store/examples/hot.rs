//! CPU time of a vend's commit and read by thread, on a store of many devices in a random order.
//!
//! `cargo run --profile dist -p cvm-store --example hot [DIRECTORY] [DEVICES] [VENDS]`
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cvm_core::attempt::{Act, Attempt, Step, StepName};
use cvm_core::certificate::{CertificateState, Origin};
use cvm_core::device::{Device, LiveCertificate};
use cvm_core::id::{AttemptCode, CertificateId};
use cvm_core::ports::{CertificateChange, Change, KeyRule};
use cvm_core::time::Timestamp;
use cvm_store::Stores;
use cvm_store::conformance::given::{
    NOW, certificate, change, device, digest, event, full_device, key, thing,
};
use parking_lot::Mutex;

fn registered(n: u64) -> Device {
    let mut device = device(&format!("SN-{n:010}"));
    device.attributes.clear();
    device.tokens = full_device("any").tokens;
    device.tokens.truncate(1);
    if let Some(token) = device.tokens.first_mut() {
        token.denied.clear();
        token.generation = 1;
        token.state = cvm_core::device::TokenState::Unused;
        token.expires = Timestamp(NOW.0 + 90 * 86_400);
    }
    device
}

/// Scatters: digests must be random like a hash's.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn vend(n: u64, at: i64) -> Change {
    let mut device = registered(n);
    device.version = 1;
    let m = mixed(n);
    let obtained = CertificateId(digest(m));
    if let Some(token) = device.tokens.first_mut() {
        token.state = cvm_core::device::TokenState::Used {
            bound: Some(cvm_core::device::Binding { key: key(m), server_made: None }),
            obtained,
            first_issue_at: NOW,
            is_confirmed: false,
        };
    }
    device.first_issued_at = Some(NOW);
    device.live = vec![LiveCertificate {
        id: obtained,
        key: key(m),
        state: CertificateState::Unconfirmed,
        origin: Origin::Token,
        token: 1,
        issued_at: NOW,
        // A thousand a second, as it comes.
        not_after: Timestamp(NOW.0 + 365 * 86_400 + at),
        until: Some(Timestamp(NOW.0 + 7 * 86_400)),
        life_ends: None,
    }];
    Change {
        certificates: vec![CertificateChange::Insert(Box::new(certificate(m, &device)))],
        keys: vec![KeyRule::NotOthers(key(m))],
        thing: Some(cvm_core::ports::ThingChange::Put(thing(&device))),
        events: vec![event(&device)],
        ..change(&device)
    }
}

fn attempt(n: u64) -> Attempt {
    let step =
        |name| Step { name, passed: true, evidence: format!("what was seen of {n}, in words") };
    let names = [StepName::SerialNumber, StepName::Token, StepName::Csr, StepName::Decision];
    Attempt {
        code: AttemptCode::from_random(mixed(n)),
        at: NOW,
        serial_number: registered(n).serial_number,
        address: String::from("192.0.2.1"),
        act: Act::Vend,
        outcome: String::from("issued"),
        reason: String::from("first"),
        steps: names.map(step).into(),
    }
}

/// Nanoseconds of CPU by thread name.
fn cpu() -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let spent: u64 = stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        *found.entry(name.trim().to_owned()).or_default() += spent;
    }
    found
}

async fn in_flight<F, T>(count: u64, total: u64, act: F)
where
    F: Fn(u64) -> T + Clone + Send + 'static,
    T: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (act, next) = (act.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        return;
                    }
                    act(n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        if task.await.is_err() {
            println!("a task failed");
        }
    }
}

fn report(what: &str, before: &BTreeMap<String, u64>, total: u64) {
    let mut line = String::new();
    for (name, spent) in cpu() {
        let spent = spent - before.get(&name).copied().unwrap_or(0);
        let micros = spent / 10 / total.max(1);
        line.push_str(&format!("  {name} {}.{:02}", micros / 100, micros % 100));
    }
    println!("{what}:{line} µs each");
}

fn io() -> String {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let keep = |line: &&str| {
        line.starts_with("syscr") || line.starts_with("syscw") || line.starts_with("write_bytes")
    };
    io.lines().filter(keep).collect::<Vec<_>>().join(" ")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| String::from("."));
    let devices: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let vends: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let stores: Stores = match cvm_store::open("sqlite:hot.db", Path::new(&directory)) {
        Ok(stores) => stores,
        Err(error) => return println!("{error}"),
    };
    let registering = stores.clone();
    in_flight(256, devices, move |n| {
        let stores = registering.clone();
        async move { stores.commit(change(&registered(n))).await }
    })
    .await;
    println!("registered {devices}");
    // A stride that is prime to any count of devices that is not a multiple of it.
    let pick = move |n: u64| (n * 7_919 + 13) % devices;
    let before = cpu();
    let (started, commits) = (Instant::now(), stores.counters.commits());
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let (vending, taken) = (stores.clone(), latencies.clone());
    in_flight(8, vends, move |n| {
        let (stores, taken) = (vending.clone(), taken.clone());
        async move {
            let began = Instant::now();
            drop(stores.device(&format!("SN-{:010}", pick(n))).await);
            let at = i64::try_from(n / 1_000).unwrap_or_default();
            stores.commit(vend(pick(n), at)).await;
            stores.attempts.attempt_record(attempt(pick(n)));
            taken.lock().push(began.elapsed());
        }
    })
    .await;
    report("find and vend", &before, vends);
    let mut taken = std::mem::take(&mut *latencies.lock());
    taken.sort();
    let at = |share: usize| taken.get(taken.len() * share / 1000).copied().unwrap_or_default();
    let (p50, p99, worst) = (at(500), at(990), at(999));
    println!("  p50 {p50:?} p99 {p99:?} p99.9 {worst:?} in {:?}", started.elapsed());
    println!("  commits {} for {vends}; {}", stores.counters.commits() - commits, io());
}
