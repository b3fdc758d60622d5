//! A clock that a test sets, for the server, for its commands, and for our own clients.
//!
//! Programs get it by libfaketime, which reads it from a file at every look. The clocks that nobody
//! can set stay real, so time-outs and timers go on as they do, and a clock that is set is a clock
//! that steps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cvm_core::time::{Span, Timestamp};
use parking_lot::Mutex;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::Environment;

/// The clock; clones are the same.
#[derive(Clone, Debug)]
pub struct FakeClock {
    file: PathBuf,
    library: OsString,
    shows: Arc<Mutex<Shows>>,
}

/// What it was set to.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// It goes, so far ahead of the real one.
    Ahead(Span),
    /// It stands still.
    Still(Timestamp),
}

/// How often the wrapper is asked where its library is.
const ASKED_MAX: u32 = 5;

/// Where the library is that shows programs another time. The wrapper knows, and does not preload it
/// under a file.
///
/// Wrapper and library leave shared memory behind that is named by their pid, and fail where an
/// earlier process with that pid has: so what the dead left is removed, and the wrapper asked again.
fn library() -> Result<OsString> {
    remove_what_the_dead_left();
    let mut said = String::new();
    for _ in 0..ASKED_MAX {
        let output = Command::new("faketime")
            .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
            .output()
            .context("faketime is missing: run `cargo xtask test`, which installs it")?;
        let library = String::from_utf8(output.stdout)?.trim().to_owned();
        if library.contains("libfaketime") {
            return Ok(library.into());
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    bail!("faketime names no library: {said}")
}

fn remove_what_the_dead_left() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix("faketime_shm_").or_else(|| name.strip_prefix("sem.faketime_sem_"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may have been faster.
            let _gone = std::fs::remove_file(entry.path());
        }
    }
}

impl FakeClock {
    /// A clock that is right, kept in `directory`.
    ///
    /// # Errors
    /// Where Debian's `faketime` is not installed.
    pub fn new(directory: &Path) -> Result<Self> {
        let library = library()?;
        let clock = Self {
            file: directory.join("faketime"),
            library,
            shows: Arc::new(Mutex::new(Shows::Ahead(Span(0)))),
        };
        clock.set(real())?;
        Ok(clock)
    }

    /// Sets it; it goes on from there.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn set(&self, now: Timestamp) -> Result<()> {
        self.show(Shows::Ahead(now.since(real())))
    }

    /// Sets it and lets it stand still, so that a test can tell seconds apart whatever it takes.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn freeze(&self, now: Timestamp) -> Result<()> {
        self.show(Shows::Still(now))
    }

    fn show(&self, shows: Shows) -> Result<()> {
        let text = match shows {
            Shows::Ahead(span) => format!("{:+}\n", span.0),
            Shows::Still(now) => format!("{}\n", now.0),
        };
        // Renamed: half a file would be read as another time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &self.file)?;
        *self.shows.lock() = shows;
        Ok(())
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match *self.shows.lock() {
            Shows::Ahead(span) => real().plus(span),
            Shows::Still(now) => now,
        }
    }

    /// What the environment of a program is to hold.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, OsString); 6] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            // A time without a sign is in seconds since 1970, and stands still.
            ("FAKETIME_FMT", "%s".into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Files keep the times they have.
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

impl TimeProvider for FakeClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl Environment {
    /// Sets the clock of what is started from the first call on, and of what was started since:
    /// server, commands, clients. A step forward of more than a day that a running server sees is
    /// suspicious to it; [`Self::accept_clock`] makes it believed.
    ///
    /// # Errors
    /// Where `faketime` is not installed.
    pub fn set_clock(&mut self, now: Timestamp) -> Result<()> {
        self.fake_clock()?.set(now)
    }

    /// The same with a clock that stands still until it is set again.
    ///
    /// # Errors
    /// Where `faketime` is not installed.
    pub fn freeze_clock(&mut self, now: Timestamp) -> Result<()> {
        self.fake_clock()?.freeze(now)
    }

    fn fake_clock(&mut self) -> Result<FakeClock> {
        let clock = match self.clock.take() {
            Some(clock) => clock,
            None => FakeClock::new(self.scratch())?,
        };
        self.clock = Some(clock.clone());
        Ok(clock)
    }

    /// What the clock shows that was set, or the real one.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(real, FakeClock::now)
    }

    /// Lets the server believe what the clock shows.
    ///
    /// # Errors
    /// Where it does not.
    pub fn accept_clock(&self) -> Result<()> {
        let response = self.operate("POST", "/v1/clock:accept", None)?;
        ensure!(response.status == 200, "{response:?}");
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "what the test's clock is set against")]
fn real() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
}
