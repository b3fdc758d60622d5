//! Amazon's DynamoDB Local.

use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::process::{Process, installed};

/// A DynamoDB in memory. It keeps tables apart by access key and region, too.
#[derive(Debug)]
pub struct DynamoDbLocal(Process);

impl DynamoDbLocal {
    /// One of its own: some seconds of both cores.
    ///
    /// # Errors
    /// Where it is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let jars = installed("dynamodb")?;
        let jars = jars.to_str().context("the target directory's path is not UTF-8")?;
        Ok(Self(Process::start("dynamodb_local.py", &[jars])?))
    }

    /// The one that all tests of this process share, each with tables of its own. It ends with the
    /// process.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<DynamoDbLocal, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Where it listens, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}
