//! The agent as a program: one directory, kept supplied with a certificate that works.
//!
//! A pass enrolls where there is no certificate and renews where one is due, confirms what was
//! enrolled, and then tells the hook of what is new. Each part goes on where an earlier one was cut
//! off. [`Service::once`] is one pass for a timer; [`Daemon`] makes passes for as long as it runs.

mod bring;
pub mod config;
mod counting;
mod daemon;
mod failure;
mod hook;
mod lock;
mod state;

use std::sync::Arc;

use rustls_pki_types::UnixTime;
use zeroize::Zeroizing;

use crate::clock::{Clock, FlooredClock, parse_seconds};
use crate::enroll::DeviceRecord;
use crate::error::Error;
use crate::files::Directory;
use crate::identity::{self, Set};
use crate::report::Reporter;
use crate::retry::RETRIES;

pub use daemon::Daemon;
pub use failure::Failure;

use config::Config;
use counting::CountingClock;
use lock::Lock;
use state::State;

/// A token from elsewhere than the file that the configuration names, and where that is.
#[derive(Clone, Default)]
pub struct OtherToken {
    /// A file, as systemd's credentials are.
    pub file: Option<std::path::PathBuf>,
    /// A text, as in `$CVM_TOKEN`.
    pub text: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for OtherToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OtherToken(redacted)")
    }
}

/// How often a pass asks again when the server cannot answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// A few times, for who comes back in an hour.
    Some,
    /// Not at all, for who comes back by itself.
    None,
}

impl Patience {
    fn retries(self) -> u32 {
        match self {
            Self::Some => RETRIES,
            Self::None => 0,
        }
    }
}

/// What works for one directory, alone: it holds its lock.
#[derive(Debug)]
pub struct Service {
    config: Config,
    other_token: OtherToken,
    clock: Arc<CountingClock>,
    /// Held for as long as the process works.
    _lock: Lock,
}

impl Service {
    /// Takes the directory, which it makes if need be.
    ///
    /// # Errors
    /// If another agent has it, if it cannot be used, or if it is another device's.
    pub fn open(
        config: Config,
        other_token: OtherToken,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let directory = Directory::open(&config.directory)?;
        let lock = Lock::take(&directory)?;
        drop(directory);
        let clock = Arc::new(CountingClock::new(clock));
        let service = Self { config, other_token, clock, _lock: lock };
        service.check_owner(&service.config)?;
        Ok(service)
    }

    /// Goes on by another configuration.
    ///
    /// # Errors
    /// If that is of another directory or device: then nothing changes.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), Failure> {
        if config.directory != self.config.directory {
            let what = "`directory` changes with a restart only".to_owned();
            return Err(Failure::Configuration(what));
        }
        self.check_owner(&config)?;
        self.config = config;
        Ok(())
    }

    /// What it works by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One pass, which tries again a few times: for a timer.
    ///
    /// # Errors
    /// By blame, see [`Failure`]; the next pass goes on.
    pub fn once(&self, reporter: &dyn Reporter) -> Result<DeviceRecord, Failure> {
        self.pass(Patience::Some, reporter)
    }

    fn pass(&self, patience: Patience, reporter: &dyn Reporter) -> Result<DeviceRecord, Failure> {
        let mut state = State::read(&self.config.directory)?;
        let brought = self.supply(&mut state, patience, reporter);
        let is_in_order = !matches!(brought.as_ref().map_err(Error::exit_code), Err(77));
        // A hook that is owed does not wait for a server that is away.
        let told = match identity::record(&self.config.directory, Set::Current)? {
            Some(record) if is_in_order => self.tell(&record, &mut state, reporter),
            _ => Ok(()),
        };
        let record = brought?;
        told.map(|()| record)
    }

    /// Brings a certificate that works, and makes sure that the server accepts it: after an
    /// enrollment, and when somebody has put a new token there, who will have a reason.
    fn supply(
        &self,
        state: &mut State,
        patience: Patience,
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        let brought = self.bring(state, patience, reporter)?;
        self.learn(&brought);
        let token = self.token_stamp();
        let is_new = token.is_some() && token != state.token;
        if !state.awaits_confirmation && !is_new {
            return Ok(brought);
        }
        let record = self.prove(state, patience, reporter)?;
        if state.awaits_confirmation {
            self.config.token_was_used(reporter);
        }
        state.awaits_confirmation = false;
        state.token = token;
        state.write(&self.config.directory)?;
        Ok(record)
    }

    /// Runs the hook for a certificate that it did not run for yet.
    fn tell(
        &self,
        record: &DeviceRecord,
        state: &mut State,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let Some(command) = &self.config.on_renewed else {
            return Ok(());
        };
        if state.told_of.as_ref() == Some(&record.certificate_id) {
            return Ok(());
        }
        reporter.step(&format!("running the hook for certificate {}", record.certificate_id));
        let event = match state.told_of {
            None => hook::Event::Enrolled,
            Some(_) => hook::Event::Renewed,
        };
        hook::run(command, event, record, &self.config.directory)?;
        state.told_of = Some(record.certificate_id.clone());
        Ok(state.write(&self.config.directory)?)
    }

    fn check_owner(&self, config: &Config) -> Result<(), Failure> {
        let Some(record) = identity::record(&config.directory, Set::Current)? else {
            return Ok(());
        };
        self.learn(&record);
        match record.serial_number == config.serial_number {
            true => Ok(()),
            false => Err(Failure::Configuration(format!(
                "{} holds the identity of {}, and the configuration is of {}: choose another \
                 directory",
                config.directory.display(),
                record.serial_number,
                config.serial_number
            ))),
        }
    }

    fn learn(&self, record: &DeviceRecord) {
        self.clock.learn(parse_seconds(&record.server_time).unwrap_or(0));
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::<CountingClock>::clone(&self.clock)
    }

    fn now(&self) -> UnixTime {
        FlooredClock::new(self.clock()).now()
    }
}
