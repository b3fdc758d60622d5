//! Printing results: JSON alone on standard output, or tables for people; everything else goes to
//! standard error.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where commands print")]

use std::io::IsTerminal;

use serde::Serialize;

use crate::cli::Output;
use crate::failure::{Done, Exit, Failure};

/// Prints a result as `output` says; `table` is called for people only.
pub(crate) fn result<T: Serialize>(output: Output, value: &T, table: impl FnOnce(&T)) -> Done {
    match output {
        Output::Table => table(value),
        Output::Json => {
            let text = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            println!("{text}");
        }
    }
    Ok(())
}

/// A line on standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Text on standard output as it is.
pub(crate) fn raw(text: &str) {
    print!("{text}");
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

/// Rows below their headings, each column as wide as it needs to be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |heading| heading.len());
        cells.max().unwrap_or(0).max(heading)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let print_row = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    print_row(headings.to_vec());
    for row in rows {
        print_row(row.iter().map(String::as_str).collect());
    }
}

/// Names and values below each other.
pub(crate) fn facts(facts: &[(&str, String)]) {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        println!("{name:<width$}  {value}");
    }
}
