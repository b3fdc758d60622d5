//! Pages of lists: every list is read in order of its key, from a key on, up to a limit.

/// The most items that one page may have.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// The key after which the page starts; from the beginning where `None`.
    pub after: Option<String>,
    /// At most so many items, at most [`PAGE_ITEMS_MAX`].
    pub limit: u32,
}

/// One part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in order of their key.
    pub items: Vec<T>,
    /// The key after which the next page starts; `None` at the end.
    pub next: Option<String>,
}
