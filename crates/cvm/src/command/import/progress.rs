//! How far an import is: a bar where somebody looks at a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

const EVERY: Duration = Duration::from_secs(5);

/// The progress through a file.
pub(super) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a log.
    Lines {
        /// The size of the file, where that is known.
        size: Option<u64>,
        /// When the next line is due.
        next: Instant,
    },
}

impl Progress {
    /// Through a file of `size` bytes, where that is known.
    pub(super) fn new(size: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { size, next: Instant::now() + EVERY };
        }
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{wide_bar} {percent:>3} % {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        let style = ProgressStyle::with_template(template);
        Self::Bar(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
    }

    /// So many bytes are read and so many rows are done.
    pub(super) fn at(&mut self, bytes: u64, rows: u64, refused: u64) {
        let refused = match refused {
            0 => String::new(),
            some => format!(", {some} refused"),
        };
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("{rows} rows{refused}"));
                bar.set_position(bytes);
            }
            Self::Lines { size, next } => {
                let now = Instant::now();
                if now >= *next {
                    *next = now + EVERY;
                    let percent = size.and_then(|size| (bytes * 100).checked_div(size));
                    let percent = percent.map(|it| format!(" ({it} %)")).unwrap_or_default();
                    output::note(format!("{rows} rows{percent}{refused}"));
                }
            }
        }
    }

    /// Says something without breaking the bar.
    pub(super) fn note(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| output::note(text)),
            Self::Lines { .. } => output::note(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
