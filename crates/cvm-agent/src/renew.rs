//! How a device comes from one certificate to the next: a new key, a new certificate over mTLS with
//! the old one, proof that the new one works, and only then the new in the place of the old.
//!
//! A run that fails or is cut off anywhere is gone on with by the next: the key that was made is
//! used again, so that the server repeats its answer; a certificate that was answered is tried
//! first; a promotion that was begun is done (`protocol.md`, section 7).

mod ask;
pub(crate) mod next;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::{Clock, FlooredClock, SystemClock, parse_seconds};
use crate::enroll::{DeviceRecord, KEY_FILE, RECORD_FILE, Reporter, enrolled};
use crate::error::Error;
use crate::files::{self, Directory};
use crate::identity;
use crate::keys::KeyAlgorithm;
use crate::retry::{RETRIES, Retries};
use crate::token::Token;

pub use crate::files::Faults;

use ask::Device;
use next::{Candidate, Extent, Finish};

/// When to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Not before the time that the server told.
    IfDue,
    /// Whatever the time.
    Now,
}

/// What a renewal needs to know.
#[derive(Clone, Debug)]
pub struct RenewOptions {
    /// Where an enrollment put its files.
    pub directory: PathBuf,
    /// Another address than the one in `device.json`.
    pub server: Option<String>,
    /// When to renew.
    pub when: When,
    /// Which key to make, if not one of the kind that is there.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Shown if the certificate has expired, when nothing else is left to ask with.
    pub token: Option<Token>,
    /// How often to try again when the server cannot answer now.
    pub retries: u32,
    /// Whose time it is.
    pub clock: Arc<dyn Clock>,
    /// For tests.
    pub faults: Faults,
}

impl RenewOptions {
    /// Options with what has no default.
    #[must_use]
    pub fn new(directory: &Path, when: When) -> Self {
        Self {
            directory: directory.to_owned(),
            server: None,
            when,
            key_algorithm: None,
            token: None,
            retries: RETRIES,
            clock: Arc::new(SystemClock),
            faults: Faults::default(),
        }
    }
}

/// What came of a renewal. The record is that of the certificate which the device uses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// An earlier run renewed and was cut off while it put the files in place; they are now.
    AlreadyRenewed {
        /// What `device.json` says.
        record: DeviceRecord,
    },
    /// It is not time yet: nothing was asked and nothing changed.
    NotDue {
        /// What `device.json` says, with the time.
        record: DeviceRecord,
    },
    /// The new certificate was proven and is in its place.
    Renewed {
        /// What `device.json` says.
        record: DeviceRecord,
        /// The code of the request, if this run made it.
        attempt: Option<String>,
    },
}

impl Renewal {
    /// What `device.json` says.
    #[must_use]
    pub fn record(&self) -> &DeviceRecord {
        match self {
            Self::AlreadyRenewed { record }
            | Self::NotDue { record }
            | Self::Renewed { record, .. } => record,
        }
    }
}

/// Renews a device's certificate. Safe to run again after any failure.
///
/// # Errors
/// By blame, see [`Error`]; the certificate that was there keeps its place until the new one is
/// proven.
pub fn renew(options: &RenewOptions, reporter: &dyn Reporter) -> Result<Renewal, Error> {
    if !options.directory.is_dir() {
        let what = format!("{} is no directory: enroll first", options.directory.display());
        return Err(Error::LocalContent { what });
    }
    let directory = Directory::open_with_faults(&options.directory, &options.faults)?;
    if next::finish(&directory)? == Finish::Done {
        reporter.step("put in place what an earlier run had renewed");
        return Ok(Renewal::AlreadyRenewed { record: enrolled(&options.directory)? });
    }
    let record = enrolled(&options.directory)?;
    let mut clock = FlooredClock::new(Arc::clone(&options.clock));
    clock.raise(parse_seconds(&record.server_time).unwrap_or(0));
    if options.when == When::IfDue && !next::is_begun(&directory) && !is_due(&record, &clock) {
        return Ok(Renewal::NotDue { record });
    }
    let waiting = clock.clone();
    let retries = Retries::new(options.retries, &waiting, reporter);
    Run { directory, options, record, clock, retries, reporter }.renew()
}

/// What was tampered with is better renewed than not.
fn is_due(record: &DeviceRecord, clock: &FlooredClock) -> bool {
    let due = parse_seconds(&record.renew_after);
    due.is_none_or(|due| clock.now().as_secs() >= due)
}

/// One run.
struct Run<'r> {
    directory: Directory,
    options: &'r RenewOptions,
    record: DeviceRecord,
    clock: FlooredClock,
    retries: Retries<'r>,
    reporter: &'r dyn Reporter,
}

impl Run<'_> {
    fn renew(mut self) -> Result<Renewal, Error> {
        if let Some(candidate) = Candidate::read(&self.directory)? {
            match self.prove(&candidate) {
                Ok(()) => return self.promote(candidate, None),
                Err(fault) => self.give_up_candidate(&candidate, fault)?,
            }
        }
        let path = self.record.key_path(&self.options.directory);
        let current = identity::parse_key(&files::read_needed(&path)?, &path)?;
        let key = next::key(&self.directory, self.options.key_algorithm, &current, self.reporter)?;
        let device = Device::read(&self.options.directory, &self.record, current)?;
        let attempt = self.ask(device, &key)?;
        let candidate = Candidate::read(&self.directory)?.ok_or_else(|| Error::LocalContent {
            what: format!(
                "{} does not hold what was just written to it",
                self.options.directory.display()
            ),
        })?;
        self.prove(&candidate)?;
        self.promote(candidate, Some(attempt))
    }

    fn promote(self, candidate: Candidate, attempt: Option<String>) -> Result<Renewal, Error> {
        if let Some(elsewhere) = &self.record.key_file {
            self.reporter.step(&format!(
                "the new key is in {}; the one in {} is not used any more",
                self.directory.file(KEY_FILE).display(),
                elsewhere.display()
            ));
        }
        next::promote(&self.directory)?;
        self.reporter.step(&format!("put the new files in place; {RECORD_FILE} tells of them"));
        Ok(Renewal::Renewed { record: candidate.record, attempt })
    }

    /// Throws a certificate away that will never be good, and hands back any other fault.
    fn give_up_candidate(&self, candidate: &Candidate, fault: Error) -> Result<(), Error> {
        let extent = match (&fault, fault.slug()) {
            // Dropped, or displaced by one that was asked for with a token: its key is as good as
            // before. What the registry does not know any more it may issue again.
            (_, "certificate-superseded" | "certificate-expired" | "certificate-unknown") => {
                Extent::Certificate
            }
            // Its key may have been the reason.
            (_, "certificate-revoked") => Extent::WithKey,
            // What it would pin does not verify the server now; what is pinned may.
            (Error::NotPinned { .. }, _) if candidate.roots.is_some() => Extent::Certificate,
            _ => return Err(fault),
        };
        self.reporter.step(&format!(
            "the certificate {} of an earlier run is of no use: {fault}",
            candidate.record.certificate_id
        ));
        next::discard(&self.directory, extent)
    }
}
