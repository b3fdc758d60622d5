//! What became of requests, kept for `explain`.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::id::{AttemptCode, SerialNumber};
use crate::ports::StoreError;
use crate::time::Timestamp;

/// The last attempts of each device.
///
/// Writing is cheap and lossy on purpose: at home an anonymous stranger never buys a durable write.
/// (In DynamoDB every write is one, so there it is a small one that expires.)
/// Each known serial number has 32 places that are overwritten in turn; unknown ones have a counter
/// per address and minute.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Takes note of an attempt on a registered device. Never blocks and never fails; under
    /// pressure the note is lost.
    fn attempt_record(&self, attempt: Attempt);

    /// Counts an attempt on a serial number that nobody registered. Never blocks and never fails.
    fn unknown_count(&self, address: &str, at: Timestamp);

    /// Returns once what was noted before is written or lost. For a function, which does nothing
    /// once it has answered; a store whose process goes on has nothing to wait for.
    async fn settled(&self) {}

    /// The attempts of a device that are still known, newest first.
    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError>;

    /// The attempt called `code`, if it is still known.
    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError>;

    /// How many attempts on unknown serial numbers came since `since`, per address, most first, at most 100 addresses.
    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError>;
}
