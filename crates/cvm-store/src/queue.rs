//! A bounded queue between async callers and a dedicated thread, which takes several at a time.
//!
//! Pushing never waits: what does not fit is handed back. Taking waits on the thread's side only.
//! Once closed, what is in the queue is still taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What became of waiting for items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The queue is closed and empty.
    Closed,
    /// At least one item came.
    Items,
    /// The time is up and nothing came.
    TimedOut,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Wakes who waits for a first item.
    filled: Condvar,
    /// Wakes who lingers for more.
    hurried: Condvar,
    items_max: usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// Who lingers for more has enough when so many wait.
    enough: usize,
    is_hurried: bool,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(items_max: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            enough: usize::MAX,
            is_hurried: false,
            is_closed: false,
        };
        let (filled, hurried) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), filled, hurried, items_max }
    }

    /// Adds `item`, or hands it back where the queue is full or closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.is_closed || state.items.len() >= self.items_max {
            return Err(item);
        }
        state.items.push_back(item);
        let is_enough = state.items.len() >= state.enough;
        drop(state);
        // Of no cost where nobody waits.
        self.filled.notify_one();
        if is_enough {
            self.hurried.notify_one();
        }
        Ok(())
    }

    /// Ends a [`Queue::linger`], now or the next time.
    pub(crate) fn hurry(&self) {
        self.state.lock().is_hurried = true;
        self.hurried.notify_one();
    }

    /// Nothing is accepted from now on.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
        self.hurried.notify_all();
    }

    /// Waits for an item, at most until `deadline`, and moves up to `count_max` to `into`.
    pub(crate) fn take(
        &self,
        into: &mut Vec<T>,
        count_max: usize,
        deadline: Option<Instant>,
    ) -> Taken {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.is_closed {
                return Taken::Closed;
            }
            match deadline {
                None => self.filled.wait(&mut state),
                Some(deadline) => {
                    if self.filled.wait_until(&mut state, deadline).timed_out()
                        && state.items.is_empty()
                    {
                        return if state.is_closed { Taken::Closed } else { Taken::TimedOut };
                    }
                }
            }
        }
        let count = state.items.len().min(count_max);
        into.extend(state.items.drain(..count));
        Taken::Items
    }

    /// Lets items gather for `span`, unless `enough` wait, somebody hurries or the queue closes.
    pub(crate) fn linger(&self, span: Duration, enough: usize) {
        let deadline = Instant::now() + span;
        let mut state = self.state.lock();
        state.enough = enough;
        while state.items.len() < enough && !state.is_hurried && !state.is_closed {
            if self.hurried.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.enough = usize::MAX;
        state.is_hurried = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_handed_back() {
        let queue = Queue::new(2);
        assert_eq!([queue.push(1), queue.push(2), queue.push(3)], [Ok(()), Ok(()), Err(3)]);
    }

    #[test]
    fn what_is_in_a_closed_queue_is_still_taken() {
        let queue = Queue::new(2);
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.push(2), Err(2));
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken, 8, None), Taken::Items);
        assert_eq!(queue.take(&mut taken, 8, None), Taken::Closed);
        assert_eq!(taken, [1]);
    }

    #[test]
    fn no_more_is_taken_than_asked_for() {
        let queue = Queue::new(8);
        (0..5).for_each(|n| queue.push(n).unwrap());
        let mut taken = Vec::new();
        queue.take(&mut taken, 3, None);
        assert_eq!(taken, [0, 1, 2]);
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_lingering_when_hurried() {
        let queue = Queue::<u8>::new(1);
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(queue.take(&mut Vec::new(), 1, Some(soon)), Taken::TimedOut);
        queue.hurry();
        queue.linger(Duration::from_secs(3_600), 9);
        queue.push(1).unwrap();
        queue.linger(Duration::from_secs(3_600), 1);
    }
}
