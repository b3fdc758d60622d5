//! For how many a group waits, and how long. Who was just answered is likely to come again; and of
//! those who ask over and over, whoever comes while others are written makes a group of their own,
//! unless one of the two is waited for.
//!
//! As many are expected as came last. Now and then a group waits for those of the two last ones
//! together: where they come, so many are expected from then on; where not, it was in vain once.

use std::time::Duration;

/// How long a group waits, at most. It waits no longer than the one before it took, so a fast disk
/// is not waited for.
const PATIENCE_MAX: Duration = Duration::from_millis(1);

/// How many groups there are between one that waited for more in vain and the next that does:
/// fewer than one in a hundred is held up by it.
const UNTIL_NEXT_TRIAL: u32 = 128;

pub(super) struct Gathering {
    expected: usize,
    last: usize,
    took: Duration,
    until_trial: u32,
    /// How many were expected before more were tried for.
    before_trial: Option<usize>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        let (until_trial, before_trial) = (UNTIL_NEXT_TRIAL, None);
        Self { expected: 0, last: 0, took: Duration::ZERO, until_trial, before_trial }
    }

    /// How many more a group of `count` waits for, and how long.
    pub(super) fn wait(&self, count: usize) -> Option<(usize, Duration)> {
        let more = self.expected.checked_sub(count).filter(|more| *more > 0)?;
        Some((more, self.took.min(PATIENCE_MAX)))
    }

    /// A group of `count` came together.
    pub(super) fn gathered(&mut self, count: usize) {
        let is_complete = count >= self.expected;
        let before_trial = self.before_trial.take();
        self.until_trial = match (before_trial, is_complete) {
            (Some(_), true) => 0,
            (Some(_), false) => UNTIL_NEXT_TRIAL,
            (None, _) => self.until_trial.saturating_sub(1),
        };
        self.expected = match (before_trial, is_complete) {
            (_, true) => count,
            (Some(before), false) => before.max(count),
            // One who stays away is given up at a time: others may only be late.
            (None, false) => count.max(self.expected.saturating_sub(1)),
        };
        if self.until_trial == 0 && is_complete {
            self.before_trial = Some(count);
            self.expected = count + self.last;
        }
        self.last = count;
    }

    /// A group was written.
    pub(super) fn written(&mut self, took: Duration) {
        self.took = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of `devices` that ask again once answered: who comes while a group is written, and
    /// who comes while it is waited for, make the next.
    fn sizes(devices: usize, groups: usize) -> Vec<usize> {
        let mut gathering = Gathering::new();
        let mut waiting = devices.div_ceil(2);
        let size_of_next = |_| {
            let come_late = devices - waiting;
            let size = match gathering.wait(waiting) {
                Some((more, _)) => waiting + more.min(come_late),
                None => waiting,
            };
            gathering.gathered(size);
            waiting = if size == devices { devices } else { devices - size };
            size
        };
        (0..groups).map(size_of_next).collect()
    }

    #[test]
    fn a_device_alone_is_made_to_wait_for_nobody_but_in_a_trial() {
        let mut gathering = Gathering::new();
        let mut waited = 0;
        for _ in 0..10_000 {
            waited += usize::from(gathering.wait(1).is_some());
            gathering.gathered(1);
        }
        assert!((1..100).contains(&waited), "{waited} of 10,000 waited");
    }

    #[test]
    fn two_halves_that_take_turns_become_one_group() {
        let sizes = sizes(8, 300);
        assert_eq!((sizes[0], sizes[299]), (4, 8));
    }

    #[test]
    fn who_went_away_is_waited_for_a_bounded_number_of_times() {
        let mut gathering = Gathering::new();
        gathering.gathered(8);
        let in_vain = (0..100).filter(|_| {
            let has_waited = gathering.wait(1).is_some();
            gathering.gathered(1);
            has_waited
        });
        assert_eq!(in_vain.count(), 7);
    }

    #[test]
    fn a_group_waits_as_long_as_the_last_one_took_and_no_longer_than_the_bound() {
        let mut gathering = Gathering::new();
        gathering.gathered(2);
        gathering.written(Duration::from_micros(70));
        assert_eq!(gathering.wait(1), Some((1, Duration::from_micros(70))));
        gathering.written(Duration::from_secs(1));
        assert_eq!(gathering.wait(1), Some((1, PATIENCE_MAX)));
        assert_eq!(gathering.wait(2), None);
    }
}
