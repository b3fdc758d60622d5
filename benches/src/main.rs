//! What a vend costs, beside its floor and its peers in the same run. `cargo xtask bench` starts it.
//!
//! Only ratios within one run last: machines differ, and so do hours on one machine.
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on its terminal")]

mod client;
mod fill;
mod floor;
mod growth;
mod load;
mod matrix;
mod null_server;
mod plan;
mod registry;
mod report;
mod request;
mod servers;
mod system;
mod timing;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use rustix::time::{ClockId, clock_gettime};

use report::Results;

#[derive(Parser)]
#[command(about = "What a vend costs, beside its floor and its peers in the same run")]
enum Cli {
    /// Everything: servers, loads, floor, growth.
    Run(Run),
    /// Whether the refusals that look alike take alike long.
    Timing(Timing),
    #[command(flatten)]
    Part(Part),
}

/// Processes of a run.
#[derive(Subcommand)]
enum Part {
    /// One measured load: a plan from standard input, what came of it to standard output.
    #[command(hide = true)]
    Load,
    /// The floor's server.
    #[command(hide = true)]
    NullServer {
        #[arg(long)]
        listen: String,
        #[arg(long)]
        chain: PathBuf,
        #[arg(long)]
        key: PathBuf,
    },
}

/// What a run is.
#[derive(Args)]
struct Run {
    /// The `cvm` to measure.
    #[arg(long)]
    cvm: PathBuf,
    /// Where step-ca and cfssl are; without it they are left out.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// How long each load is.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often everything is measured; medians are told.
    #[arg(long, default_value_t = 2)]
    passes: usize,
    /// How many devices ask at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    at_once: Vec<usize>,
    /// How many devices the registries have whose growth is measured.
    #[arg(long, value_delimiter = ',')]
    devices: Vec<u64>,
    /// How long to wait for a quiet machine, in seconds.
    #[arg(long, default_value_t = 240)]
    patience: u64,
    /// How often each part of the floor is measured.
    #[arg(long, default_value_t = 20_000)]
    floor_times: usize,
    /// Where everything is kept while it is needed, on the disk to be measured.
    #[arg(long)]
    place: PathBuf,
    /// Where the results go, JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The Markdown file whose tables are replaced.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// What the timing of refusals needs.
#[derive(Args)]
struct Timing {
    /// The `cvm` to measure.
    #[arg(long)]
    cvm: PathBuf,
    /// Requests of each kind.
    #[arg(long, default_value_t = 20_000)]
    each: usize,
    /// Where everything is kept while it is needed.
    #[arg(long)]
    place: PathBuf,
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Run(run) => measure(&run),
        Cli::Timing(Timing { cvm, each, place }) => timing::run(&cvm, each, &place),
        Cli::Part(Part::Load) => {
            let plan = serde_json::from_reader(std::io::stdin()).context("reading the plan")?;
            println!("{}", serde_json::to_string(&load::run(&plan)?)?);
            Ok(())
        }
        Cli::Part(Part::NullServer { listen, chain, key }) => {
            null_server::run(&listen, &chain, &key)
        }
    }
}

fn measure(run: &Run) -> Result<()> {
    std::fs::create_dir_all(&run.place)?;
    if !system::wait_until_quiet(Duration::from_secs(run.patience)) {
        println!("the machine is not quiet: ratios of CPU are usable, times are not");
    }
    let place = tempfile::tempdir_in(&run.place)?;
    let mut results = Results::default();
    matrix::measure(run, place.path(), &mut results)?;
    growth::measure(run, place.path(), &mut results)?;
    println!("\n{}", report::text(&results));
    if let Some(out) = &run.out {
        std::fs::write(out, serde_json::to_string_pretty(&results)?)?;
        println!("results: {}", out.display());
    }
    if let Some(path) = &run.write {
        report::write(path, &results)?;
        println!("tables: {}", path.display());
    }
    Ok(())
}

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or_default()
}
