//! The agent's configuration: a small TOML file, with every fault named at once.
//!
//! Relative paths start at the file's own directory. There is no key for a token: it is no part of
//! what is copied, shown, and kept under version control.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::failure::with_cause;
use crate::client::{Trust, check_address};
use crate::files;
use crate::keys::KeyAlgorithm;
use crate::report::Reporter;

/// Where the files go if nothing is said.
const DIRECTORY: &str = "/var/lib/cvm-agent";
/// Every key.
const KEYS: [&str; 10] = [
    "directory",
    "fingerprint",
    "key_algorithm",
    "on_renewed",
    "remove_token",
    "root_ca",
    "serial",
    "serial_file",
    "server",
    "token_file",
];

/// What the agent works by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the files go.
    pub directory: PathBuf,
    /// Which key to make.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// What to run when there is a new certificate.
    pub on_renewed: Option<String>,
    /// The device's serial number.
    pub serial_number: String,
    /// `https://host:port`.
    pub server: String,
    /// Where the token is.
    pub token_file: Option<PathBuf>,
    /// What the server is verified against for the first certificate.
    pub trust: Trust,
    /// What becomes of the token file.
    pub used_token: UsedToken,
}

/// What becomes of a token file whose token is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedToken {
    /// It stays: it opens nothing any more.
    Keep,
    /// It is removed.
    Remove,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigFaults(pub Vec<String>);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ConfigFaults> {
        let one = |what: String| ConfigFaults(vec![what]);
        refuse_foreign_hands(path).map_err(one)?;
        let bytes = files::read_needed(path).map_err(|fault| one(with_cause(&fault)))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| one(format!("{} is not UTF-8", path.display())))?;
        let base = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::parse(text, base)
    }

    /// Reads a text whose relative paths start at `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigFaults> {
        let base = std::path::absolute(base)
            .map_err(|fault| ConfigFaults(vec![format!("finding {}: {fault}", base.display())]))?;
        let table = text.parse::<Table>().map_err(|fault| {
            let offset = fault.span().map_or(0, |span| span.start);
            let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
            ConfigFaults(vec![format!("line {line}: {}", fault.message())])
        })?;
        Reader { table, base, faults: Vec::new() }.read()
    }

    pub(super) fn token_was_used(&self, reporter: &dyn Reporter) {
        let (UsedToken::Remove, Some(path)) = (self.used_token, &self.token_file) else {
            return;
        };
        match files::remove_for_good(path) {
            Ok(files::Removed::Gone) => reporter.step(&format!("removed {}", path.display())),
            Ok(files::Removed::NotThere) => {}
            Err(fault) => {
                // Used up, it is no reason to stop.
                reporter.step(&format!("{} cannot be removed: {fault}", path.display()));
            }
        }
    }
}

/// Whoever may write the file says whom the agent trusts and which command it runs, so it is as ssh
/// has it with its own.
fn refuse_foreign_hands(path: &Path) -> Result<(), String> {
    // What is wrong where it cannot be looked at, reading it tells.
    let Ok(found) = path.metadata() else { return Ok(()) };
    let (file, mode) = (path.display(), found.mode() & 0o7777);
    if !found.is_file() {
        return Ok(());
    }
    if mode & 0o022 != 0 {
        return Err(format!(
            "{file} can be written by others (mode {mode:04o}), and it says whom to trust and what \
             to run: chmod go-w {file}"
        ));
    }
    if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!(
            "{file} belongs to another user (uid {}), and it says whom to trust and what to run: it \
             must be root's, or of the user whom the agent runs as",
            found.uid()
        ));
    }
    Ok(())
}

struct Reader {
    table: Table,
    base: PathBuf,
    faults: Vec<String>,
}

impl Reader {
    fn read(mut self) -> Result<Config, ConfigFaults> {
        let server = self.server();
        let serial_number = self.serial_number();
        let trust = self.trust();
        let key_algorithm = self.text("key_algorithm").and_then(|text| {
            let parsed = text.parse();
            parsed.map_err(|fault| self.fault("key_algorithm", &format!("{fault}"))).ok()
        });
        let directory = self.path("directory").unwrap_or_else(|| DIRECTORY.into());
        let token_file = self.path("token_file");
        let used_token = self.used_token(token_file.as_ref());
        let on_renewed = self.text("on_renewed");
        self.refuse_others();
        match (server, serial_number, trust) {
            (Some(server), Some(serial_number), Some(trust)) if self.faults.is_empty() => {
                Ok(Config {
                    directory,
                    key_algorithm,
                    on_renewed,
                    serial_number,
                    server,
                    token_file,
                    trust,
                    used_token,
                })
            }
            _ => Err(ConfigFaults(self.faults)),
        }
    }

