//! What happens by the clock: the mark, the sweeper, and the server certificate's renewal.
//!
//! No decision waits for any of it; each is also judged when it matters.

use std::sync::Arc;
use std::time::Duration;

use cvm_core::error::chain_of;
use cvm_core::ports::{ClockDoubt, ClockStatus, Store};
use cvm_core::provisioning::{Provisioning, Swept, SweptCrls};
use cvm_pki::Pki;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::clock::MarkedClock;
use super::identity::Identities;
use super::metrics::Metrics;
use crate::compose::{self, Composed};
use crate::config::Config;

/// Between two looks.
const TICK: Duration = Duration::from_secs(60);

/// Starts the ticking, after a first tick that is waited for.
pub(super) async fn spawn(
    composed: &Composed,
    identities: Identities,
    config: Config,
) -> JoinHandle<()> {
    let mut tick = Tick {
        clock: composed.clock.clone(),
        store: composed.stores.store.clone(),
        provisioning: composed.provisioning.clone(),
        pki: composed.pki.clone(),
        identities,
        config,
        metrics: composed.metrics.clone(),
        doubt: None,
    };
    tick.metrics.timers_ran(tick.clock.believed(), &Swept::default(), &SweptCrls::default());
    tick.raise_mark().await;
    tokio::spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            tick.raise_mark().await;
            let (swept, crls) = (tick.sweep().await, tick.sweep_crls().await);
            tick.metrics.timers_ran(tick.clock.believed(), &swept, &crls);
            tick.renew_identity().await;
        }
    })
}

struct Tick {
    clock: Arc<MarkedClock>,
    store: Arc<dyn Store>,
    provisioning: Arc<Provisioning>,
    pki: Arc<Pki>,
    identities: Identities,
    config: Config,
    metrics: Arc<Metrics>,
    /// What was last told of the clock.
    doubt: Option<ClockDoubt>,
}

impl Tick {
    /// Records the time, so that a clock that falls back is noticed, also after a restart. A time
    /// that is not believed is not recorded.
    async fn raise_mark(&mut self) {
        let status = self.clock.tick();
        self.tell_of_clock(status);
        if status.doubt.is_some() {
            return;
        }
        match self.store.mark_raise(status.now).await {
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

    /// Renews our server certificate where that is due; handshakes from then on use it.
    async fn renew_identity(&self) {
        let (pki, config, now) = (self.pki.clone(), self.config.clone(), self.clock.believed());
        let renewed =
            tokio::task::spawn_blocking(move || compose::server_identity(&pki, &config, now)).await;
        let replaced = match renewed {
            Ok(Ok((chain, key, true))) => self.identities.replace(chain, &key).map(|()| true),
            Ok(Ok((_, _, false))) => Ok(false),
            Ok(Err(failure)) => Err(failure),
            Err(panic) => {
                tracing::error!(%panic, "renewing the server's certificate");
                return;
            }
        };
        match replaced {
            Ok(true) => tracing::info!("the server's certificate was renewed"),
            Ok(false) => {}
            Err(failure) => {
                tracing::error!(cause = failure.what, "the server's certificate was not renewed");
            }
        }
    }
}
