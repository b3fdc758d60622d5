//! What the size of the registry changes: CPU of a vend, time from start to ready, memory.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::Run;
use crate::fill::{Filling, Standing};
use crate::matrix::{MAIN_AT_ONCE, load};
use crate::plan::{Connections, Groups, Peer, Plan};
use crate::registry::Pick;
use crate::report::{Results, median};
use crate::servers::{Cvm, Server};

/// A load needs so many devices to be worth its warming.
const LEFT_MIN: u64 = 600;

/// How often the start is timed.
const STARTS: usize = 5;

/// What a registry of some size costs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Growth {
    pub(crate) devices: u64,
    /// Milliseconds from the start of the process to its ready file, each time.
    pub(crate) ready: Vec<f64>,
    /// CPU of a vend in milliseconds, each time, on new and on kept connections.
    pub(crate) new: Vec<f64>,
    pub(crate) kept: Vec<f64>,
    /// Bytes in memory after the last load.
    pub(crate) resident: u64,
}

/// A registry that is served.
struct Subject {
    run: (std::path::PathBuf, std::path::PathBuf),
    server: Server,
    pick: Pick,
    growth: Growth,
    renewed: usize,
}

/// Measures and adds to `results`. The registries take turns.
pub(crate) fn measure(run: &Run, place: &Path, results: &mut Results) -> Result<()> {
    let mut subjects = Vec::new();
    for &devices in &run.devices {
        subjects.push(Subject::make(&run.cvm, place, devices)?);
    }
    for _ in 0..run.passes {
        for subject in &mut subjects {
            let new = subject.load(Connections::New, run.seconds)?;
            let kept = subject.load(Connections::Kept, run.seconds)?;
            subject.growth.new.push(new);
            subject.growth.kept.push(kept);
        }
    }
    for Subject { growth, .. } in subjects {
        println!("{growth}");
        results.growths.push(growth);
    }
    Ok(())
}

impl Subject {
    fn make(binary: &Path, place: &Path, devices: u64) -> Result<Self> {
        println!("filling a registry with {devices} devices");
        let place = place.join(format!("growth-{devices}"));
        let (server, mut ready) = serve(binary, &place, devices, STARTS)?;
        ready.sort_by(f64::total_cmp);
        let (new, kept) = (Vec::new(), Vec::new());
        let growth = Growth { devices, ready, new, kept, resident: 0 };
        let (run, pick) = ((binary.to_owned(), place), Pick { of: devices, from: 0 });
        Ok(Self { run, server, pick, growth, renewed: 0 })
    }

    /// CPU of a vend. A registry whose devices have all been used gives way to one that is alike.
    fn load(&mut self, connections: Connections, seconds: f64) -> Result<f64> {
        let (mut took, mut answered, mut cpu) = (0.0, 0, 0.0);
        while took < seconds {
            if self.pick.from + LEFT_MIN > self.pick.of {
                self.renew()?;
            }
            let way = (connections, Groups::X25519);
            let plan = self.server.plan(Peer::Cvm { devices: self.pick }, way, MAIN_AT_ONCE);
            let measured = load(&Plan { seconds: seconds - took, ..plan })?;
            self.pick.from += measured.devices_used;
            self.growth.resident = self.growth.resident.max(measured.resident);
            took += measured.seconds;
            answered += measured.answered;
            cpu += measured.server_cpu * measured.answered as f64;
        }
        Ok(cpu / answered as f64)
    }

    fn renew(&mut self) -> Result<()> {
        self.renewed += 1;
        let (binary, place) = &self.run;
        let place = place.with_extension(self.renewed.to_string());
        self.server = serve(binary, &place, self.pick.of, 1)?.0;
        self.pick.from = 0;
        Ok(())
    }
}

/// Fills a registry and starts it `starts` times, the last time to stay.
fn serve(binary: &Path, place: &Path, devices: u64, starts: usize) -> Result<(Server, Vec<f64>)> {
    std::fs::create_dir(place)?;
    let cvm = Cvm::init(binary, place)?;
    Filling::open(cvm.data())?.fill(0..devices, |_| Standing::Waiting)?;
    let mut ready = Vec::new();
    for _ in 1..starts {
        ready.push(cvm.serve()?.1.as_secs_f64() * 1_000.0);
    }
    let (server, took) = cvm.serve()?;
    ready.push(took.as_secs_f64() * 1_000.0);
    Ok((server, ready))
}

impl Growth {
    /// The middle one of the starts.
    pub(crate) fn ready(&self) -> f64 {
        median(&self.ready)
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (new, kept) = (median(&self.new), median(&self.kept));
        write!(
            f,
            "{:>8} devices: CPU a vend {new:.3} ms new, {kept:.3} ms kept; ready in {:.0} ms; {} MB",
            self.devices,
            self.ready(),
            self.resident / 1_000_000
        )
    }
}
