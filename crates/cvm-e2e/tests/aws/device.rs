//! A device, and what it and its operator ask for; each may be asked again.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cvm_e2e::{Environment, Key, Response, wait_for};
use serde_json::json;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Vend,
    Confirm,
    Renew,
    ConfirmRenewal,
    Revoke,
    Disable,
    Enable,
}

impl Act {
    pub(crate) const ALL: [Self; 7] = [
        Self::Vend,
        Self::Confirm,
        Self::Renew,
        Self::ConfirmRenewal,
        Self::Revoke,
        Self::Disable,
        Self::Enable,
    ];

    /// What has to be done before.
    fn before(self) -> &'static [Self] {
        match self {
            Self::Vend => &[],
            Self::Confirm => &[Self::Vend],
            Self::Renew | Self::Revoke | Self::Disable => &[Self::Vend, Self::Confirm],
            Self::ConfirmRenewal => &[Self::Vend, Self::Confirm, Self::Renew],
            Self::Enable => &[Self::Vend, Self::Confirm, Self::Disable],
        }
    }
}

/// A certificate as it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) certificate: String,
    chain: String,
}

pub(crate) struct Device {
    pub(crate) serial: String,
    token: String,
    key: Key,
    next_key: Key,
    pub(crate) held: Option<Held>,
    pub(crate) next: Option<Held>,
}

impl Device {
    pub(crate) fn register(server: &Environment, serial: &str) -> Result<Self> {
        Ok(Self {
            serial: serial.to_owned(),
            token: server.device_add(serial)?,
            key: Key::new()?,
            next_key: Key::new()?,
            held: None,
            next: None,
        })
    }

    /// One for which all that comes before `act` was done.
    pub(crate) fn ready_for(act: Act, server: &Environment, serial: &str) -> Result<Self> {
        let mut device = Self::register(server, serial)?;
        for before in act.before() {
            device.insist(*before, server)?;
        }
        Ok(device)
    }

    /// Asks once.
    pub(crate) fn ask(&self, act: Act, server: &Environment) -> Result<Response> {
        let device = format!("/v1/devices/{}", self.serial);
        match act {
            Act::Vend => server.vend(&self.serial, &self.token, &self.key.csr()?),
            Act::Confirm => self.confirm(server, self.held.as_ref(), &self.key),
            Act::ConfirmRenewal => self.confirm(server, self.next.as_ref(), &self.next_key),
            Act::Renew => {
                let held = self.held.as_ref().context("nothing to renew")?;
                let chain = format!("{}{}", held.certificate, held.chain);
                let client = server.certificate_client(&chain, &self.key)?;
                let body = json!({"csr": self.next_key.csr()?});
                client.request("POST", "/v1/certificates/renew", &[], Some(&body))
            }
            Act::Revoke => {
                let held = self.held.as_ref().context("nothing to revoke")?;
                let body = json!({"reason": "cessationOfOperation"});
                let path = format!("/v1/certificates/{}:revoke", held.id);
                server.operate("POST", &path, Some(&body))
            }
            Act::Disable => server.operate("POST", &format!("{device}:disable"), None),
            Act::Enable => server.operate("POST", &format!("{device}:enable"), None),
        }
    }

    fn confirm(&self, server: &Environment, held: Option<&Held>, key: &Key) -> Result<Response> {
        let held = held.context("nothing to confirm")?;
        let client =
            server.certificate_client(&format!("{}{}", held.certificate, held.chain), key)?;
        client.request("POST", "/v1/certificates/confirm", &[], None)
    }

    /// Asks until it is answered: what is told to come later does, and what gets no answer asks again.
    pub(crate) fn answered(&self, act: Act, server: &Environment) -> Result<Response> {
        let what = format!("an answer to {act:?} of {}", self.serial);
        wait_for(&what, Duration::from_secs(120), || {
            Ok(self.ask(act, server).ok().filter(|answer| answer.status != 503))
        })
    }

    /// The same, and keeps what was answered.
    pub(crate) fn insist(&mut self, act: Act, server: &Environment) -> Result<()> {
        let answer = self.answered(act, server)?;
        self.take(act, &answer)
    }

    /// Keeps what was answered, and refuses another certificate than before.
    pub(crate) fn take(&mut self, act: Act, answer: &Response) -> Result<()> {
        let kept = match act {
            Act::Vend => &mut self.held,
            Act::Renew => &mut self.next,
            Act::Confirm | Act::ConfirmRenewal | Act::Revoke | Act::Disable | Act::Enable => {
                ensure!([200, 204].contains(&answer.status), "{act:?}: {answer:?}");
                return Ok(());
            }
        };
        ensure!([200, 201].contains(&answer.status), "{act:?}: {answer:?}");
        let held = Held {
            id: answer.text("certificateId"),
            certificate: answer.text("certificate"),
            chain: answer.text("chain"),
        };
        if let Some(before) = kept.as_ref().filter(|before| before.id != held.id) {
            bail!("{act:?} answered {}, and before {}", held.id, before.id);
        }
        *kept = Some(held);
        Ok(())
    }

    /// The certificates that open connections after `act`.
    pub(crate) fn active_after(&self, act: Act) -> Vec<String> {
        let (held, next) = (self.held.as_ref(), self.next.as_ref());
        let mut ids: Vec<_> = match act {
            Act::Revoke | Act::Disable => Vec::new(),
            // The former one has its grace.
            Act::Vend | Act::Confirm | Act::Renew | Act::ConfirmRenewal | Act::Enable => {
                held.into_iter().chain(next).map(|it| it.id.clone()).collect()
            }
        };
        ids.sort();
        ids
    }
}
