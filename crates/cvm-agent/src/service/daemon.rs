//! Passes for as long as the process runs: when the certificate is due by the wall clock, and after
//! a failure not before the time that the server asked for.

use std::time::{Duration, Instant};

use super::config::Config;
use super::{Failure, Patience, Service};
use crate::clock::parse_seconds;
use crate::enroll::DeviceRecord;
use crate::report::Reporter;
use crate::retry::pause;

/// How long to sleep at most before the clock is looked at again: it may have been set, and timers
/// stand still while a machine sleeps.
const NAP_SECONDS: u64 = 60;
/// The longest wait between renewals that bring what is due already.
const SPIN_SECONDS_MAX: u64 = 3600;
/// Who asks for more is asked once a day: no slip of a server's may outlast a certificate.
const ASKED_SECONDS_MAX: u64 = 86_400;

/// A service that goes on.
#[derive(Debug)]
pub struct Daemon {
    service: Service,
    failures: u32,
    hold: Option<Hold>,
    announced: Option<String>,
}

/// Not before `until`.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Instant,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Our own caution.
    Own,
    /// The server asked for it.
    Server,
}

impl Daemon {
    /// Goes on with `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service, failures: 0, hold: None, announced: None }
    }

    /// What it works by.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.service.config()
    }

    /// Does what is due now, and says how long to wait before the next step. A step may come
    /// earlier: it does nothing that it should not.
    pub fn step(&mut self, reporter: &dyn Reporter) -> Duration {
        if let Some(hold) = self.hold {
            let left = hold.until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return left;
            }
            self.hold = None;
        }
        match self.service.pass(Patience::None, reporter) {
            Ok(record) => self.succeeded(&record, reporter),
            Err(failure) => self.failed(&failure, reporter),
        }
    }

    /// Goes on by another configuration, at once unless the server asked to wait.
    ///
    /// # Errors
    /// As [`Service::reconfigure`]: then it goes on by the old one.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), Failure> {
        let is_same_server = config.server == self.config().server;
        self.service.reconfigure(config)?;
        self.hold = self.hold.filter(|hold| is_same_server && hold.reason == Reason::Server);
        self.failures = 0;
        Ok(())
    }

    fn succeeded(&mut self, record: &DeviceRecord, reporter: &dyn Reporter) -> Duration {
        let due = parse_seconds(&record.renew_after).unwrap_or(0);
        let left = due.saturating_sub(self.service.now().as_secs());
        if self.announced.as_ref() != Some(&record.certificate_id) {
            self.announced = Some(record.certificate_id.clone());
            reporter.step(&format!(
                "certificate {} of {} is in use; renewal after {}",
                record.certificate_id, record.serial_number, record.renew_after
            ));
        }
        if left == 0 {
            reporter.step("it is to be renewed already: check the clock of this machine");
            return self.hold_back(None, Duration::from_secs(SPIN_SECONDS_MAX));
        }
        self.failures = 0;
        Duration::from_secs(left.min(NAP_SECONDS))
    }

    fn failed(&mut self, failure: &Failure, reporter: &dyn Reporter) -> Duration {
        let wait = self.hold_back(failure.retry_after(), failure.longest_wait());
        let seconds = wait.as_secs_f32().ceil();
        reporter.step(&format!("{}; next try in {seconds:.0} s", failure.told()));
        wait
    }

    fn hold_back(&mut self, asked: Option<Duration>, longest: Duration) -> Duration {
        let asked = asked.map(|asked| asked.min(Duration::from_secs(ASKED_SECONDS_MAX)));
        let wait = pause(asked, self.failures, longest);
        self.failures = self.failures.saturating_add(1);
        let reason = match asked {
            Some(_) => Reason::Server,
            None => Reason::Own,
        };
        // A wait beyond what can be counted is as good as none that ends.
        self.hold = Instant::now().checked_add(wait).map(|until| Hold { until, reason });
        wait
    }
}
