//! What waits to be sent to one receiver: bounded, and never waited for by who puts it there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::message::Message;
use crate::serve::metrics::Reason;

/// Messages that may wait for one receiver.
const WAITING_MAX: usize = 256;

/// A queue between whoever raises alarms and one sender.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Message>>,
    sending: Option<Arc<Message>>,
    is_closing: bool,
}

/// How a pause ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paused {
    /// Before its time: the server ends.
    Closing,
    /// By its time.
    Over,
}

impl Queue {
    /// Puts a message at the end, or says why it is lost. Never waits.
    pub(super) fn push(&self, message: Arc<Message>) -> Result<(), Reason> {
        let mut state = self.state.lock();
        if state.is_closing {
            return Err(Reason::Shutdown);
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(Reason::QueueFull);
        }
        state.waiting.push_back(message);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for the next message, whose predecessor is done with; `None` once the queue is closing
    /// and nothing waits in it.
    pub(super) fn next(&self) -> Option<Arc<Message>> {
        let mut state = self.state.lock();
        loop {
            state.sending = state.waiting.pop_front();
            if state.sending.is_some() || state.is_closing {
                return state.sending.clone();
            }
            self.changed.wait(&mut state);
        }
    }

    /// Waits for `pause`, or until the queue is closing.
    pub(super) fn pause(&self, pause: Duration) -> Paused {
        let end = Instant::now() + pause;
        let mut state = self.state.lock();
        loop {
            if state.is_closing {
                return Paused::Closing;
            }
            if self.changed.wait_until(&mut state, end).timed_out() {
                return if state.is_closing { Paused::Closing } else { Paused::Over };
            }
        }
    }

    /// Takes no more messages, and ends every pause.
    pub(super) fn close(&self) {
        self.state.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Takes out what is being sent and what still waits, for who gives up.
    pub(super) fn abandon(&self) -> Vec<Arc<Message>> {
        let mut state = self.state.lock();
        let sending = state.sending.take();
        sending.into_iter().chain(state.waiting.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: usize) -> Arc<Message> {
        let raised = Instant::now();
        Arc::new(Message {
            id: id.to_string(),
            body: Vec::new(),
            kind: "test",
            attempt: String::new(),
            raised,
        })
    }

    #[test]
    fn messages_come_out_in_their_order_and_what_does_not_fit_is_handed_back() {
        let queue = Queue::default();
        for number in 0..WAITING_MAX {
            assert_eq!(queue.push(message(number)), Ok(()));
        }
        assert_eq!(queue.push(message(WAITING_MAX)), Err(Reason::QueueFull));
        assert_eq!(queue.next().unwrap().id, "0");
        assert_eq!(queue.push(message(WAITING_MAX)), Ok(()));
        let left: Vec<String> = queue.abandon().iter().map(|it| it.id.clone()).collect();
        let wanted: Vec<String> = (0..=WAITING_MAX).map(|number| number.to_string()).collect();
        assert_eq!(left, wanted);
    }

    #[test]
    fn closing_ends_a_pause_and_the_wait_for_a_message() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let paused = scope.spawn(|| queue.pause(Duration::from_secs(3_600)));
            let next = scope.spawn(|| queue.next().map(|it| it.id.clone()));
            queue.close();
            assert_eq!(paused.join().unwrap(), Paused::Closing);
            assert_eq!(next.join().unwrap(), None);
        });
        assert_eq!(queue.push(message(1)), Err(Reason::Shutdown), "nobody would send it");
    }

    #[test]
    fn what_waits_is_still_handed_out_when_the_queue_is_closing() {
        let queue = Queue::default();
        queue.push(message(1)).unwrap();
        queue.close();
        assert_eq!(queue.next().unwrap().id, "1");
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_pause_that_nothing_ends_lasts() {
        let began = Instant::now();
        assert_eq!(Queue::default().pause(Duration::from_millis(20)), Paused::Over);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
