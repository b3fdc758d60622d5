//! Counts since a store was opened, for metrics and tests: written by the store's threads, read by
//! anybody, without a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cvm_core::journal::EventKind;

/// Microseconds: a transaction takes some 100 µs without its sync, a sync from 0.1 ms on a good
/// disk to seconds on a bad one.
const COMMIT_MICROS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// Writes that share a commit.
const GROUP_SIZES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Counts since the store was opened.
#[derive(Debug)]
pub struct Counters {
    attempts_dropped: AtomicU64,
    commit_micros: Distribution<12>,
    failures: AtomicU64,
    group_sizes: Distribution<9>,
    is_down: AtomicBool,
    journal_rows: Box<[AtomicU64]>,
    writes_waiting: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            attempts_dropped: AtomicU64::default(),
            commit_micros: Distribution::new(COMMIT_MICROS),
            failures: AtomicU64::default(),
            group_sizes: Distribution::new(GROUP_SIZES),
            is_down: AtomicBool::default(),
            journal_rows: EventKind::ALL.iter().map(|_| AtomicU64::default()).collect(),
            writes_waiting: AtomicU64::default(),
        }
    }
}

impl Counters {
    /// Attempts that were lost because too many came at once or the disk would not take them.
    #[must_use]
    pub fn attempts_dropped(&self) -> u64 {
        self.attempts_dropped.load(Ordering::Relaxed)
    }

    /// Transactions that were committed, each with one sync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.group_sizes.read().count
    }

    /// Writes that shared those transactions.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.group_sizes.read().sum
    }

    /// How many writes shared each of those transactions.
    #[must_use]
    pub fn group_sizes(&self) -> Observed {
        self.group_sizes.read()
    }

    /// How long each of those transactions took, its sync included; in microseconds.
    #[must_use]
    pub fn commit_micros(&self) -> Observed {
        self.commit_micros.read()
    }

    /// How often the store failed: what was in its transaction then was not acknowledged.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the store cannot be written to now.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Rows of the journal that were written, by what happened.
    pub fn journal_rows(&self) -> impl Iterator<Item = (EventKind, u64)> {
        let counts = self.journal_rows.iter().map(|count| count.load(Ordering::Relaxed));
        EventKind::ALL.iter().copied().zip(counts)
    }

    /// Writes that were asked for and have no answer yet.
    #[must_use]
    pub fn writes_waiting(&self) -> u64 {
        self.writes_waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn drop_attempts(&self, count: usize) {
        self.attempts_dropped.fetch_add(widened(count), Ordering::Relaxed);
    }

    pub(crate) fn commit(&self, writes: usize, took: Duration, rows: &[EventKind]) {
        self.group_sizes.observe(widened(writes));
        self.commit_micros.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for kind in rows {
            if let Some(count) = self.journal_rows.get(*kind as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Counts a write as waiting until this is dropped.
    pub(crate) fn write_waits(&self) -> Waiting<'_> {
        self.writes_waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }
}

/// A write that waits for its answer.
pub(crate) struct Waiting<'a>(&'a Counters);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.writes_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Numbers that were observed, as a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// An upper bound, and how many were not above it; in rising order.
    pub buckets: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

#[derive(Debug)]
struct Distribution<const N: usize> {
    bounds: [u64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Distribution<N> {
    fn new(bounds: [u64; N]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::default());
        Self { bounds, counts, above: AtomicU64::default(), sum: AtomicU64::default() }
    }

    fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(place).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Observed {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(N);
        for (bound, in_bucket) in self.bounds.iter().zip(&self.counts) {
            count += in_bucket.load(Ordering::Relaxed);
            buckets.push((*bound, count));
        }
        count += self.above.load(Ordering::Relaxed);
        Observed { buckets, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

fn widened(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_every_bucket_whose_bound_it_is_not_above() {
        let sizes = Distribution::new([1, 4, 16]);
        for size in [1, 4, 5, 17] {
            sizes.observe(size);
        }
        let buckets = vec![(1, 1), (4, 2), (16, 3)];
        assert_eq!(sizes.read(), Observed { buckets, count: 4, sum: 27 });
    }

    #[test]
    fn every_kind_of_row_has_a_count_of_its_own() {
        let counters = Counters::default();
        counters.commit(1, Duration::ZERO, EventKind::ALL);
        let rows: Vec<_> = counters.journal_rows().collect();
        let once: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, 1)).collect();
        assert_eq!(rows, once);
    }

    #[test]
    fn a_write_waits_until_nobody_waits_for_its_answer() {
        let counters = Counters::default();
        let waiting = [counters.write_waits(), counters.write_waits()];
        assert_eq!(counters.writes_waiting(), 2);
        drop(waiting);
        assert_eq!(counters.writes_waiting(), 0);
    }
}
