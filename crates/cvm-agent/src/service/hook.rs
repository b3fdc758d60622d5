//! The command that is run when there is a new certificate: it knows where the files are, and no
//! secret.

use std::fmt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Failure;
use crate::enroll::{CERTIFICATE_FILE, CHAIN_FILE, DeviceRecord, ROOT_CA_FILE};

/// A hook that takes longer does not come to its end.
const LIMIT_SECONDS: u64 = 300;
/// How often it is looked at.
const LOOK_MILLISECONDS: u64 = 20;
/// What our own environment may hold that is nobody else's.
const SECRETS: [&str; 2] = ["CVM_TOKEN", "CREDENTIALS_DIRECTORY"];

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The first certificate that a hook is told of.
    Enrolled,
    /// Another one.
    Renewed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enrolled => "enrolled",
            Self::Renewed => "renewed",
        })
    }
}

/// Runs `command` to its end.
pub(super) fn run(
    command: &str,
    event: Event,
    record: &DeviceRecord,
    directory: &Path,
) -> Result<(), Failure> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).process_group(0);
    for name in SECRETS {
        shell.env_remove(name);
    }
    shell
        .env("CVM_EVENT", event.to_string())
        .env("CVM_DIRECTORY", directory)
        .env("CVM_SERIAL_NUMBER", &record.serial_number)
        .env("CVM_THING_NAME", &record.thing_name)
        .env("CVM_CERTIFICATE_ID", &record.certificate_id)
        .env("CVM_NOT_AFTER", &record.not_after)
        .env("CVM_KEY_FILE", record.key_path(directory))
        .env("CVM_CERTIFICATE_FILE", directory.join(CERTIFICATE_FILE))
        .env("CVM_CHAIN_FILE", directory.join(CHAIN_FILE))
        .env("CVM_ROOT_CA_FILE", directory.join(ROOT_CA_FILE));
    finish(shell, Duration::from_secs(LIMIT_SECONDS))
}

fn finish(mut command: Command, limit: Duration) -> Result<(), Failure> {
    let failed = |fault| Failure::Hook(format!("cannot be run: {fault}"));
    let mut child = command.spawn().map_err(failed)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return judge(status);
        }
        if begun.elapsed() >= limit {
            end(&mut child);
            return Err(Failure::Hook(format!("took longer than {} s", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
    }
}

fn judge(status: ExitStatus) -> Result<(), Failure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Failure::Hook(format!("exited {code}"))),
        (None, Some(signal)) => Err(Failure::Hook(format!("was ended by signal {signal}"))),
        (None, None) => Err(Failure::Hook("ended in an unknown way".to_owned())),
    }
}

/// Ends it with everything that it started.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // One that ended meanwhile needs no signal.
    let _sent = group.map(|group| kill_process_group(group, Signal::KILL));
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(script: &str, limit: Duration) -> Option<String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0);
        finish(command, limit).err().map(|fault| fault.to_string())
    }

    #[test]
    fn a_hook_that_fails_says_how() {
        let limit = Duration::from_secs(60);
        assert_eq!(told("exit 0", limit), None);
        assert!(told("exit 3", limit).unwrap().starts_with("the hook exited 3:"));
        assert!(told("kill -9 $$", limit).unwrap().contains("signal 9"));
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_what_it_started() {
        let home = tempfile::tempdir().unwrap();
        let pid_file = home.path().join("pid");
        // The limit may pass before the shell begins on a busy machine: then there is no child.
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let said = told(&script, Duration::from_secs(2)).unwrap();
        assert!(said.contains("took longer than 2 s"), "{said}");
        let pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let status = format!("/proc/{}/stat", pid.trim());
        let is_alive = || {
            let stat = std::fs::read_to_string(&status).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let begun = Instant::now();
        while !pid.is_empty() && is_alive() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{pid} lives on");
            std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
        }
    }
}
