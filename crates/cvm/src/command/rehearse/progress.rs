//! How far a rehearsal is: a bar where somebody looks at a terminal, lines of JSON for programs,
//! else a line for each phase.

use std::io::IsTerminal;

use cvm_rehearse::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output;

/// How it is shown.
pub(super) enum Shown {
    /// On a terminal.
    Bar(ProgressBar),
    /// For programs that watch the server meanwhile.
    Json,
    /// In a log.
    Lines,
}

impl Shown {
    /// For programs where these asked for it, else for people.
    pub(super) fn new(is_for_programs: bool) -> Self {
        match (is_for_programs, std::io::stderr().is_terminal()) {
            (true, _) => Self::Json,
            (false, false) => Self::Lines,
            (false, true) => {
                let bar = ProgressBar::new(0);
                let style = ProgressStyle::with_template("{msg:>8} {wide_bar} {pos}/{len} {eta}");
                Self::Bar(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
            }
        }
    }
}

impl Progress for Shown {
    fn begun(&self, phase: &str, devices: usize, at_unix_ms: u64) {
        match self {
            Self::Bar(bar) => {
                bar.reset();
                bar.set_length(u64::try_from(devices).unwrap_or(u64::MAX));
                bar.set_message(phase.to_owned());
            }
            Self::Json => {
                let began = json!({"phase": phase, "event": "began", "atUnixMs": at_unix_ms});
                output::note(began.to_string());
            }
            Self::Lines => output::note(format!("{phase}: {devices} devices")),
        }
    }

    fn advanced(&self) {
        if let Self::Bar(bar) = self {
            bar.inc(1);
        }
    }

    fn ended(&self, phase: &str, at_unix_ms: u64) {
        match self {
            Self::Bar(bar) if phase == "clean" => bar.finish_and_clear(),
            Self::Json => {
                let ended = json!({"phase": phase, "event": "ended", "atUnixMs": at_unix_ms});
                output::note(ended.to_string());
            }
            Self::Bar(_) | Self::Lines => {}
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
