//! Where a fault strikes: the calls of the platform and of the store, counted together.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is carried out, and its caller frozen before it hears so.
    FrozenAfter,
    /// Its caller is frozen before it is made.
    FrozenBefore,
    /// It is carried out, and its caller ends.
    KilledAfter,
    /// Its caller ends before it is made.
    KilledBefore,
    /// It is carried out, and the answer lost.
    Lost,
    /// It is not carried out, and nobody can tell.
    NotSent,
    /// It is not carried out, and says so.
    Throttled,
    /// It is carried out twice, and answered once.
    Twice,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::FrozenAfter,
        Self::FrozenBefore,
        Self::KilledAfter,
        Self::KilledBefore,
        Self::Lost,
        Self::NotSent,
        Self::Throttled,
        Self::Twice,
    ];
}

/// Counts calls, and lets a fault strike at one of them.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    plan: Mutex<Option<(usize, Fault)>>,
    calls: Mutex<Vec<&'static str>>,
    pub(crate) struck: Notify,
    pub(crate) thaw: Notify,
}

impl Stage {
    /// From now on the call of that number is the one, counted from nought.
    pub(crate) fn plan(&self, fault: Option<(usize, Fault)>) {
        self.calls.lock().clear();
        *self.plan.lock() = fault;
    }

    /// The names of the calls since the last plan.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().clone()
    }

    /// Before a call; what is to become of it.
    pub(crate) async fn before(&self, name: &'static str) -> Option<Fault> {
        let number = {
            let mut calls = self.calls.lock();
            calls.push(name);
            calls.len() - 1
        };
        let fault = self.plan.lock().take_if(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            Some(Fault::KilledBefore) => self.end().await,
            Some(Fault::FrozenBefore) => self.freeze().await,
            fault => return fault,
        }
        None
    }

    /// After a call that was carried out.
    pub(crate) async fn after(&self, fault: Fault) {
        match fault {
            Fault::KilledAfter => self.end().await,
            Fault::FrozenAfter => self.freeze().await,
            Fault::FrozenBefore
            | Fault::KilledBefore
            | Fault::Lost
            | Fault::NotSent
            | Fault::Throttled
            | Fault::Twice => {}
        }
    }

    async fn end(&self) {
        self.struck.notify_one();
        std::future::pending::<()>().await;
    }

    async fn freeze(&self) {
        self.struck.notify_one();
        self.thaw.notified().await;
    }
}

/// A call with whatever strikes it: carried out by `$effect`, lost as `$lost`, throttled as
/// `$throttled`.
macro_rules! staged {
    ($stage:expr, $name:literal, $effect:expr, $lost:expr, $throttled:expr) => {
        match $stage.before($name).await {
            None => $effect,
            Some(Fault::NotSent) => $lost,
            Some(Fault::Throttled) => $throttled,
            Some(Fault::Lost) => {
                drop($effect);
                $lost
            }
            Some(Fault::Twice) => {
                drop($effect);
                $effect
            }
            Some(fault) => {
                let told = $effect;
                $stage.after(fault).await;
                told
            }
        }
    };
}

pub(crate) use staged;
