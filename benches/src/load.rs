//! The load: everything made before the clock starts, everything verified after it stopped.

mod verify;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::verify::Verifier;
use crate::client::{Answer, Client, tls};
use crate::plan::{Connections, Measured, Plan};
use crate::request::{Maker, Request};
use crate::system;

/// A load that fails is not a load: it ends after so many failures.
const FAILURES_MAX: usize = 200;

/// Requests that warm the server up, and say how many will be needed, for each device at once.
const WARMING: u64 = 32;

/// How many requests more are made than the warming foretells.
const RESERVE: f64 = 1.6;

/// The most requests of one load, for memory and patience.
const REQUESTS_MAX: u64 = 120_000;

/// One request's fate.
type Fate = (usize, Duration, Result<Answer>);

/// Runs the plan.
pub(crate) fn run(plan: &Plan) -> Result<Measured> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    let mut maker = Maker::new(&plan.peer, plan.connections)?;
    let at_once = u64::try_from(plan.at_once)?;
    let warming = maker.make((WARMING * at_once).clamp(64, 512))?;
    let count = warming.len();
    let (_, took) = runtime.block_on(send(plan, warming.into(), Duration::from_secs(30)))?;
    let foreseen = (count as f64 / took.as_secs_f64() * plan.seconds * RESERVE) as u64;
    let requests: Arc<[Request]> = maker.make(foreseen.clamp(64, REQUESTS_MAX))?.into();
    ensure!(!requests.is_empty(), "no device is left to ask");
    measure(plan, u64::try_from(count)?, requests, &runtime)
}

fn measure(
    plan: &Plan,
    warmed: u64,
    requests: Arc<[Request]>,
    runtime: &tokio::runtime::Runtime,
) -> Result<Measured> {
    let bound = Duration::from_secs_f64(plan.seconds);
    let before = Reading::take(plan);
    let (fates, took) = runtime.block_on(send(plan, requests.clone(), bound))?;
    let after = Reading::take(plan);
    let mut measured = judge(plan, &requests, fates)?;
    let each = count(measured.answered.max(1));
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0 / each;
    measured.devices_used = warmed + u64::try_from(measured.sent)?;
    measured.seconds = took.as_secs_f64();
    measured.per_second = count(measured.answered) / took.as_secs_f64();
    measured.server_cpu = millis(after.server.saturating_sub(before.server));
    measured.client_cpu = millis(after.client.saturating_sub(before.client));
    measured.resident = system::resident_bytes(plan.pid);
    let step = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / each);
    measured.disk = step(before.disk, after.disk);
    measured.flushes = step(before.flushes, after.flushes);
    measured.commits = step(before.commits, after.commits);
    Ok(measured)
}

/// Sends the requests from `at_once` clients until all are sent or the time is up.
async fn send(
    plan: &Plan,
    requests: Arc<[Request]>,
    bound: Duration,
) -> Result<(Vec<Fate>, Duration)> {
    let config = tls(&plan.roots, plan.groups)?;
    let shared = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false)));
    let began = Instant::now();
    let mut clients = Vec::new();
    for number in 0..plan.at_once {
        let mut client = Client::new(plan.address, config.clone(), number);
        let (requests, shared, connections) = (requests.clone(), shared.clone(), plan.connections);
        clients.push(tokio::spawn(async move {
            let (next, failed, stop) = &*shared;
            let mut fates = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else { break };
                let asked = Instant::now();
                let answer = client.ask(&request.bytes).await;
                let took = asked.elapsed();
                if connections == Connections::New {
                    client.close();
                }
                let is_good = answer.as_ref().is_ok_and(|it| (200..300).contains(&it.status));
                let failures = failed.fetch_add(usize::from(!is_good), Ordering::Relaxed);
                if failures > FAILURES_MAX || began.elapsed() > bound {
                    stop.store(true, Ordering::Relaxed);
                }
                fates.push((index, took, answer));
            }
            fates
        }));
    }
    let mut fates = Vec::new();
    for client in clients {
        fates.extend(client.await?);
    }
    Ok((fates, began.elapsed()))
}

/// Verifies every answer.
fn judge(plan: &Plan, requests: &[Request], fates: Vec<Fate>) -> Result<Measured> {
    let mut measured = Measured { sent: fates.len(), ..Measured::default() };
    let mut verifier = Verifier::new(plan)?;
    let mut latencies = Vec::with_capacity(fates.len());
    let mut failures = BTreeMap::new();
    for (index, took, answer) in fates {
        let request = requests.get(index).context("an answer to nothing")?;
        let body = answer.and_then(|answer| {
            let body = answer.body()?;
            let is_good = (200..300).contains(&answer.status);
            let text = || String::from_utf8_lossy(&body).chars().take(160).collect::<String>();
            ensure!(is_good, "{} {}", answer.status, text());
            Ok(body)
        });
        match body {
            Ok(body) => {
                measured.answered += 1;
                measured.answer = body.len();
                latencies.push(took);
                if let Err(error) = verifier.verify(&body, &request.key) {
                    measured.wrong += 1;
                    *failures.entry(format!("wrong: {error:#}")).or_default() += 1;
                }
            }
            Err(error) => *failures.entry(format!("{error:#}")).or_default() += 1,
        }
    }
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = (part * count(latencies.len().saturating_sub(1))) as usize;
        latencies.get(index).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    (measured.p50, measured.p99, measured.max) = (at(0.5), at(0.99), at(1.0));
    measured.failures = failures;
    Ok(measured)
}

/// What is read before and after.
struct Reading {
    server: Duration,
    client: Duration,
    disk: Option<f64>,
    flushes: Option<f64>,
    commits: Option<f64>,
}

impl Reading {
    fn take(plan: &Plan) -> Self {
        let data = plan.data.as_deref();
        let number = |value: u64| value as f64;
        Self {
            commits: plan.metrics.and_then(|address| commits(address).ok()),
            disk: data.map(|path| number(system::disk_bytes(path))),
            flushes: data.and_then(system::flushes).map(number),
            server: system::cpu_of_tree(plan.pid),
            client: system::own_cpu(),
        }
    }
}

/// `cvm_store_commits_total`.
fn commits(address: SocketAddr) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("cvm_store_commits_total "));
    Ok(line.context("there is no such metric")?.trim().parse()?)
}

fn count(number: usize) -> f64 {
    number as f64
}
