//! The contents of one file: what was synced, and what was done to it since.
//!
//! Since its last sync, a page cache may have written each page of a file at any moment or never,
//! and its size as well. The last write to a page may be torn between sectors.

use super::disk::Loss;

const PAGE_BYTES: u64 = 4_096;
const SECTOR_BYTES: u64 = 512;

/// What the size is called where pages have numbers.
const SIZE: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Step {
    Truncate(u64),
    Write { offset: u64, bytes: Vec<u8> },
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) mode: u32,
    durable: Vec<u8>,
    since: Vec<Step>,
}

impl File {
    pub(super) fn new(mode: u32, durable: Vec<u8>) -> Self {
        Self { mode, durable, since: Vec::new() }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: Vec<u8>) {
        self.since.push(Step::Write { offset, bytes });
    }

    pub(super) fn truncate(&mut self, length: u64) {
        self.since.push(Step::Truncate(length));
    }

    pub(super) fn sync(&mut self) {
        let since = std::mem::take(&mut self.since);
        for step in since {
            match step {
                Step::Truncate(length) => self.durable.resize(index(length), 0),
                Step::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
            }
        }
    }

    /// What a power cut leaves of it; `inode` makes one file's luck another than the next one's.
    pub(super) fn after(&self, loss: Loss, inode: u64) -> Vec<u8> {
        let seed = match loss {
            Loss::Contents | Loss::Everything => return self.durable.clone(),
            Loss::Nothing => {
                let mut seen = self.clone();
                seen.sync();
                return seen.durable;
            }
            Loss::Some(seed) => seed,
        };
        let mut found = self.durable.clone();
        let mut size = found.len();
        let steps = u64::try_from(self.since.len()).unwrap_or(u64::MAX);
        // Of `steps` steps, how many a page (or the size) has seen.
        let seen = |page: u64| mix(&[seed, inode, page]) % (steps + 1);
        for (number, step) in (0_u64..).zip(&self.since) {
            let is_size_seen = number < seen(SIZE);
            match step {
                Step::Truncate(length) if is_size_seen => {
                    size = index(*length);
                    if let Some(beyond) = found.get_mut(size..) {
                        beyond.fill(0);
                    }
                }
                Step::Truncate(_) => {}
                Step::Write { offset, bytes } => {
                    if is_size_seen {
                        size = size.max(index(*offset) + bytes.len());
                    }
                    for (at, piece) in pieces(*offset, bytes) {
                        let page = at / PAGE_BYTES;
                        if number < seen(page) {
                            let is_last = number + 1 == seen(page);
                            let length =
                                if is_last { torn(seed, at, piece.len()) } else { piece.len() };
                            put(&mut found, at, piece.get(..length).unwrap_or(piece));
                        }
                    }
                }
            }
        }
        found.resize(size, 0);
        found
    }
}

/// How much of a piece was written: one in eight is torn between sectors.
fn torn(seed: u64, at: u64, length: usize) -> usize {
    let luck = mix(&[seed, at, SECTOR_BYTES]);
    if !luck.is_multiple_of(8) {
        return length;
    }
    let end = at + u64::try_from(length).unwrap_or(0);
    let sectors = (luck >> 3) % (PAGE_BYTES / SECTOR_BYTES);
    let cut = (at / PAGE_BYTES * PAGE_BYTES + sectors * SECTOR_BYTES).clamp(at, end);
    index(cut - at)
}

/// A write, cut at the borders of pages.
fn pieces(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let length = index(PAGE_BYTES - at % PAGE_BYTES).min(rest.len());
        let (piece, after) = rest.split_at(length);
        let start = at;
        at += u64::try_from(length).ok()?;
        rest = after;
        (!piece.is_empty()).then_some((start, piece))
    })
}

fn put(contents: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (index(offset), index(offset) + bytes.len());
    if contents.len() < to {
        contents.resize(to, 0);
    }
    if let Some(place) = contents.get_mut(from..to) {
        place.copy_from_slice(bytes);
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Numbers as good as random ones (splitmix64), the same for the same words.
pub(super) fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x243F_6A88_85A3_08D3, |state, word| {
        let mut mixed = (state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
