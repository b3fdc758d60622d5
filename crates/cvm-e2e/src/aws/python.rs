//! Python with `boto3`, to read back with AWS's own client what was made.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::VARIABLES;
use super::process::{python, scripts};

/// Runs a script of `crates/cvm-e2e/aws/` to its end, and returns its standard output.
///
/// # Errors
/// Where it fails; with what it said.
pub fn run_python(script: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(python()?);
    command.arg(scripts().join(script)).args(arguments).stdin(Stdio::null());
    command.envs(VARIABLES).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{script}: {}\n{stdout}\n{stderr}", output.status);
    Ok(stdout)
}
