//! A command whose power is cut at each of its steps, each time with a home of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cvm_e2e::{Change, Environment, Loss, Power};

/// A directory in which a command works, and the device it is about.
pub(super) struct Home<'e> {
    pub(super) environment: &'e Environment,
    pub(super) serial: String,
    pub(super) path: PathBuf,
}

impl<'e> Home<'e> {
    fn new(environment: &'e Environment, serial: String) -> Self {
        let path = environment.scratch().join(&serial);
        std::fs::create_dir(&path).unwrap();
        Self { environment, serial, path }
    }

    /// A `cvm` command that works here.
    pub(super) fn cvm(&self, arguments: &[&str]) -> Command {
        let mut command = self.environment.command(arguments).unwrap();
        command.current_dir(&self.path).stdin(Stdio::null());
        command
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok()
    }
}

/// Runs a command to its end: exit code and standard error.
pub(super) fn run(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs a command, which works in its home alone, up to its first step and cuts the power; then, in
/// another home, up to the second, and so on to its end. `check` sees what the cut left, and a server
/// that was told what was told to it before.
pub(super) fn cut_at_every_step(
    environment: &Environment,
    prepare: impl Fn(&Home<'_>),
    command: impl Fn(&Home<'_>) -> Command,
    check: impl Fn(&Home<'_>, Ended),
) {
    let cut = |step: usize, loss: Loss| {
        let home = Home::new(environment, format!("SN-{step}-{loss:?}").replace(['(', ')'], "-"));
        prepare(&home);
        let mut power = Power::watch(&home.path, environment.scratch()).unwrap();
        let output = command(&home).envs(power.variables_until(step)).output().unwrap();
        let ended = match (output.status.code(), output.status.signal()) {
            (Some(0), _) => Ended::ByItself,
            (_, Some(9)) => Ended::Cut,
            _ => panic!("step {step}: {}", String::from_utf8_lossy(&output.stderr)),
        };
        let last = power.changes().unwrap().pop();
        power.cut(loss).unwrap();
        check(&home, ended);
        // Between these, a disk that has lost all it can does not change.
        let is_moment = matches!(last, Some(Change::Speak | Change::Sync { .. }));
        (ended, is_moment)
    };
    for step in 1_usize.. {
        let seed = u64::try_from(step).unwrap();
        let loss = if step.is_multiple_of(4) { Loss::Contents } else { Loss::Some(seed) };
        let (ended, is_moment) = cut(step, loss);
        if is_moment || ended == Ended::ByItself {
            cut(step, Loss::Everything);
        }
        if ended == Ended::ByItself {
            assert!(step > 10, "{step} steps are not what such a command takes: was it recorded?");
            return;
        }
    }
}

/// How the command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    ByItself,
    Cut,
}
