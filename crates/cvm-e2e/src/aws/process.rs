//! A stand-in's process: started, waited for, and ended with whoever started it.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// It ends when its standard input does, so that none is left behind by a test that is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts `script` of `crates/cvm-e2e/aws/` and waits until it has said that it answers.
    pub(super) fn start(script: &str, arguments: &[&str]) -> Result<Self> {
        let mut log = tempfile::tempfile()?;
        let mut command = Command::new(python()?);
        command.arg(scripts().join(script)).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone()?);
        let mut child = command.spawn().with_context(|| format!("starting {script}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse().ok());
        let Some(port) = port else {
            child.kill()?;
            child.wait()?;
            let mut said = String::new();
            log.rewind()?;
            log.read_to_string(&mut said)?;
            bail!("{script} does not start: {said}");
        };
        Ok(Self { child, port })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its end ends what it has started itself; a kill would not.
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// Where the stand-ins' own sources are.
pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aws")
}

/// The Python with the packages of `crates/cvm-e2e/aws/requirements.txt`.
pub(super) fn python() -> Result<PathBuf> {
    installed("venv/bin/python")
}

/// Something that `cargo xtask aws install` brought.
pub(super) fn installed(path: &str) -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let found = tests.ancestors().map(|above| above.join("aws").join(path)).find(|it| it.exists());
    found.with_context(|| format!("there is no aws/{path}: run `cargo xtask aws install` first"))
}
