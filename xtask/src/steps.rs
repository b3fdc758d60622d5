//! A command made of steps: a heading with the time for each, and one closing line for all.

use std::time::Instant;

use anyhow::{Result, bail};

pub(crate) struct Steps {
    command: &'static str,
    begun: Instant,
    failures: Vec<String>,
}

impl Steps {
    pub(crate) fn begin(command: &'static str) -> Self {
        Self { command, begun: Instant::now(), failures: Vec::new() }
    }

    pub(crate) fn heading(&self, name: &str) {
        println!("\n==> {name} [{}]", self.elapsed());
    }

    /// Runs one step and goes on if it fails; the failure is told in the closing line.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        self.heading(name);
        if let Err(error) = work() {
            self.failures.push(format!("{name} ({error:#})"));
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        let Self { command, failures, .. } = &self;
        if !failures.is_empty() {
            bail!("xtask {command} failed after {}: {}", self.elapsed(), failures.join("; "));
        }
        println!("xtask {command} passed in {}", self.elapsed());
        Ok(())
    }

    fn elapsed(&self) -> String {
        format!("{:.1} s", self.begun.elapsed().as_secs_f32())
    }
}
