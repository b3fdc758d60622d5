//! The half of an import that reads: lines into batches.
//!
//! A batch is what has come while the one before it was registered, up to a bound; so that few
//! lines are answered at once, and many share a commit.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lines::{Lines, TooLong};
use super::rows::Row;
use crate::body::{Broken, Unread};
use crate::limit::Limits;

/// How many rows share a commit, and how many bytes of lines wait for theirs: some 4 ms of the
/// store's writer.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 256 * 1_024;

/// What comes in.
pub(super) enum Incoming {
    Batch(Batch),
    /// The body has ended where it should.
    End,
}

/// Some rows, in the order of their lines.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, number: u64, line: Result<&[u8], TooLong>, key: Option<&str>) {
        self.bytes += line.map_or(0, <[u8]>::len);
        self.rows.push(Row::read(number, line, key));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }
}

pub(super) struct Reader {
    unread: Unread,
    /// What the tokens are derived from that nobody brings.
    key: Option<String>,
    /// How long the next line may take.
    patience: Duration,
    batches: mpsc::Sender<Incoming>,
    lines: Lines,
    batch: Batch,
}

/// Why a body is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Broken,
    Leaving,
    NobodyListens,
    Stalled,
}

impl Reader {
    pub(super) fn new(
        unread: Unread,
        key: Option<String>,
        limits: &Limits,
        batches: mpsc::Sender<Incoming>,
    ) -> Self {
        let patience = Duration::from_secs(limits.request_seconds_max);
        let (lines, batch) = (Lines::default(), Batch::default());
        Self { unread, key, patience, batches, lines, batch }
    }

    /// Reads until the end, or until there will be none. What was read and not handed on then is
    /// not answered.
    pub(super) async fn run(mut self, leaving: CancellationToken) {
        let read = tokio::select! {
            read = self.read_all() => read,
            () = leaving.cancelled() => Err(Stop::Leaving),
        };
        match read {
            Ok(()) => drop(self.batches.send(Incoming::End).await),
            Err(stop) => tracing::info!(?stop, "an import is read no further"),
        }
    }

    async fn read_all(&mut self) -> Result<(), Stop> {
        let mut deadline = Instant::now() + self.patience;
        loop {
            let Self { unread, batches, batch, .. } = self;
            let piece = tokio::select! {
                biased;
                piece = unread.next(), if !batch.is_full() => piece.map_err(|Broken| Stop::Broken)?,
                place = batches.reserve(), if !batch.rows.is_empty() => {
                    let place = place.map_err(|_| Stop::NobodyListens)?;
                    place.send(Incoming::Batch(std::mem::take(batch)));
                    deadline = Instant::now() + self.patience;
                    continue;
                }
                // With rows in hand it is for others to go on.
                () = sleep_until(deadline), if batch.rows.is_empty() => return Err(Stop::Stalled),
            };
            let Some(piece) = piece else { return self.finish().await };
            if self.take(piece) > 0 {
                deadline = Instant::now() + self.patience;
            }
        }
    }

    /// Takes the lines that end in `piece`, so far as the batch has room, because a row may need
    /// much more memory than its line; returns how many rows they are.
    fn take(&mut self, mut piece: Bytes) -> usize {
        let Self { unread, key, lines, batch, .. } = self;
        let before = batch.rows.len();
        let fitting = piece.split_to(end_of(&piece, BATCH_ROWS.saturating_sub(before)));
        if !piece.is_empty() {
            unread.put_back(piece);
        }
        lines.cut(&fitting, |number, line| batch.add(number, line, key.as_deref()));
        batch.rows.len() - before
    }

    async fn finish(&mut self) -> Result<(), Stop> {
        let Self { key, lines, batch, batches, .. } = self;
        lines.end(|number, line| batch.add(number, line, key.as_deref()));
        if batch.rows.is_empty() {
            return Ok(());
        }
        let last = Incoming::Batch(std::mem::take(batch));
        batches.send(last).await.map_err(|_| Stop::NobodyListens)
    }
}

/// Where the first `count` lines of `piece` end.
fn end_of(piece: &[u8], count: usize) -> usize {
    let mut ends = piece.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, end)| end);
    ends.nth(count.saturating_sub(1)).unwrap_or(piece.len())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::body::begin;

    #[tokio::test]
    async fn a_batch_has_its_bound_however_many_lines_come_at_once() {
        const LINES: usize = 10_000;
        let limits = Limits::default();
        let unread = begin(Body::from("x\n\n".repeat(LINES)), &limits).await.unwrap();
        let (batches, mut incoming) = mpsc::channel(1);
        let reader = Reader::new(unread, None, &limits, batches);
        let reading = tokio::spawn(reader.run(CancellationToken::new()));
        let mut numbers = Vec::new();
        while let Some(Incoming::Batch(batch)) = incoming.recv().await {
            assert!(batch.rows.len() <= BATCH_ROWS, "{}", batch.rows.len());
            numbers.extend(batch.rows.iter().map(|row| row.number));
        }
        reading.await.unwrap();
        assert!(numbers.iter().copied().eq((1..=2 * LINES as u64).step_by(2)));
    }
}
