//! `SQLite`: the contract, and what only a store on a disk has to show.

mod attempts;
mod crash;
mod disk;
mod faults;
mod look;
mod open;

use std::path::Path;

use cvm_core::journal::JournalRow;
use cvm_core::page::PageRequest;
use cvm_store::Stores;
use tempfile::TempDir;

fn open() -> (Stores, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open_in(directory.path()), directory)
}

fn open_in(directory: &Path) -> Stores {
    cvm_store::open("sqlite:cvm.db", directory).unwrap()
}

/// The whole journal, which must have every number from 1 up for each writer.
async fn gapless_journal(stores: &Stores) -> Vec<JournalRow> {
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

/// The contract, for `SQLite`.
mod contract {
    cvm_store::conformance!(super::open);
}
