//! The servers under load: each in a directory of its own, on a port of its own, ended with its
//! handle.

mod cvm;
mod peers;
mod pki;

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::plan::{Connections, Groups, Peer, Plan};

pub(crate) use cvm::Cvm;
pub(crate) use peers::{Peers, null};
pub(crate) use pki::TestPki;

/// How long a server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that accepts.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) roots: PathBuf,
    pub(crate) intermediate: PathBuf,
    pub(crate) data: Option<PathBuf>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) process: Process,
}

impl Server {
    /// A load on this server.
    pub(crate) fn plan(&self, peer: Peer, how: (Connections, Groups), at_once: usize) -> Plan {
        let (connections, groups) = how;
        Plan {
            peer,
            address: self.address,
            roots: self.roots.clone(),
            intermediate: self.intermediate.clone(),
            connections,
            groups,
            at_once,
            seconds: 1.0,
            pid: self.process.id(),
            data: self.data.clone(),
            metrics: self.metrics,
        }
    }
}

/// A child of ours. Dropped, it is asked to end, and made to where it does not.
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command` with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn();
        let what = || format!("starting {}", command.get_program().display());
        child.map(Self).with_context(what)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until `is_ready`, or until the process ended.
    fn wait_until<T>(&mut self, mut is_ready: impl FnMut() -> Option<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(ready) = is_ready() {
                return Ok(ready);
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("the server ended with {status}");
            }
            if began.elapsed() > PATIENCE {
                bail!("the server was not ready within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_for_port(&mut self, address: SocketAddr) -> Result<()> {
        self.wait_until(|| TcpStream::connect(address).ok().map(drop))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let asked = id.map(|id| kill_process(id, Signal::TERM));
        let began = Instant::now();
        while asked.is_some() && began.elapsed() < PATIENCE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// An address that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
