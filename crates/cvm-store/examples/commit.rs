//! CPU time and commits of `device_commit` in `SQLite`, with 1, 8 and 64 in flight.
//!
//! `cargo run --release -p cvm-store --example commit [DIRECTORY]`
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::path::Path;
use std::time::Instant;

use cvm_core::device::Device;
use cvm_store::Stores;
use cvm_store::conformance::given::{change, device, full_device, vend};

const CHANGES: u64 = 40_000;

fn cpu_seconds() -> f64 {
    // /proc/self/stat: user and system time are the 12th and 13th after the name, in 1/100 s.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A device as it is when it is vended for: registered, with a token.
fn registered(n: u64) -> Device {
    let mut device = device(&format!("SN-{n:08}"));
    device.tokens = full_device("any").tokens;
    device.tokens.truncate(1);
    device
}

async fn in_flight<F, T>(count: u64, changes: u64, act: F)
where
    F: Fn(u64) -> T + Clone + Send + 'static,
    T: Future<Output = ()> + Send,
{
    let tasks: Vec<_> = (0..count)
        .map(|task| {
            let act = act.clone();
            tokio::spawn(async move {
                let mut n = task;
                while n < changes {
                    act(n).await;
                    n += count;
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

async fn measure(directory: &Path, count: u64, changes: u64) {
    let name = format!("sqlite:bench-{count}.db");
    let stores: Stores = match cvm_store::open(&name, directory) {
        Ok(stores) => stores,
        Err(error) => return println!("{error}"),
    };
    let registering = stores.clone();
    in_flight(256, changes, move |n| {
        let stores = registering.clone();
        async move { stores.commit(change(&registered(n))).await }
    })
    .await;

    let (cpu, wall) = (cpu_seconds(), Instant::now());
    in_flight(count, changes, move |n| async move {
        let read = Device { version: 1, ..registered(n) };
        drop(std::hint::black_box(vend(n, &read)));
    })
    .await;
    report("(its making)", count, changes, cpu, wall);

    let (cpu, wall, commits) = (cpu_seconds(), Instant::now(), stores.counters.commits());
    let vending = stores.clone();
    in_flight(count, changes, move |n| {
        let stores = vending.clone();
        async move {
            let read = Device { version: 1, ..registered(n) };
            stores.commit(vend(n, &read)).await;
        }
    })
    .await;
    report("device_commit", count, changes, cpu, wall);
    println!("    commits per change {:.3}", ratio(stores.counters.commits() - commits, changes));

    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let reading = stores.clone();
    in_flight(count, changes, move |n| {
        let stores = reading.clone();
        async move { drop(stores.device(&format!("SN-{n:08}")).await) }
    })
    .await;
    report("device_find", count, changes, cpu, wall);
}

#[expect(clippy::cast_precision_loss, reason = "counts of a measurement are small")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn report(what: &str, count: u64, changes: u64, cpu: f64, wall: Instant) {
    let cpu_micros = (cpu_seconds() - cpu) * 1e6 / ratio(changes, 1);
    let rate = ratio(changes, 1) / wall.elapsed().as_secs_f64();
    println!("{what:14} {count:3} in flight: {cpu_micros:6.1} µs CPU each, {rate:8.0}/s");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| String::from("."));
    for (count, changes) in [(1, CHANGES / 4), (8, CHANGES), (64, CHANGES)] {
        measure(Path::new(&directory), count, changes).await;
    }
}
