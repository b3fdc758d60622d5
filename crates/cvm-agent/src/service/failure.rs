//! Why a pass did not come to its end, with the exit code for scripts (`contract.md`, section 1).

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Server, network, or files of the identity.
    #[error(transparent)]
    Agent(#[from] Error),
    /// Another agent has the directory.
    #[error("another cvm-agent (process {holder}) works in {}", .directory.display())]
    Busy {
        /// Which directory.
        directory: PathBuf,
        /// The process that has it, as far as it is known.
        holder: String,
    },
    /// The configuration does not fit what is there.
    #[error("{0}")]
    Configuration(String),
    /// The hook did not do its work.
    #[error("the hook {0}: it runs again with the next try")]
    Hook(String),
}

impl Failure {
    /// The exit code of a process that ends with this failure.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Agent(error) => error.exit_code(),
            Self::Busy { .. } => 75,
            Self::Configuration(_) => 64,
            Self::Hook(_) => 1,
        }
    }

    /// What happened, why, and what to do.
    #[must_use]
    pub fn told(&self) -> String {
        let what = match self {
            Self::Agent(error) => with_cause(error),
            Self::Busy { .. } | Self::Configuration(_) | Self::Hook(_) => self.to_string(),
        };
        match self.cure() {
            "" => what,
            cure => format!("{what}; {cure}"),
        }
    }

    /// What to do, where the failure does not say it.
    fn cure(&self) -> &'static str {
        match self {
            Self::Agent(error) => cure_of(error.slug()),
            Self::Busy { .. } => "stop it, or leave the work to it",
            Self::Configuration(_) | Self::Hook(_) => "",
        }
    }

    /// How long the server asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Agent(error) => error.retry_after(),
            Self::Busy { .. } | Self::Configuration(_) | Self::Hook(_) => None,
        }
    }

    /// The longest wait before the next try. What only a human can change need not be looked at
    /// every minute by a whole fleet; what costs nobody anything may.
    pub(super) fn longest_wait(&self) -> Duration {
        const MINUTE: u64 = 60;
        let minutes = match self.exit_code() {
            75 => 5,
            76 => 15,
            77 => 1,
            _ => 60,
        };
        match self {
            Self::Hook(_) => Duration::from_secs(5 * MINUTE),
            Self::Agent(_) | Self::Busy { .. } | Self::Configuration(_) => {
                Duration::from_secs(minutes * MINUTE)
            }
        }
    }
}

/// What happened, and what the system said.
pub(super) fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn cure_of(slug: &str) -> &'static str {
    match slug {
        "access-denied" => {
            "the serial number is not registered, the token is wrong, expired or used up, or the \
             device is disabled: `cvm explain` with the attempt's code tells which"
        }
        "already-issued" => {
            "the token was used with another key than the one here: bring that back, or have an \
             operator issue a new token, `cvm device new-token SERIAL`"
        }
        "certificate-expired"
        | "certificate-revoked"
        | "certificate-superseded"
        | "certificate-unknown" => {
            "an operator has to issue a new token, `cvm device new-token SERIAL`: put it into the \
             `token_file`, and the agent enrolls with it"
        }
        "certificate-inactive" => {
            "an operator has disabled the device: `cvm device enable SERIAL` ends that"
        }
        "key-not-acceptable" | "weak-key" => {
            "the server does not take this key: if it is `device.key`, remove it together with \
             device.json, and put a new token into the `token_file`"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_exit_code() {
        let text = || "x".to_owned();
        let busy = Failure::Busy { directory: PathBuf::from("d"), holder: text() };
        assert_eq!(busy.exit_code(), 75);
        assert_eq!(Failure::Configuration(text()).exit_code(), 64);
        assert_eq!(Failure::Hook(text()).exit_code(), 1);
        assert_eq!(Failure::Agent(Error::LocalContent { what: text() }).exit_code(), 77);
    }
}
