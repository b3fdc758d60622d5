//! A virtual environment below the build directory with the pinned packages of requirements.txt.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{command, run};

const REQUIREMENTS: &str = "xtask/requirements.txt";

/// Makes the environment unless it is there with just these packages, and returns its Python.
pub(crate) fn install(target: &Path) -> Result<PathBuf> {
    let environment = target.join("venv");
    let python = environment.join("bin/python");
    let stamp = environment.join("requirements.stamp");
    let wanted = fs::read_to_string(crate::workspace::root().join(REQUIREMENTS))
        .with_context(|| format!("reading {REQUIREMENTS}"))?;
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("{}: as {REQUIREMENTS} says", environment.display());
        return Ok(python);
    }
    for package in packages(&wanted) {
        println!("installing {package}");
    }
    run(command("python3", &["-m", "venv", "--clear"]).arg(&environment))?;
    run(command(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--requirement", REQUIREMENTS]))?;
    // Written last: an installation cut short begins again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(python)
}

fn packages(requirements: &str) -> impl Iterator<Item = &str> {
    requirements.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}
