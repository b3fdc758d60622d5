//! CVM as people run it, with its defaults; only its ports are others, and what would slow down a
//! client that asks for a whole fleet from one address is off.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Process, Server};

/// A data directory, and the binary that serves it.
pub(crate) struct Cvm {
    binary: PathBuf,
    directory: PathBuf,
}

impl Cvm {
    /// A new data directory in `place`, which exists.
    pub(crate) fn init(binary: &Path, place: &Path) -> Result<Self> {
        let cvm = Self { binary: binary.to_owned(), directory: place.join("data") };
        let made = cvm.command(&["init", "--unsealed"]).output().context("starting cvm")?;
        ensure!(made.status.success(), "cvm init: {}", String::from_utf8_lossy(&made.stderr));
        Ok(cvm)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.directory
    }

    /// Starts it and waits until it is ready; and how long that took.
    pub(crate) fn serve(&self) -> Result<(Server, Duration)> {
        let ready_file = self.directory.with_extension("ready");
        let log = self.directory.with_extension("log");
        let _old = std::fs::remove_file(&ready_file);
        let mut command = self.command(&["serve", "--ready-file"]);
        let began = Instant::now();
        let mut process = Process::start(command.arg(&ready_file), &log)?;
        let ready = process
            .wait_until(|| serde_json::from_slice::<Value>(&std::fs::read(&ready_file).ok()?).ok())
            .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let took = began.elapsed();
        let address = |name: &str| ready.get(name)?.as_str()?.parse::<SocketAddr>().ok();
        let server = Server {
            name: "cvm",
            address: address("http").context("no device listener")?,
            roots: self.directory.join("root-ca.pem"),
            intermediate: self.directory.join("vault/devices-ca.pem"),
            data: Some(self.directory.clone()),
            metrics: address("metrics"),
            process,
        };
        Ok((server, took))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("CVM_DATA_DIR", &self.directory);
        let settings = [
            ("CVM_HTTP__LISTEN", "127.0.0.1:0"),
            ("CVM_OPERATOR__LISTEN", "127.0.0.1:0"),
            ("CVM_METRICS__LISTEN", "127.0.0.1:0"),
            ("CVM_LIMITS__TRUSTED_NETWORKS", r#"["127.0.0.0/8"]"#),
        ];
        command.envs(settings);
        command
    }
}
