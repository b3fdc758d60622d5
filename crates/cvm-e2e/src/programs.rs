//! Where the programs are that tests run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The `cvm` binary that was built beside these tests.
///
/// # Errors
/// Where there is none.
pub fn cvm_binary() -> Result<PathBuf> {
    binary("cvm")
}

/// The `cvm-agent` binary that was built beside these tests.
///
/// # Errors
/// Where there is none.
pub fn agent_binary() -> Result<PathBuf> {
    binary("cvm-agent")
}

pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let profile = tests.parent().and_then(Path::parent).context("no target directory")?;
    let binary = profile.join(name);
    ensure!(
        binary.exists(),
        "{} is missing: run `cargo build --bin {name}` first, or `cargo xtask test`, which does",
        binary.display()
    );
    Ok(binary)
}

/// The Python with the packages of `xtask/requirements.txt`: the one that `CVM_TEST_PYTHON` names, or
/// the one that `cargo xtask test` made.
///
/// # Errors
/// Where there is none.
pub fn test_python() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CVM_TEST_PYTHON") {
        return Ok(PathBuf::from(named));
    }
    let tests = std::env::current_exe()?;
    let made = tests.ancestors().map(|above| above.join("venv/bin/python")).find(|it| it.exists());
    made.context(
        "there is no Python with the packages of xtask/requirements.txt: run `cargo xtask test`",
    )
}
