//! The agent as it is shipped: small enough for the devices that it is for.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::process::{cargo, command, run};

/// What a device's flash has room for.
const BYTES_MAX: u64 = 4_000_000;

/// Builds it by its profile, looks at its size, and starts it.
pub(crate) fn check(target: &Path) -> Result<()> {
    run(&mut cargo(&["build", "--profile", "agent", "-p", "cvm-agent"]))?;
    let binary = target.join("agent/cvm-agent");
    let found = std::fs::metadata(&binary).with_context(|| format!("{}", binary.display()))?;
    println!("{}: {} of {BYTES_MAX} bytes", binary.display(), found.len());
    ensure!(found.len() <= BYTES_MAX, "cvm-agent has {} bytes: {BYTES_MAX} at most", found.len());
    run(&mut command(&binary, &["--version"]))
}
