//! What happens by the clock: the mark, the sweeper, and the server certificate's renewal.
//!
//! No decision waits for any of it; each is also judged when it matters.

use std::sync::Arc;
use std::time::Duration;

use cvm_core::error::chain_of;
use cvm_core::ports::{Clock, Store};
use cvm_core::provisioning::Provisioning;
use cvm_pki::Pki;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::clock::MarkedClock;
use super::identity::Identities;
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
    let tick = Tick {
        clock: composed.clock.clone(),
        store: composed.stores.store.clone(),
        provisioning: composed.provisioning.clone(),
        pki: composed.pki.clone(),
        identities,
        config,
    };
    tick.raise_mark().await;
    tokio::spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            tick.raise_mark().await;
            tick.sweep().await;
            tick.sweep_crls().await;
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
}

impl Tick {
    /// Records the time, so that a clock that falls back is noticed, also after a restart.
    async fn raise_mark(&self) {
        let now = self.clock.read().now;
        match self.store.mark_raise(now).await {
            Ok(_) => self.clock.raise(now),
            Err(error) => tracing::error!(cause = chain_of(&error), "the time was not recorded"),
        }
    }

    /// Destroys what may not be answered any more.
    async fn sweep(&self) {
        let swept = self.provisioning.sweep().await;
        if swept.devices > 0 {
            tracing::debug!(devices = swept.devices, "swept");
        }
        for cause in swept.failures {
            tracing::error!(cause, "a device was not swept");
        }
    }

    /// Signs the CRLs that changed, and those whose time has come.
    async fn sweep_crls(&self) {
        let swept = self.provisioning.sweep_crls().await;
        if swept.signed > 0 {
            tracing::debug!(signed = swept.signed, "CRLs signed");
        }
        if let Some(cause) = swept.cause {
            tracing::error!(failed = swept.failed, cause, "a CRL was not signed");
        }
    }

    /// Renews our server certificate where that is due; handshakes from then on use it.
    async fn renew_identity(&self) {
        let (pki, config) = (self.pki.clone(), self.config.clone());
        let renewed =
            tokio::task::spawn_blocking(move || compose::server_identity(&pki, &config)).await;
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
