//! Signals: SIGTERM and SIGINT end the process at once, whatever it does, as every state on the
//! disk is one to go on from; SIGHUP wakes it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use cvm_agent::enroll::Reporter;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Delivered;

use crate::output::Log;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// SIGHUP came.
    Reload,
    /// It was time.
    Time,
}

/// Who listens for signals.
#[derive(Debug)]
pub(crate) struct Signals(Receiver<()>);

impl Signals {
    /// Listens from now on; `stopped` is the exit code of a process that is asked to end.
    pub(crate) fn listen(stopped: u8) -> io::Result<Self> {
        let mut delivered = Delivered::new([SIGHUP, SIGINT, SIGTERM])?;
        let (reload, reloads) = channel();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || delivered.forever().for_each(|signal| act(signal, stopped, &reload)))?;
        Ok(Self(reloads))
    }

    /// Waits for so long, or for SIGHUP.
    pub(crate) fn wait(&self, duration: Duration) -> Woken {
        match self.0.recv_timeout(duration) {
            Ok(()) => Woken::Reload,
            Err(RecvTimeoutError::Timeout) => Woken::Time,
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody listens any more; time passes all the same.
                std::thread::sleep(duration);
                Woken::Time
            }
        }
    }
}

fn act(signal: i32, stopped: u8, reload: &Sender<()>) {
    if signal == SIGHUP {
        // Who only works once waits for no reload.
        let _unheard = reload.send(());
        return;
    }
    Log.step("asked to end: ended");
    std::process::exit(i32::from(stopped));
}