    fn server(&mut self) -> Option<String> {
        let Some(server) = self.text("server") else {
            self.needed("server", "https://HOST:8443");
            return None;
        };
        check_address(&server).map_err(|fault| self.fault("server", &fault.to_string())).ok()?;
        Some(server)
    }

    fn serial_number(&mut self) -> Option<String> {
        let serial = match (self.text("serial"), self.path("serial_file")) {
            (Some(_), Some(_)) => {
                self.fault("serial", "give this or `serial_file`, not both");
                return None;
            }
            (Some(serial), None) => serial,
            (None, Some(path)) => match read_serial(&path) {
                Ok(serial) => serial,
                Err(what) => {
                    self.fault("serial_file", &what);
                    return None;
                }
            },
            (None, None) => {
                self.needed("serial", "SN-0001` (or `serial_file");
                return None;
            }
        };
        // `protocol.md`, section 1.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ":._/+-".contains(c);
        match (1..=64).contains(&serial.len()) && serial.chars().all(is_plain) {
            true => Some(serial),
            false => {
                let what = "a serial number has 1 to 64 characters of A-Z a-z 0-9 : . _ / + -";
                self.fault("serial", what);
                None
            }
        }
    }

    fn trust(&mut self) -> Option<Trust> {
        match (self.text("fingerprint"), self.path("root_ca")) {
            (Some(text), None) => match text.parse() {
                Ok(fingerprint) => Some(Trust::Fingerprint(fingerprint)),
                Err(fault) => {
                    self.fault("fingerprint", &format!("{fault}"));
                    None
                }
            },
            (None, Some(path)) => Some(Trust::RootFile(path)),
            (Some(_), Some(_)) => {
                self.fault("fingerprint", "give this or `root_ca`, not both");
                None
            }
            (None, None) => {
                let what = "give this or `root_ca`: without one of them no server is asked";
                self.fault("fingerprint", what);
                None
            }
        }
    }

    fn used_token(&mut self, token_file: Option<&PathBuf>) -> UsedToken {
        match self.table.remove("remove_token") {
            None | Some(Value::Boolean(false)) => UsedToken::Keep,
            Some(Value::Boolean(true)) => {
                if token_file.is_none() {
                    self.fault("remove_token", "there is no `token_file` to remove");
                }
                UsedToken::Remove
            }
            Some(_) => {
                self.fault("remove_token", "expected true or false");
                UsedToken::Keep
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::String(_) => {
                self.fault(key, "is empty: write something or remove the line");
                None
            }
            Value::Array(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Float(_)
            | Value::Integer(_)
            | Value::Table(_) => {
                self.fault(key, "expected a text in quotes");
                None
            }
        }
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.base.join(text))
    }

    fn refuse_others(&mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            match key.as_str() {
                "token" => self.fault(key, "a token does not belong here: use `token_file`"),
                _ => self.fault(key, &format!("is no key; there are {}", KEYS.join(", "))),
            }
        }
    }

    /// What is missing, unless it is there and wrong.
    fn needed(&mut self, key: &str, example: &str) {
        let place = format!("{key}: ");
        if !self.faults.iter().any(|fault| fault.starts_with(&place)) {
            self.fault(key, &format!("is missing: write `{key} = \"{example}\"`"));
        }
    }

    fn fault(&mut self, key: &str, what: &str) {
        self.faults.push(format!("{key}: {what}"));
    }
}

/// The first line; what the device tree shows ends with a NUL.
fn read_serial(path: &Path) -> Result<String, String> {
    let bytes = files::read_needed(path).map_err(|fault| with_cause(&fault))?;
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).next().unwrap_or_default();
    match std::str::from_utf8(line) {
        Ok("") | Err(_) => Err(format!("{} holds no serial number", path.display())),
        Ok(line) => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests;
