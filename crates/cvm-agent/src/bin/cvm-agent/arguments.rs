//! What a user types.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Error, Parser, ValueExt};

/// Where the configuration is if nothing is said.
const CONFIG: &str = "/etc/cvm-agent.toml";

pub(crate) const HELP: &str = "\
Keeps a device supplied with a certificate from a CVM server.

Usage: cvm-agent run [--config FILE] [--once] [--on-renewed CMD]
       cvm-agent check [--config FILE]

  run              enroll if there is no certificate, renew when it is due, for ever
    --once         do what is due now and end, as for a systemd timer
    --on-renewed CMD
                   run CMD by /bin/sh when there is a new certificate; it finds CVM_EVENT,
                   CVM_CERTIFICATE_ID, CVM_DIRECTORY and others in its environment
  check            name every fault of the configuration

  --config FILE    default /etc/cvm-agent.toml
  -h, --help       this
  -V, --version    the version

Signals: SIGHUP reads the configuration again and does what is due; SIGTERM ends.
Exit codes: 0 done, 1 refused or failed (also the hook), 2 usage, 64 bad configuration,
75 try later, 76 the server is not the pinned one, 77 local files.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Check { config: PathBuf },
    Help,
    Run(Run),
    Version,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) config: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) on_renewed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Daemon,
    Once,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not named here is an argument that there is not"
)]
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = Parser::from_iter(arguments);
    let mut command = None;
    let mut run = Run { config: CONFIG.into(), mode: Mode::Daemon, on_renewed: None };
    while let Some(argument) = parser.next()? {
        let is_run = command.as_deref() == Some("run");
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("config") if command.is_some() => run.config = parser.value()?.into(),
            Long("once") if is_run => run.mode = Mode::Once,
            Long("on-renewed") if is_run => run.on_renewed = Some(parser.value()?.string()?),
            Value(word) if command.is_none() => command = Some(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    match command.as_deref() {
        Some("check") => Ok(Command::Check { config: run.config }),
        Some("run") => Ok(Command::Run(run)),
        Some(other) => Err(format!("there is no command `{other}`").into()),
        None => Err("say `run` or `check`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Command> {
        parse(line.split_whitespace().map(OsString::from)).ok()
    }

    fn run(config: &str, mode: Mode, on_renewed: Option<&str>) -> Option<Command> {
        let on_renewed = on_renewed.map(str::to_owned);
        Some(Command::Run(Run { config: config.into(), mode, on_renewed }))
    }

    #[test]
    fn commands_are_read_with_their_options() {
        assert_eq!(parsed("cvm-agent run"), run(CONFIG, Mode::Daemon, None));
        assert_eq!(
            parsed("cvm-agent run --once --config=a.toml --on-renewed reload"),
            run("a.toml", Mode::Once, Some("reload"))
        );
        let check = Command::Check { config: "b".into() };
        assert_eq!(parsed("cvm-agent check --config b"), Some(check));
        assert_eq!(parsed("cvm-agent --help"), Some(Command::Help));
        assert_eq!(parsed("cvm-agent run -V"), Some(Command::Version));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let lines = [
            "cvm-agent",
            "cvm-agent serve",
            "cvm-agent run now",
            "cvm-agent check --once",
            "cvm-agent --once run",
            "cvm-agent run --config",
            "cvm-agent run --once=yes",
            "cvm-agent run --token cvm1-X",
        ];
        for line in lines {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
