//! How a list becomes a page: ask for one more than fits, and the key of the last that fits is where
//! the next page starts.

use cvm_core::journal::JournalRow;
use cvm_core::page::{PAGE_ITEMS_MAX, Page, PageRequest};

/// How many items the page may have; at least one, so that a walk always moves on.
pub(super) fn limit_of(request: &PageRequest) -> usize {
    usize::try_from(request.limit.clamp(1, PAGE_ITEMS_MAX)).unwrap_or(1)
}

/// The page made of `items`, of which there is one more than `limit` if the list goes on.
pub(super) fn cut<T>(mut items: Vec<T>, limit: usize, key_of: impl Fn(&T) -> String) -> Page<T> {
    let goes_on = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| goes_on).map(key_of);
    Page { items, next }
}

/// A page without items that ends the list: what follows a key that the list cannot have.
pub(super) fn empty<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

/// The key of a journal row in a list.
pub(super) fn journal_key(row: &JournalRow) -> String {
    format!("{}-{}", row.writer, row.number)
}

/// Writer and number of a journal row's key.
pub(super) fn journal_key_parse(text: &str) -> Option<(u64, u64)> {
    let (writer, number) = text.split_once('-')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}
