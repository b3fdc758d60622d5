//! `cvm-agent`: the device side as a program, run as a daemon or from a timer.
//!
//! What it does is in `cvm_agent::service`; here are what a user types, the environment, signals,
//! and exit codes (`contract.md`, section 1).

mod arguments;
mod environment;
mod output;
mod signals;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cvm_agent::clock::SystemClock;
use cvm_agent::enroll::Reporter;
use cvm_agent::service::config::Config;
use cvm_agent::service::{Daemon, Failure, Service};

use arguments::{Command, Mode, Run};
use output::Log;
use signals::{Signals, Woken};

const USAGE: u8 = 2;
const CONFIGURATION: u8 = 64;
const TRY_LATER: u8 = 75;

/// What a command returns: an exit code, where it did not do what it was asked.
type Done = Result<(), u8>;

fn main() -> ExitCode {
    match done(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

fn done(arguments: impl Iterator<Item = OsString>) -> Done {
    let command = arguments::parse(arguments).map_err(|fault| {
        Log.step(&format!("{fault}; `cvm-agent --help` tells what there is"));
        USAGE
    })?;
    match command {
        Command::Check { config } => check(&config),
        Command::Help => output::print(arguments::HELP),
        Command::Run(run) => match run.mode {
            Mode::Daemon => daemon(&run),
            Mode::Once => once(&run),
        },
        Command::Version => output::print(concat!("cvm-agent ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn check(path: &Path) -> Done {
    read(path).map_err(|()| CONFIGURATION)?;
    output::print(&format!("{}: no faults\n", path.display()))
}

fn once(run: &Run) -> Done {
    // What it left off, the next run goes on with.
    let _signals = signals(TRY_LATER)?;
    let service = open(run)?;
    service.once(&Log).map(drop).map_err(|failure| told(&failure))
}

fn daemon(run: &Run) -> Done {
    let signals = signals(0)?;
    let mut daemon = Daemon::new(open(run)?);
    loop {
        let wait = daemon.step(&Log);
        if signals.wait(wait) == Woken::Reload {
            Log.step("reading the configuration again");
            let Ok(config) = read_for(run) else {
                Log.step("going on by the old configuration");
                continue;
            };
            if let Err(failure) = daemon.reconfigure(config) {
                Log.step(&format!("going on by the old configuration: {}", failure.told()));
            }
        }
    }
}

fn signals(stopped: u8) -> Result<Signals, u8> {
    Signals::listen(stopped).map_err(|fault| {
        Log.step(&format!("signals cannot be listened for: {fault}"));
        1
    })
}

fn open(run: &Run) -> Result<Service, u8> {
    let config = read_for(run).map_err(|()| CONFIGURATION)?;
    let service = Service::open(config, environment::token(), Arc::new(SystemClock));
    service.map_err(|failure| told(&failure))
}

/// The configuration with what the command line says over it.
fn read_for(run: &Run) -> Result<Config, ()> {
    let mut config = read(&run.config)?;
    if let Some(command) = &run.on_renewed {
        config.on_renewed = Some(command.clone());
    }
    Ok(config)
}

fn read(path: &Path) -> Result<Config, ()> {
    Config::read(path).map_err(|faults| {
        faults.0.iter().for_each(|fault| Log.step(&format!("{}: {fault}", path.display())));
    })
}

fn told(failure: &Failure) -> u8 {
    Log.step(&failure.told());
    failure.exit_code()
}
