//! What must be true afterwards: each device's account beside what the server has of it.
//!
//! The rules are the protocol's invariants (section 13), as far as they show from outside. Reads
//! nothing and asks nobody.

use cvm_wire::operator::{Certificate, Device as Shown};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use crate::device::{Account, Given, Reached};
use crate::tally::Act;
use crate::worker::{Setback, told};

/// What the server has of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) device: Option<Shown>,
    /// Its certificates, without those of earlier rehearsals.
    pub(crate) certificates: Vec<Certificate>,
}

/// In which way an invariant broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// I2: two certificates where there must be one.
    Double,
    /// I3: a certificate left the server that its store does not have, or has otherwise.
    Lost,
    /// I3: the store has a certificate that no device was ever given.
    Orphan,
    /// I1: more live certificates than a device may have.
    Shape,
    /// I4: a device that asks again is refused what is its.
    Stuck,
    /// I5: the working certificate was taken away.
    Taken,
    /// I9: the token is not as the certificate's use has left it.
    Token,
    /// I9: what was answered is of no use to who asked.
    Unfit,
}

impl Kind {
    /// The invariant.
    #[must_use]
    pub fn invariant(self) -> &'static str {
        match self {
            Self::Double => "I2",
            Self::Lost | Self::Orphan => "I3",
            Self::Shape => "I1",
            Self::Stuck => "I4",
            Self::Taken => "I5",
            Self::Token | Self::Unfit => "I9",
        }
    }
}

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which one, as the protocol numbers them.
    pub invariant: &'static str,
    /// In which way.
    pub kind: Kind,
    /// Whose.
    pub serial_number: String,
    /// Of which certificate.
    pub certificate_id: Option<String>,
    /// What is the matter.
    pub what: String,
}

impl Finding {
    pub(crate) fn new(kind: Kind, serial: &str, id: Option<&str>, what: String) -> Self {
        let certificate_id = id.map(str::to_owned);
        let (invariant, serial_number) = (kind.invariant(), serial.to_owned());
        Self { invariant, kind, serial_number, certificate_id, what }
    }
}

/// What broke, of all that can be seen of one device.
pub(crate) fn judge(account: &Account, setback: Option<&Setback>, stored: &Stored) -> Vec<Finding> {
    let mut judging = Judging { account, stored, findings: Vec::new() };
    if let Some(setback) = setback {
        judging.refusal(setback);
    }
    judging.given();
    judging.live();
    judging.strays(setback);
    match (setback, &stored.device) {
        (None, Some(device)) => judging.finished(device),
        (Some(_), Some(_)) => judging.unfinished(),
        (_, None) => {
            let what = String::from("the server does not know the device any more");
            judging.find(Kind::Lost, None, what);
        }
    }
    judging.findings
}

struct Judging<'a> {
    account: &'a Account,
    stored: &'a Stored,
    findings: Vec<Finding>,
}

