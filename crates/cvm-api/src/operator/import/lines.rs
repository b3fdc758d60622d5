//! A body cut into lines, wherever its pieces end.

use zeroize::Zeroizing;

/// The longest line, which is the largest body of one registration.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1_024;

/// A line is longer than that; nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts pieces into lines and counts them. What it keeps is the beginning of one line.
#[derive(Default)]
pub(super) struct Lines {
    /// Zeroized, as lines hold tokens; allocated whole once it is needed.
    begun: Zeroizing<Vec<u8>>,
    is_too_long: bool,
    ended: u64,
}

impl Lines {
    /// Hands on each line that ends in `piece`, with its number, if it is not empty.
    pub(super) fn cut(&mut self, piece: &[u8], mut take: impl FnMut(u64, Result<&[u8], TooLong>)) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                None => self.keep(part),
                Some(line) if self.begun.is_empty() && !self.is_too_long => {
                    self.ended += 1;
                    hand_on(self.ended, line, &mut take);
                }
                Some(end) => {
                    self.keep(end);
                    self.end(&mut take);
                }
            }
        }
    }

    /// The body has ended: so has a line that was begun.
    pub(super) fn end(&mut self, mut take: impl FnMut(u64, Result<&[u8], TooLong>)) {
        self.ended += 1;
        if std::mem::take(&mut self.is_too_long) {
            take(self.ended, Err(TooLong));
        } else {
            hand_on(self.ended, &self.begun, &mut take);
        }
        self.begun.clear();
    }

    fn keep(&mut self, part: &[u8]) {
        if self.is_too_long || self.begun.len() + part.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.begun.clear();
            return;
        }
        if self.begun.capacity() == 0 {
            self.begun.reserve_exact(LINE_BYTES_MAX);
        }
        self.begun.extend_from_slice(part);
    }
}

fn hand_on(number: u64, line: &[u8], take: &mut impl FnMut(u64, Result<&[u8], TooLong>)) {
    let line = line.trim_ascii();
    if line.len() > LINE_BYTES_MAX {
        take(number, Err(TooLong));
    } else if !line.is_empty() {
        take(number, Ok(line));
    }
}

#[cfg(test)]
mod tests;
