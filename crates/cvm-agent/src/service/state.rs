//! `agent.json`: what the agent still owes, which the files of the identity do not tell.
//!
//! Where it is missing or cannot be read everything is owed: a confirmation can be repeated, and a
//! hook has to stand being run again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{self, Directory, Mode};

/// What it is called.
const STATE_FILE: &str = "agent.json";

/// What is owed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// An enrollment was begun, and its certificate has not been confirmed.
    pub(super) awaits_confirmation: bool,
    /// The token file as it was when the server last accepted the certificate, without its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    /// The certificate for which the hook succeeded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told_of: Option<String>,
}

impl State {
    fn owing() -> Self {
        Self { awaits_confirmation: true, token: None, told_of: None }
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let json = files::read(&directory.join(STATE_FILE))?;
        let found = json.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(found.unwrap_or_else(Self::owing))
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(|fault| Error::LocalContent {
            what: format!("{STATE_FILE} cannot be made: {fault}"),
        })?;
        Directory::open(directory)?.replace(STATE_FILE, &json, Mode::Public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_missing_owes_everything() {
        let home = tempfile::tempdir().unwrap();
        let owes_all = State::owing();
        assert_eq!(State::read(home.path()).unwrap(), owes_all);
        let told_of = Some("ab".to_owned());
        let settled = State { awaits_confirmation: false, token: None, told_of };
        settled.write(home.path()).unwrap();
        assert_eq!(State::read(home.path()).unwrap(), settled);
        std::fs::write(home.path().join(STATE_FILE), "{\"awaits").unwrap();
        assert_eq!(State::read(home.path()).unwrap(), owes_all);
    }
}
