//! `cargo xtask run`: the server on loopback with a throw-away CA.

use anyhow::Result;

use crate::process::{cargo, run as run_process};

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    run_process(cargo(&["run", "--bin", "cvm", "--", "dev"]).args(arguments))
}
