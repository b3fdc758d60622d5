//! `cargo xtask test`: everything, as the README tells and CI runs it.

mod agent;
mod programs;
mod python;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process::{cargo, run};
use crate::steps::Steps;
use crate::{check, workspace};

pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::begin("test");
    steps.heading("programs of others that tests use");
    programs::install_missing()?;
    steps.heading("Python packages that tests use");
    let target = workspace::target_directory()?;
    let python = python::install(&target)?;
    check::run_in(&mut steps);
    steps.step("the cvm binary with traces, for their tests", || build_with_traces(&target));
    steps.step("the binaries for the end-to-end tests", || {
        run(&mut cargo(&["build", "--bin", "cvm", "--bin", "cvm-agent"]))
    });
    steps.step("the agent as it is shipped", || agent::check(&target));
    steps.step("tests", || {
        // Last and with its output untouched: the runners' own closing lines end the run.
        run(cargo(&["test", "--workspace", "--no-fail-fast"]).env("CVM_TEST_PYTHON", &python))
    });
    steps.finish()
}

/// A build that tests find as `cvm-otel`. Before the other one, as both are called `cvm` at first.
fn build_with_traces(target: &Path) -> Result<()> {
    run(&mut cargo(&["build", "--bin", "cvm", "--features", "cvm/otel"]))?;
    let built = target.join("debug");
    // Beside it and then moved: a test may be running the one before.
    let copy = built.join("cvm-otel.new");
    fs::copy(built.join("cvm"), &copy).context("copying the binary")?;
    fs::rename(&copy, built.join("cvm-otel")).context("renaming the copy")
}
