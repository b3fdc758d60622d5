//! `cargo xtask power`: what power cuts of a real ext4 leave of a store under load. By hand, since it
//! needs root.

use anyhow::Result;

use crate::process::{cargo, run};

pub(crate) fn power() -> Result<()> {
    run(&mut cargo(&["build", "--bin", "cvm"]))?;
    run(&mut cargo(&["test", "-p", "cvm-e2e", "--test", "ext4"]))
}
