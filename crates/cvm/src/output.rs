//! Printing results: JSON alone on standard output, or tables for people; everything else goes to
//! standard error.

#![expect(clippy::print_stderr, reason = "this is where commands print")]

use std::io::{IsTerminal, Write};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::Output;
use crate::failure::{Done, Exit, Failure};

/// Prints a result as `output` says; `table` writes it for people.
///
/// # Errors
/// Where standard output takes nothing: whoever reads a pipe may have gone.
pub(crate) fn result<T: Serialize>(
    output: Output,
    value: &T,
    table: impl FnOnce(&T, &mut Text),
) -> Done {
    let text = match output {
        Output::Table => {
            let mut text = Text::default();
            table(value, &mut text);
            text.0
        }
        Output::Json => {
            let json = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            Zeroizing::new(format!("{json}\n"))
        }
    };
    print(&text)
}

/// Writes to standard output, all at once.
pub(crate) fn print(text: &str) -> Done {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(Exit::Failed, format!("writing standard output: {error}")))
}

/// A line on standard output that nothing is lost with where it takes none.
pub(crate) fn line(text: impl AsRef<str>) {
    let _nobody_reads = print(&format!("{}\n", text.as_ref()));
}

/// A line for people on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// A failure on standard error, in red where that shows.
pub(crate) fn failure(failure: &Failure) {
    let (red, plain) =
        if std::io::stderr().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}error:{plain} {}", failure.what);
    if !failure.cure.is_empty() {
        eprintln!("  {}", failure.cure);
    }
}

/// What is printed for people; may hold a secret.
#[derive(Default)]
pub(crate) struct Text(Zeroizing<String>);

impl Text {
    /// A line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    /// Text as it is.
    pub(crate) fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Rows below their headings, each column as wide as it needs to be.
    pub(crate) fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let heading = headings.get(column).map_or(0, |heading| heading.len());
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(heading)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let padded = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.line(padded(&mut headings.iter().copied()));
        for row in rows {
            self.line(padded(&mut row.iter().map(String::as_str)));
        }
    }

    /// Names and values below each other.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            self.line(format!("{name:<width$}  {value}"));
        }
    }
}
