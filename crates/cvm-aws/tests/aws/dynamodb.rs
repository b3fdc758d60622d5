//! The store in DynamoDB: the contract, and what only this store has to show, against Amazon's
//! DynamoDB Local.

mod faults;
mod keys;
mod lists;
mod many;
mod table;
mod vectors;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use cvm_aws::dynamodb::{DynamoStore, PointInTimeRecovery, table_create};
use cvm_core::journal::JournalRow;
use cvm_core::page::PageRequest;
use cvm_e2e::aws::DynamoDbLocal;
use cvm_pki::SystemEntropy;
use cvm_store::Stores;

use crate::support::{account, at};

/// How many writers a process has whose rows are to be in one order.
const ONE: usize = 1;

/// A table of its own, and a client of it.
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Table {
    /// A new one.
    pub(crate) async fn make() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("cvm-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
        let client = client(&DynamoDbLocal::shared().unwrap().endpoint()).await;
        table_create(&client, &name, PointInTimeRecovery::Off).await.unwrap();
        Self { client, name }
    }

    /// Removes it, so that a store in memory does not grow with the tests.
    pub(crate) async fn drop(self) {
        let unlock = self.client.update_table().table_name(&self.name);
        unlock.deletion_protection_enabled(false).send().await.unwrap();
        self.client.delete_table().table_name(&self.name).send().await.unwrap();
    }

    /// What one more process opens.
    pub(crate) fn open(&self, writers: usize) -> Stores {
        open(self.client.clone(), &self.name, writers)
    }
}

pub(crate) async fn client(endpoint: &str) -> Client {
    Client::new(&account().await.at(&at(endpoint)))
}

pub(crate) fn open(client: Client, table: &str, writers: usize) -> Stores {
    let store = Arc::new(DynamoStore::new(client, table, Arc::new(SystemEntropy), writers));
    Stores {
        attempts: store.clone(),
        catalogue: store.clone(),
        counters: Arc::default(),
        journal: store.clone(),
        nonces: store.clone(),
        operators: store.clone(),
        policies: store.clone(),
        revocations: store.clone(),
        store,
    }
}

/// The whole journal, which must have every number from 1 up for each writer.
pub(crate) async fn gapless_journal(stores: &Stores) -> Vec<JournalRow> {
    let mut rows = Vec::<JournalRow>::new();
    let mut request = PageRequest { after: None, limit: 1_000 };
    loop {
        let page = stores.journal.journal_page(&request).await.unwrap();
        rows.extend(page.items);
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    for (row, next) in rows.iter().zip(rows.iter().skip(1)) {
        let is_next = row.writer == next.writer && row.number + 1 == next.number;
        assert!(is_next || (row.writer < next.writer && next.number == 1), "a gap after {row:?}");
    }
    assert!(rows.first().is_none_or(|row| row.number == 1));
    rows
}

/// The contract, the same as every store's.
mod contract {
    use super::{ONE, Table};

    fn empty() -> (cvm_store::Stores, ()) {
        let here = tokio::runtime::Handle::current();
        let open = async { Table::make().await.open(ONE) };
        (tokio::task::block_in_place(|| here.block_on(open)), ())
    }

    cvm_store::conformance!(empty);
}
