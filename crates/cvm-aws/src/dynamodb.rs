//! The registry's store in one DynamoDB table (record 0020).
//!
//! Everything that decides is read consistently, every change is one transaction on conditions, and
//! nothing is ever scanned. Keys are in `key`; what a change writes is in `change`; what DynamoDB's
//! refusals mean is in `commit`.

mod attempts;
mod calls;
mod catalogue;
mod change;
mod commit;
mod expression;
mod failure;
mod item;
mod journal;
mod key;
mod nonces;
mod operators;
mod page;
mod policies;
mod query;
mod record;
mod revocations;
mod store;
mod table;
mod transact;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use cvm_core::ports::Entropy;

use attempts::Notes;
use calls::Calls;
use journal::Writers;
pub use table::{PointInTimeRecovery, table_create};

/// How many commits of one process have journal rows on their way at the same time.
pub const WRITERS: usize = 8;

/// The store in the table called `table`, behind every store port.
pub struct DynamoStore {
    calls: Arc<Calls>,
    notes: Notes,
    writers: Writers,
}

impl DynamoStore {
    /// The store in `table`, which must be there ([`table_create`]). Asks nothing of it yet.
    ///
    /// `writers` is how many commits with journal rows may be on their way at the same time: 1 in a
    /// function that serves one request at a time, [`WRITERS`] in a server. It must be called within
    /// a Tokio runtime, where the notes of attempts are then written.
    #[must_use]
    pub fn new(client: Client, table: &str, entropy: Arc<dyn Entropy>, writers: usize) -> Self {
        let writers = Writers::new(&*entropy, writers);
        let calls = Arc::new(Calls { client, table: table.to_owned(), entropy });
        Self { notes: Notes::begin(calls.clone()), calls, writers }
    }
}

impl std::fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoStore").field("table", &self.calls.table).finish_non_exhaustive()
    }
}
