//! Virtual environments below the build directory with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{command, run};

/// Makes `environment` unless it is there with just the packages of `requirements`, and returns its
/// Python. `options` are pip's.
pub(crate) fn install(environment: &Path, requirements: &str, options: &[&str]) -> Result<PathBuf> {
    let python = environment.join("bin/python");
    let stamp = environment.join("requirements.stamp");
    let wanted = fs::read_to_string(crate::workspace::root().join(requirements))
        .with_context(|| format!("reading {requirements}"))?;
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("{}: as {requirements} says", environment.display());
        return Ok(python);
    }
    for package in packages(&wanted) {
        println!("installing {package}");
    }
    run(command("python3", &["-m", "venv", "--clear"]).arg(environment))?;
    run(command(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(options)
        .args(["--requirement", requirements]))?;
    // Written last: an installation cut short begins again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(python)
}

fn packages(requirements: &str) -> impl Iterator<Item = &str> {
    requirements.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}
