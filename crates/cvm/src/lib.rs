//! CVM with its command line: what the binary `cvm` runs, and [`function`], which is CVM as a function
//! that is called for each request. `compose` is the only place that chooses implementations.

mod cli;
mod command;
mod compose;
mod config;
mod core_dumps;
mod data_dir;
mod environment;
mod failure;
#[cfg(feature = "aws")]
pub mod function;
mod log;
mod output;
mod passphrase;
mod serve;
mod timers;

use std::process::ExitCode;

use clap::Parser;

/// Parses the command line, runs one command and turns its result into an exit code.
#[must_use]
pub fn run() -> ExitCode {
    core_dumps::forbid();
    match command::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
