//! `cargo xtask check`: what can be said about the code without running it.

use anyhow::Result;

use crate::aws::WITH_AWS;
use crate::process::{cargo, run};
use crate::steps::Steps;
use crate::tidy::tidy;

pub(crate) fn check() -> Result<()> {
    let mut steps = Steps::begin("check");
    run_in(&mut steps);
    steps.finish()
}

/// Runs every check even when one fails, so that all findings are seen at once.
pub(crate) fn run_in(steps: &mut Steps) {
    steps.step("fmt", || run(&mut cargo(&["fmt", "--all", "--check"])));
    steps.step("clippy", || {
        // `-D warnings` goes to clippy alone: RUSTFLAGS would rebuild the world for the next step.
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    steps.step("clippy of the build with traces", || {
        // The whole workspace, so that its features are as before and its crates are not checked anew.
        let command = ["clippy", "--workspace", "--features", "cvm/otel", "--bin", "cvm"];
        run(cargo(&command).args(["--", "-D", "warnings"]))
    });
    steps.step("clippy of the build with AWS", || {
        let command = ["clippy", "--workspace", "--features", WITH_AWS, "--all-targets"];
        run(cargo(&command).args(["--", "-D", "warnings"]))
    });
    steps.step("tidy", tidy);
}
