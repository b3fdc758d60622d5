//! `cargo xtask test`: everything, as the README tells and CI runs it.

mod agent;
pub(crate) mod programs;
pub(crate) mod python;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process::{cargo, run};
use crate::steps::Steps;
use crate::{aws, check, workspace};

pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::begin("test");
    steps.heading("programs of others that tests use");
    programs::install_missing()?;
    steps.heading("Python packages that tests use");
    let target = workspace::target_directory()?;
    let python = python::install(&target.join("venv"), "xtask/requirements.txt", &[])?;
    steps.heading("stand-ins for AWS");
    aws::install(&target)?;
    check::run_in(&mut steps);
    steps.step("the cvm binary with traces, for their tests", || {
        build_as(&target, "cvm/otel", "cvm-otel")
    });
    aws::run_in(&mut steps, &target);
    steps.step("the binaries for the end-to-end tests", || {
        // The whole workspace, here and above, so that its features are those of the tests and
        // nothing is built twice.
        run(&mut cargo(&["build", "--workspace", "--bin", "cvm", "--bin", "cvm-agent"]))
    });
    steps.step("the agent as it is shipped", || agent::check(&target));
    steps.step("tests", || {
        // Last and with its output untouched: the runners' own closing lines end the run.
        run(cargo(&["test", "--workspace", "--no-fail-fast"]).env("CVM_TEST_PYTHON", &python))
    });
    steps.finish()
}

/// A build with a feature, that tests find as `name`. Before the one without, as all are called `cvm`
/// at first.
pub(crate) fn build_as(target: &Path, feature: &str, name: &str) -> Result<()> {
    run(&mut cargo(&["build", "--workspace", "--bin", "cvm", "--features", feature]))?;
    let built = target.join("debug");
    // Beside it and then moved: a test may be running the one before.
    let copy = built.join(format!("{name}.new"));
    fs::copy(built.join("cvm"), &copy).context("copying the binary")?;
    fs::rename(&copy, built.join(name)).context("renaming the copy")
}
