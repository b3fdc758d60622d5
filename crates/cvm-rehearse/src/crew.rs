//! So many devices at once: workers take the next device as soon as they are done with one.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Progress;
use crate::audit;
use crate::device::Device;
use crate::operator::Failure;
use crate::worker::{Setback, Worker};

/// Connections to the operator API at once: more register no faster, and would take the places that
/// an address has.
const OPERATORS_MAX: usize = 16;

/// What every device goes through next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Register,
    Vend,
    Check,
    Confirm,
    Renew,
    Audit,
    Clean,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Vend => "vend",
            Self::Check => "check",
            Self::Confirm => "confirm",
            Self::Renew => "renew",
            Self::Audit => "audit",
            Self::Clean => "clean",
        }
    }

    fn workers(self, all: usize) -> usize {
        match self {
            Self::Register | Self::Audit | Self::Clean => all.min(OPERATORS_MAX),
            Self::Vend | Self::Check | Self::Confirm | Self::Renew => all,
        }
    }

    async fn perform(self, worker: &mut Worker, device: &mut Device) -> Result<(), Failure> {
        let Worker { operator, tally, .. } = worker;
        match self {
            Self::Register => return operator.register(device, tally).await,
            Self::Audit if device.account.is_registered => {
                let stored = operator.stored(&device.account).await?;
                let found = audit::judge(&device.account, device.setback.as_ref(), &stored);
                tally.stored += stored.certificates.len();
                device.account.noticed.extend(found);
            }
            Self::Clean if device.account.is_registered => {
                operator.delete(&device.account.serial).await?;
                device.account.is_registered = false;
            }
            Self::Audit | Self::Clean => {}
            Self::Vend | Self::Check | Self::Confirm | Self::Renew => {
                if device.setback.is_none() {
                    device.setback = self.act(worker, device).await.err();
                }
            }
        }
        Ok(())
    }

    async fn act(self, worker: &mut Worker, device: &mut Device) -> Result<(), Setback> {
        match self {
            Self::Vend => device.vend(worker).await,
            Self::Check => device.check(worker),
            Self::Confirm => device.confirm(worker).await,
            Self::Renew => device.renew(worker).await,
            Self::Register | Self::Audit | Self::Clean => Ok(()),
        }
    }
}

/// Everybody who takes part, between two steps.
pub(crate) struct Crew {
    pub(crate) workers: Vec<Worker>,
    pub(crate) devices: Vec<Device>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What workers share during a step.
struct Shared {
    waiting: Mutex<Vec<Device>>,
    done: Mutex<Vec<Device>>,
    failure: Mutex<Option<Failure>>,
    progress: Arc<dyn Progress>,
}

impl Crew {
    /// Takes every device through `step`; ends early where it cannot go on, or is to stop.
    pub(crate) async fn step(&mut self, step: Step) -> Result<(), Failure> {
        let mut waiting = std::mem::take(&mut self.devices);
        waiting.reverse();
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            done: Mutex::default(),
            failure: Mutex::default(),
            progress: Arc::clone(&self.progress),
        });
        let tasks: Vec<_> = self
            .workers
            .drain(..step.workers(self.workers.len()))
            .map(|worker| tokio::spawn(work(worker, Arc::clone(&shared), step, self.stop.clone())))
            .collect();
        for task in tasks {
            match task.await {
                Ok(worker) => self.workers.push(worker),
                Err(_) => *shared.failure.lock() = Some(Failure::Panicked),
            }
        }
        self.devices = std::mem::take(&mut *shared.done.lock());
        self.devices.append(&mut shared.waiting.lock());
        self.devices.sort_by_key(|device| device.number);
        let failure = shared.failure.lock().take();
        match failure {
            Some(failure) => Err(failure),
            None if step != Step::Clean && *self.stop.borrow() => Err(Failure::Interrupted),
            None => Ok(()),
        }
    }
}

async fn work(
    mut worker: Worker,
    shared: Arc<Shared>,
    step: Step,
    mut stop: watch::Receiver<bool>,
) -> Worker {
    loop {
        let is_over = shared.failure.lock().is_some() || step != Step::Clean && *stop.borrow();
        let next = if is_over { None } else { shared.waiting.lock().pop() };
        let Some(mut device) = next else {
            worker.hang_up();
            return worker;
        };
        let performed = tokio::select! {
            performed = step.perform(&mut worker, &mut device) => performed,
            () = stopped(&mut stop), if step != Step::Clean => {
                device.setback.get_or_insert(Setback::Interrupted);
                Ok(())
            }
        };
        if let Err(failure) = performed {
            shared.failure.lock().get_or_insert(failure);
        }
        shared.done.lock().push(device);
        shared.progress.advanced();
    }
}

/// Returns when it is to stop; where nobody can say so any more, never.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|is_to_stop| *is_to_stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
