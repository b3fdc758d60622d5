//! Configuration: read once, checked whole, every fault named at once.
//!
//! A value comes from the file, from `CVM_SECTION__KEY`, or is the default; which, `cvm config
//! show` tells. A key that nobody knows is a fault: a misspelt limit must not be no limit.

#[cfg(feature = "aws")]
mod aws;
mod issuance;
mod limits;
mod listen;
mod notify;
mod places;
mod read;
mod sections;
mod trace;

use std::path::{Path, PathBuf};

#[cfg(feature = "aws")]
pub(crate) use aws::{Bucket, IotCore, IssuerKind, PolicyKind, Routes, Table};
pub(crate) use notify::{Notify, WebhookUrl};
pub(crate) use places::{
    DEFAULT_STORE, KeyReference, PlatformKind, PlatformName, PlatformPlace, StorePlace, StoreUrl,
    VaultPlace, VaultUrl,
};
pub(crate) use read::{Fault, Setting};
pub(crate) use sections::{Config, HostName, Log, LogFormat, LogLevel, ServerKey};
#[cfg(feature = "otel")]
pub(crate) use trace::Trace;

use read::Reader;

/// Why there is no configuration to run with.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    File { path: PathBuf, source: std::io::Error },
    /// What is wrong in it, all of it.
    Faults(Vec<Fault>),
}

/// A configuration as it is in force, and what else is to be said of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What to run with.
    pub(crate) config: Config,
    /// Every value and where it came from, in order.
    pub(crate) settings: Vec<Setting>,
    /// What has no effect, and why.
    pub(crate) notes: Vec<String>,
}

/// Reads the configuration in `path`, where `variables` may override it; a missing file is an
/// empty one unless it `must_exist`.
pub(crate) fn load(
    path: &Path,
    must_exist: bool,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => String::new(),
        Err(source) => return Err(ConfigError::File { path: path.to_owned(), source }),
    };
    parse(&text, variables).map_err(ConfigError::Faults)
}

/// Where the registry is, as far as `variables` say; nothing else of them is judged.
pub(crate) fn store_said(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<StorePlace, Vec<Fault>> {
    let mut reader = Reader::new("", variables)?;
    let store = places::store(&mut reader);
    reader.judged().map(|()| store)
}

fn parse(
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Fault>> {
    let mut reader = Reader::new(text, variables)?;
    let config = Config::read(&mut reader);
    let (settings, notes) = reader.finish()?;
    Ok(Loaded { config, settings, notes })
}

#[cfg(test)]
mod tests;
