//! What happens by the clock wherever CVM runs: the mark, the sweeper, CRLs. A server does it every
//! minute by itself, a function when it is called for it.
//!
//! No decision waits for any of it; each is also judged when it matters.

use std::sync::Arc;

use cvm_core::error::chain_of;
use cvm_core::ports::{ClockDoubt, ClockStatus};
use cvm_core::provisioning::{Provisioning, Swept, SweptCrls};

use crate::serve::clock::MarkedClock;

/// The timers of one process.
#[derive(Debug)]
pub(crate) struct Timers {
    clock: Arc<MarkedClock>,
    provisioning: Arc<Provisioning>,
    /// What was last told of the clock.
    doubt: Option<ClockDoubt>,
}

/// What a run of the timers did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) swept: Swept,
    pub(crate) crls: SweptCrls,
}

impl Timers {
    pub(crate) fn new(clock: Arc<MarkedClock>, provisioning: Arc<Provisioning>) -> Self {
        Self { clock, provisioning, doubt: None }
    }

    /// Everything that is due.
    pub(crate) async fn run(&mut self) -> Ran {
        self.raise_mark().await;
        Ran { swept: self.sweep().await, crls: self.sweep_crls().await }
    }

    /// Records the time, so that a clock that falls back is noticed, also after a restart. A time
    /// that is not believed is not recorded.
    pub(crate) async fn raise_mark(&mut self) {
        let status = self.clock.tick();
        self.tell_of_clock(status);
        if status.doubt.is_some() {
            return;
        }
        match self.provisioning.ports().store.mark_raise(status.now).await {
            Ok(_) => self.clock.recorded(status.now),
            Err(error) => tracing::error!(cause = chain_of(&error), "the time was not recorded"),
        }
    }

    /// Once, when it begins to be doubted and when that ends.
    fn tell_of_clock(&mut self, status: ClockStatus) {
        if std::mem::replace(&mut self.doubt, status.doubt) == status.doubt {
            return;
        }
        match status.doubt {
            Some(doubt) => tracing::error!(
                system = %status.system, believed = %self.clock.believed(), doubt = doubt.as_str(),
                "the clock is not to be trusted: nothing is issued until it is set right, or \
                 accepted with `cvm doctor --accept-time`"
            ),
            None => tracing::info!(now = %status.now, "the clock is trusted again"),
        }
    }

    /// Destroys what may not be answered any more.
    async fn sweep(&self) -> Swept {
        let swept = self.provisioning.sweep().await;
        if swept.devices > 0 {
            tracing::debug!(devices = swept.devices, "swept");
        }
        for cause in &swept.failures {
            tracing::error!(cause, "a device was not swept");
        }
        swept
    }

    /// Signs the CRLs that changed, and those whose time has come.
    async fn sweep_crls(&self) -> SweptCrls {
        let swept = self.provisioning.sweep_crls().await;
        if swept.signed > 0 {
            tracing::debug!(signed = swept.signed, "CRLs signed");
        }
        if let Some(cause) = &swept.cause {
            tracing::error!(failed = swept.failed, cause, "a CRL was not signed");
        }
        swept
    }
}
