//! A block: so many rows as are made durable, sent and answered together.

use bytes::Bytes;
use cvm_core::id::SerialNumber;
use cvm_core::token::Token;
use zeroize::Zeroizing;

/// One sync of the tokens file and one request for so many rows.
pub(super) const ROWS_MAX: usize = 16 * 1024;

/// Where the token of a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The row brings it.
    Brought,
    /// The tokens file had it when this run began: perhaps it is registered already.
    FoundHere,
    /// This run made it: nobody knows it until it is sent.
    MadeNow,
}

/// A row that is fit to be sent.
pub(super) struct Row {
    /// The line of the file on which it begins.
    pub(super) line: u64,
    /// Its serial number.
    pub(super) serial: SerialNumber,
    /// Its token; none only where nothing is to be sent.
    pub(super) token: Option<Token>,
    /// Where that is from.
    pub(super) origin: Origin,
    /// Where its line of the body begins.
    pub(super) start: usize,
}

/// A row that was refused, by us or by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The line of the file on which it begins.
    pub(super) line: u64,
    /// Its serial number, if it has one.
    pub(super) serial: Option<SerialNumber>,
    /// Why.
    pub(super) cause: String,
}

/// Rows that follow each other.
pub(super) struct Block {
    /// What is to be sent, in the order of the file.
    pub(super) rows: Vec<Row>,
    /// A line of JSON for each of those.
    pub(super) body: Bytes,
    /// What will not be sent.
    pub(super) refusals: Vec<Refusal>,
    /// How much of the file was read when the block was full.
    pub(super) bytes_read: u64,
}

impl Block {
    /// The lines of the rows at `indexes`.
    pub(super) fn body_of(&self, indexes: &[usize]) -> Bytes {
        if indexes.len() == self.rows.len() {
            return self.body.clone();
        }
        let lines = indexes.iter().map(|index| self.line_at(*index));
        // Full size from the start: a buffer that grows leaves copies of tokens behind.
        let mut body = Zeroizing::new(Vec::with_capacity(self.body.len()));
        lines.for_each(|line| body.extend_from_slice(line));
        Bytes::from_owner(body)
    }

    fn line_at(&self, index: usize) -> &[u8] {
        let start = self.rows.get(index).map_or(self.body.len(), |row| row.start);
        let end = self.rows.get(index + 1).map_or(self.body.len(), |row| row.start);
        self.body.get(start..end).unwrap_or_default()
    }
}
