//! What a server does by itself every minute: its timers, and the renewal of its certificate.

use std::sync::Arc;
use std::time::Duration;

use cvm_pki::Pki;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::clock::MarkedClock;
use super::identity::Identities;
use super::metrics::Metrics;
use crate::compose::{self, Composed};
use crate::config::Config;
use crate::timers::{Ran, Timers};

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
        timers: Timers::new(composed.clock.clone(), composed.provisioning.clone()),
        pki: composed.pki.clone(),
        identities,
        config,
        metrics: composed.metrics.clone(),
    };
    tick.metrics.timers_ran(tick.clock.believed(), &Ran::default());
    tick.timers.raise_mark().await;
    tokio::spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let ran = tick.timers.run().await;
            tick.metrics.timers_ran(tick.clock.believed(), &ran);
            tick.renew_identity().await;
        }
    })
}

struct Tick {
    clock: Arc<MarkedClock>,
    timers: Timers,
    pki: Arc<Pki>,
    identities: Identities,
    config: Config,
    metrics: Arc<Metrics>,
}

impl Tick {
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
