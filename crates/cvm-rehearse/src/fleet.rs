//! A rehearsal from its first key to its last deletion, act by act: every device goes through one
//! before any goes on to the next, so that each has a time of its own.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::rand;
use cvm_agent::keys::{DeviceKey, KeyAlgorithm, KeyError};
use cvm_core::token::Token;
use cvm_wire::SecretText;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::Progress;
use crate::crew::{Crew, Step};
use crate::device::{Device, Fresh};
use crate::operator::Failure;
use crate::plan::{Afterwards, Plan, Then, prefix_of};
use crate::report::{Phase, Report};
use crate::site::Site;
use crate::tally::Tally;
use crate::tls::Tls;
use crate::worker::Worker;

/// How a rehearsal ended.
#[derive(Debug)]
pub struct Rehearsed {
    /// What it found, or why it could not be held.
    pub result: Result<Report, Failure>,
    /// How many devices may still be there.
    pub left: usize,
    /// Why they could not be deleted, where they were to be.
    pub uncleaned: Option<Failure>,
}

/// Holds a rehearsal against a server, until `stop` says to end it; its devices are deleted all the
/// same.
pub async fn rehearse(
    site: Site,
    plan: Plan,
    progress: Arc<dyn Progress>,
    stop: watch::Receiver<bool>,
) -> Rehearsed {
    let mut phases = Phases { site: &site, progress: Arc::clone(&progress), list: Vec::new() };
    let mut crew = match assemble(&site, &plan, &mut phases, stop).await {
        Ok(crew) => crew,
        Err(failure) => return Rehearsed { result: Err(failure), left: 0, uncleaned: None },
    };
    let result = run(&mut crew, &plan, &mut phases).await;
    let uncleaned = match plan.afterwards {
        Afterwards::Clean => phases.step(&mut crew, Step::Clean).await.err(),
        Afterwards::Keep => None,
    };
    let left = crew.devices.iter().filter(|device| device.account.is_registered).count();
    let mut tally = Tally::default();
    for worker in crew.workers {
        tally.add(worker.tally);
    }
    let list = phases.list;
    let report = |()| Report::new((&site, &plan), list, tally, &crew.devices);
    Rehearsed { result: result.map(report), left, uncleaned }
}

async fn run(crew: &mut Crew, plan: &Plan, phases: &mut Phases<'_>) -> Result<(), Failure> {
    phases.step(crew, Step::Register).await?;
    phases.step(crew, Step::Vend).await?;
    phases.step(crew, Step::Check).await?;
    for then in &plan.then {
        let step = match then {
            Then::Confirm => Step::Confirm,
            Then::Renew => Step::Renew,
        };
        phases.step(crew, step).await?;
    }
    phases.step(crew, Step::Audit).await
}

async fn assemble(
    site: &Site,
    plan: &Plan,
    phases: &mut Phases<'_>,
    stop: watch::Receiver<bool>,
) -> Result<Crew, Failure> {
    let plan = Arc::new(plan.clone());
    let tls = Arc::new(Tls::new(Arc::clone(&site.roots), plan.key_exchange)?);
    let progress = Arc::clone(&phases.progress);
    let began = phases.begin("keys", plan.devices as usize);
    let making = {
        let (plan, progress) = (Arc::clone(&plan), Arc::clone(&progress));
        tokio::task::spawn_blocking(move || devices(&plan, &*progress))
    };
    let devices = making.await.map_err(|_| Failure::Panicked)?.map_err(Failure::Keys)?;
    phases.end("keys", began);
    let workers = (0..plan.concurrency).map(|_| Worker::new(site, &plan, &tls)).collect();
    Ok(Crew { workers, devices, progress, stop })
}

/// The devices, each with every key that it will ask for.
fn devices(plan: &Plan, progress: &dyn Progress) -> Result<Vec<Device>, KeyError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let numbers: Vec<u32> = (0..plan.devices).collect();
    let part = numbers.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let making: Vec<_> = numbers
            .chunks(part)
            .map(|part| {
                scope.spawn(move || {
                    let made = part.iter().map(|number| {
                        let made = device(plan, *number);
                        progress.advanced();
                        made
                    });
                    made.collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut devices = Vec::with_capacity(numbers.len());
        for thread in making {
            devices.extend(thread.join().map_err(|_| KeyError::Library)??);
        }
        Ok(devices)
    })
}

fn device(plan: &Plan, number: u32) -> Result<Device, KeyError> {
    let renewals = plan.then.iter().filter(|then| **then == Then::Renew).count();
    let fresh = (0..=renewals).map(|_| fresh(plan.key_algorithm)).collect::<Result<_, _>>()?;
    let mut random = Zeroizing::new([0; 26]);
    rand::fill(&mut *random).map_err(|_| KeyError::Library)?;
    let token = Token::from_random(&random);
    let token = SecretText::new(Zeroizing::new(token.expose().to_owned()));
    let serial = format!("{}{number:06}", prefix_of(plan.seed));
    Ok(Device::new(number, serial, token, fresh))
}

fn fresh(algorithm: KeyAlgorithm) -> Result<Fresh, KeyError> {
    let key = DeviceKey::generate(algorithm)?;
    let csr = key.certificate_request()?;
    Ok(Fresh { key, csr })
}

/// The phases so far.
struct Phases<'a> {
    site: &'a Site,
    progress: Arc<dyn Progress>,
    list: Vec<Phase>,
}

impl Phases<'_> {
    async fn step(&mut self, crew: &mut Crew, step: Step) -> Result<(), Failure> {
        let began = self.begin(step.name(), crew.devices.len());
        let result = crew.step(step).await;
        self.end(step.name(), began);
        result
    }

    fn begin(&self, name: &str, devices: usize) -> (u64, Instant) {
        let at = (self.site.unix_ms)();
        self.progress.begun(name, devices, at);
        (at, Instant::now())
    }

    fn end(&mut self, name: &str, (began_unix_ms, began): (u64, Instant)) {
        let seconds = began.elapsed().as_secs_f64();
        let ended_unix_ms = (self.site.unix_ms)();
        self.progress.ended(name, ended_unix_ms);
        let name = name.to_owned();
        self.list.push(Phase { name, began_unix_ms, ended_unix_ms, seconds });
    }
}
