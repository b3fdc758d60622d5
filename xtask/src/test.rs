//! `cargo xtask test`: everything, as the README tells and CI runs it.

mod programs;
mod python;

use anyhow::Result;

use crate::process::{cargo, run};
use crate::steps::Steps;
use crate::{check, workspace};

pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::begin("test");
    steps.heading("programs of others that tests use");
    programs::install_missing()?;
    steps.heading("Python packages that tests use");
    let python = python::install(&workspace::target_directory()?)?;
    check::run_in(&mut steps);
    steps.step("the cvm binary for the end-to-end tests", || {
        run(&mut cargo(&["build", "--bin", "cvm"]))
    });
    steps.step("tests", || {
        // Last and with its output untouched: the runners' own closing lines end the run.
        run(cargo(&["test", "--workspace", "--no-fail-fast"]).env("CVM_TEST_PYTHON", &python))
    });
    steps.finish()
}