impl Judging<'_> {
    fn find(&mut self, kind: Kind, id: Option<&str>, what: String) {
        self.findings.push(Finding::new(kind, &self.account.serial, id, what));
    }

    fn state(&self, id: &str) -> Option<&str> {
        let found = self.stored.certificates.iter().find(|it| it.certificate_id == id);
        found.map(|found| found.state.as_str())
    }

    fn count(&self, of: impl Fn(&Certificate) -> bool) -> usize {
        self.stored.certificates.iter().filter(|certificate| of(certificate)).count()
    }

    /// An honest device is never told no.
    fn refusal(&mut self, setback: &Setback) {
        match setback {
            Setback::Impatient { .. } | Setback::Interrupted => {}
            Setback::Refused { act, problem } => {
                let kind = match act {
                    Act::Register | Act::Vend => Kind::Stuck,
                    Act::Confirm | Act::Prove | Act::Renew => Kind::Taken,
                };
                let what = format!("{} was answered {}", act.name(), told(problem));
                let id = self.account.candidate.clone().or_else(|| self.account.holds.clone());
                self.find(kind, id.as_deref(), what);
            }
            Setback::Unusable { act, what } => {
                self.find(Kind::Unfit, None, format!("the answer to {}: {what}", act.name()));
            }
        }
    }

    /// Every certificate that left the server is in its store, byte for byte, and this device's.
    fn given(&mut self) {
        for Given { id, der, .. } in &self.account.given {
            let found = self.stored.certificates.iter().find(|it| it.certificate_id == *id);
            let what = match found {
                None => String::from("the device was given it, and the store does not have it"),
                Some(found) if found.serial_number != self.account.serial => {
                    format!("the store has it as one of {}", found.serial_number)
                }
                Some(found) if !is_same(found, der) => {
                    String::from("the store has other bytes than the device was given")
                }
                Some(_) => continue,
            };
            self.find(Kind::Lost, Some(id), what);
        }
    }

    /// One that works, one candidate beside it, one retiring; one token, one certificate.
    fn live(&mut self) {
        let works = self.count(|it| matches!(it.state.as_str(), "current" | "unconfirmed"));
        let current = self.count(|it| it.state == "current");
        let candidates = self.count(|it| it.state == "candidate");
        let retiring = self.count(|it| it.state == "retiring");
        if works > 1 || candidates > current || retiring > 1 {
            let what = format!("{works} that work, {candidates} candidates, {retiring} retiring");
            self.find(Kind::Shape, None, what);
        }
        for (origin, what) in [("token", "its token"), ("renewal", "one renewal")] {
            let count = self.count(|it| it.origin == origin);
            if count > 1 {
                self.find(Kind::Double, None, format!("{what} obtained {count} certificates"));
            }
        }
    }

    /// What is in the store was given to the device; one may still have been on its way when the
    /// device gave up.
    fn strays(&mut self, setback: Option<&Setback>) {
        let is_given = |id: &String| self.account.given.iter().any(|given| given.id == *id);
        let all = self.stored.certificates.iter().map(|it| &it.certificate_id);
        let strays: Vec<String> = all.filter(|id| !is_given(id)).cloned().collect();
        for id in strays.iter().skip(usize::from(setback.is_some())) {
            let what = String::from("the store has it, and the device was never given it");
            self.find(Kind::Orphan, Some(id), what);
        }
    }

    /// Exactly one certificate works, the device holds it, and its token is as its use left it.
    fn finished(&mut self, device: &Shown) {
        let (state, standing, token) = match self.account.reached {
            Reached::Nothing => return,
            Reached::Vended => ("unconfirmed", "issued", "used"),
            Reached::Confirmed | Reached::Renewed => ("current", "active", "burnt"),
        };
        let holds = self.account.holds.clone().unwrap_or_default();
        let found = self.state(&holds).unwrap_or("missing").to_owned();
        if found != state {
            let what = format!("the device works with it, and it is {found}, not {state}");
            self.find(Kind::Taken, Some(&holds), what);
        }
        if device.state != standing || device.disabled {
            let disabled = if device.disabled { ", disabled" } else { "" };
            let what = format!("the device is {}{disabled}, not {standing}", device.state);
            self.find(Kind::Taken, None, what);
        }
        if device.token_state != token {
            let what = format!("the token is {}, not {token}", device.token_state);
            self.find(Kind::Token, None, what);
        }
        let before = self.account.given.iter().map(|given| given.id.clone());
        for id in before.filter(|id| *id != holds).collect::<Vec<_>>() {
            match self.state(&id) {
                // What is missing was told already.
                None | Some("expired" | "retiring" | "superseded") => {}
                Some(state) => {
                    let what = format!("it was renewed, and is {state}");
                    self.find(Kind::Shape, Some(&id), what);
                }
            }
        }
    }

    /// Until the next certificate was proven, that which works was not taken away.
    fn unfinished(&mut self) {
        let Some(holds) = self.account.holds.clone() else { return };
        let of = |id: Option<&String>| id.and_then(|id| self.state(id));
        let does_work = [of(Some(&holds)), of(self.account.candidate.as_ref())]
            .iter()
            .any(|state| matches!(state, Some("current" | "unconfirmed")));
        if !does_work {
            let state = self.state(&holds).unwrap_or("missing");
            let what = format!("the device works with it, and it is {state}");
            self.find(Kind::Taken, Some(&holds), what);
        }
    }
}

fn is_same(stored: &Certificate, given: &CertificateDer<'_>) -> bool {
    CertificateDer::from_pem_slice(stored.certificate.as_bytes()).is_ok_and(|der| der == *given)
}

#[cfg(test)]
mod tests;
