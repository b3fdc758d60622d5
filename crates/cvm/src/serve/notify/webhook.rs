//! One receiver over HTTP: a signed POST, verified, bounded, and never redirected.

use std::sync::Arc;

use cvm_core::ports::Clock;
use thiserror::Error;
use ureq::http;

use super::message::Message;
use super::secret::Secret;
use crate::config::{Notify, WebhookUrl};
use crate::data_dir::Layout;
use crate::failure::Failure;
use crate::serve::outgoing::{Receiver, words};

/// A receiver, and how it is reached.
pub(super) struct Webhook {
    url: WebhookUrl,
    secret: Secret,
    agent: ureq::Agent,
    clock: Arc<dyn Clock>,
}

/// Why a message was not delivered.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// Nobody answered, or not in time, or not who should.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// What was answered is no success.
    #[error("it answered {0}")]
    Status(u16),
}

impl Fault {
    /// Whether the receiver does not want the message, now or later.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::NoAnswer(_) => false,
            // RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4: another time it may do.
            Self::Status(status) => *status < 500 && ![408, 425, 429].contains(status),
        }
    }
}

impl Webhook {
    /// What `notify` says, with everything that it names.
    pub(super) fn new(
        layout: &Layout,
        notify: &Notify,
        secret: Secret,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let url = notify.url.clone();
        let (section, root_ca) = (notify.name.as_str(), notify.root_ca.as_deref());
        let agent = Receiver { section, url: &url, root_ca }.agent(layout, 0)?;
        Ok(Self { url, secret, agent, clock })
    }

    /// Sends a message once. Every try has its own time, by which the receiver tells it from what
    /// somebody recorded and sends again; it is the system's, which TLS goes by too, for the receiver
    /// compares it with its own.
    pub(super) fn send(&self, message: &Message) -> Result<(), Fault> {
        let timestamp = self.clock.status().system.0.to_string();
        let signature = self.secret.sign(&message.id, &timestamp, &message.body);
        let request = http::Request::post(self.url.uri().clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.as_slice())
            .map_err(|error| Fault::NoAnswer(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| Fault::NoAnswer(words(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Fault::Status(status.as_u16())),
        }
    }
}
