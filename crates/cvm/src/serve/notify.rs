//! Who is told of alarms: a metric, and signed webhooks (protocol, section 10).
//!
//! Each `[[notify]]` has a queue and a thread of its own, so that a receiver that is slow or dead
//! delays nothing and nobody. What is lost is logged and counted; its row is in the journal.

mod message;
mod queue;
mod retry;
mod secret;
mod webhook;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cvm_core::journal::Event;
use cvm_core::ports::{Alarms, Clock, Entropy};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::metrics::{Metrics, Reason};
use crate::compose::named_file;
use crate::config::Notify;
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

use message::Message;
use queue::{Paused, Queue};
use secret::Secret;
use webhook::Webhook;

/// How long a server that ends may go on sending.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// One receiver, between whoever raises alarms and the thread that sends them.
struct Receiver {
    /// Host and port.
    name: String,
    queue: Queue,
    metrics: Arc<Metrics>,
}

impl Receiver {
    fn lose(&self, message: &Message, reason: Reason, cause: &str) {
        self.metrics.notify_failed(reason);
        tracing::error!(
            receiver = self.name,
            webhook = message.id,
            kind = message.kind,
            attempt = message.attempt,
            reason = reason.as_str(),
            cause,
            "an alarm was not delivered"
        );
    }
}

/// Tells of alarms.
pub(crate) struct Notifier {
    receivers: Vec<Arc<Receiver>>,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
}

impl Alarms for Notifier {
    fn alarm_raise(&self, event: &Event) {
        self.metrics.alarm_raised(event.kind);
        if self.receivers.is_empty() {
            return;
        }
        let message = Arc::new(Message::new(event, &*self.entropy));
        for receiver in &self.receivers {
            if let Err(reason) = receiver.queue.push(message.clone()) {
                receiver.lose(&message, reason, "");
            }
        }
    }
}

/// The threads that send; dropped, they end when they have sent what waits.
pub(crate) struct Sending {
    receivers: Vec<Arc<Receiver>>,
    // Ends when the last thread has: nothing is ever sent.
    threads: mpsc::Receiver<Infallible>,
}

impl Sending {
    /// Sends what waits once more, for a bounded time, and gives up what is left then.
    pub(crate) async fn drain(mut self) {
        self.close();
        if timeout(DRAIN_MAX, self.threads.recv()).await.is_ok() {
            return;
        }
        for receiver in &self.receivers {
            for message in receiver.queue.abandon() {
                receiver.lose(&message, Reason::Shutdown, "the server ends");
            }
        }
    }

    fn close(&self) {
        for receiver in &self.receivers {
            receiver.queue.close();
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.close();
    }
}

/// Starts a thread for each of `notifies`. The secrets that are missing are made.
pub(crate) fn start(
    layout: &Layout,
    notifies: &[Notify],
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<(Notifier, Sending), Failure> {
    let (working, threads) = mpsc::channel(1);
    let mut sending = Sending { receivers: Vec::new(), threads };
    for notify in notifies {
        warn_of_plain(notify);
        let secret = Secret::load(&named_file(layout, &notify.secret_file), &**entropy)?;
        let webhook = Webhook::new(layout, notify, secret, clock.clone())?;
        let name = notify.url.receiver().to_owned();
        let receiver =
            Arc::new(Receiver { name, queue: Queue::default(), metrics: metrics.clone() });
        sending.receivers.push(receiver.clone());
        let (entropy, working) = (entropy.clone(), working.clone());
        let sender = Sender { webhook, receiver, entropy, _working: working };
        let thread = std::thread::Builder::new().name(notify.name.clone());
        thread.spawn(move || sender.run()).map_err(|error| {
            Failure::new(Exit::Failed, format!("starting the thread of {}: {error}", notify.name))
        })?;
    }
    let receivers = sending.receivers.clone();
    Ok((Notifier { receivers, metrics: metrics.clone(), entropy: entropy.clone() }, sending))
}

fn warn_of_plain(notify: &Notify) {
    if !notify.url.is_https() && !notify.url.is_loopback() {
        tracing::warn!(
            receiver = notify.url.receiver(),
            "alarms go over the network unencrypted: use https:// in [[notify]] url"
        );
    }
}

/// The thread of one receiver.
struct Sender {
    webhook: Webhook,
    receiver: Arc<Receiver>,
    entropy: Arc<dyn Entropy>,
    _working: mpsc::Sender<Infallible>,
}

impl Sender {
    fn run(&self) {
        while let Some(message) = self.receiver.queue.next() {
            self.deliver(&message);
        }
    }

    fn deliver(&self, message: &Message) {
        let mut is_last = false;
        for number in 1.. {
            let Err(fault) = self.webhook.send(message) else {
                tracing::debug!(receiver = self.receiver.name, webhook = message.id, "delivered");
                return;
            };
            if is_last {
                return self.receiver.lose(message, Reason::Shutdown, &fault.to_string());
            }
            let age = message.raised.elapsed();
            let Some(pause) = retry::pause(number, &fault, age, self.random()) else {
                return self.receiver.lose(message, Reason::GaveUp, &fault.to_string());
            };
            if number == 1 {
                tracing::warn!(
                    receiver = self.receiver.name, webhook = message.id, cause = %fault,
                    "an alarm was not delivered yet: it is tried again"
                );
            }
            // A server that ends waits no longer, and tries once more.
            is_last = self.receiver.queue.pause(pause) == Paused::Closing;
        }
    }

    fn random(&self) -> u8 {
        let mut random = [0_u8];
        self.entropy.fill(&mut random);
        let [random] = random;
        random
    }
}
