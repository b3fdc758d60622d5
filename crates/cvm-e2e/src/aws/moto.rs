//! moto, for what it does as AWS does: KMS, S3 and IAM.

use std::sync::OnceLock;

use anyhow::Result;

use super::process::Process;

/// KMS, S3 and IAM in memory, one account.
#[derive(Debug)]
pub struct Moto(Process);

impl Moto {
    /// One of its own.
    ///
    /// # Errors
    /// Where it is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Ok(Self(Process::start("moto_server.py", &[])?))
    }

    /// The one that all tests of this process share, each with keys and buckets of its own. It ends
    /// with the process.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Moto, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Where it listens, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}
