//! `cvm`: a certificate vending machine for `IoT` fleets, in one binary.
//!
//! `main` parses, runs one command and turns its result into an exit code. [`compose`] is the only
//! place that chooses implementations.

mod cli;
mod command;
mod compose;
mod config;
mod core_dumps;
mod data_dir;
mod environment;
mod failure;
mod log;
mod output;
mod passphrase;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    core_dumps::forbid();
    match command::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
