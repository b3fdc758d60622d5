//! `cargo xtask lambda`: the function as it is deployed, and whether its zip is small enough.

use anyhow::{Context as _, Result, ensure};

use crate::process::{cargo, command, run};
use crate::workspace;

/// What a start should have to fetch.
const ZIP_BYTES_MAX: u64 = 15_000_000;

/// Builds `bootstrap` by its profile and puts it into a zip for the machine that this is.
pub(crate) fn lambda() -> Result<()> {
    run(&mut cargo(&["build", "--profile", "lambda", "-p", "cvm-lambda", "--features", "aws"]))?;
    let built = workspace::target_directory()?.join("lambda");
    let zip = built.join("bootstrap.zip");
    let zipping = ["-m", "zipfile", "-c", "bootstrap.zip", "bootstrap"];
    run(command("python3", &zipping).current_dir(&built))?;
    let found = std::fs::metadata(&zip).with_context(|| format!("{}", zip.display()))?.len();
    println!("{}: {found} of {ZIP_BYTES_MAX} bytes", zip.display());
    ensure!(found <= ZIP_BYTES_MAX, "the zip has {found} bytes: {ZIP_BYTES_MAX} at most");
    Ok(())
}
