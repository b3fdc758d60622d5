//! What can happen: acts of devices, operators, the sweeper and time; and what can go wrong.

use std::fmt;

use cvm_core::certificate::{CertificateState, Origin, Reason};
use cvm_core::device::{Fate, Verdict};
use cvm_core::profile::Reissue;

use super::ghost::Ghost;
use super::key::ended_kind;
use super::scene::{Hands, KEYS, Scene};
use super::view::{Seen, View};

/// The certificate of a device that was issued as the `number`-th, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cert {
    pub(crate) device: usize,
    pub(crate) number: usize,
}

/// One act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Confirm(Cert),
    Connect(Cert),
    Delete(usize),
    Disable(usize),
    Enable(usize),
    NewToken(usize, Fate),
    Renew(Cert, usize),
    Review(usize, Verdict),
    Revoke(Cert, Reason),
    Sweep,
    Vend { device: usize, generation: u32, key: usize },
    Wait { steps: i64 },
}

impl Act {
    /// The device that it is about.
    pub(crate) fn device(self) -> Option<usize> {
        match self {
            Self::Confirm(cert)
            | Self::Connect(cert)
            | Self::Renew(cert, _)
            | Self::Revoke(cert, _) => Some(cert.device),
            Self::Delete(device)
            | Self::Disable(device)
            | Self::Enable(device)
            | Self::NewToken(device, _)
            | Self::Review(device, _)
            | Self::Vend { device, .. } => Some(device),
            Self::Sweep | Self::Wait { .. } => None,
        }
    }

    /// The certificate that is shown.
    pub(crate) fn shown(self) -> Option<Cert> {
        match self {
            Self::Confirm(cert) | Self::Connect(cert) | Self::Renew(cert, _) => Some(cert),
            Self::Delete(_)
            | Self::Disable(_)
            | Self::Enable(_)
            | Self::NewToken(..)
            | Self::Review(..)
            | Self::Revoke(..)
            | Self::Sweep
            | Self::Vend { .. }
            | Self::Wait { .. } => None,
        }
    }
}

/// How a commit can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process ends after it; nothing is answered, and nothing follows.
    CrashAfter,
    /// The process ends before it.
    CrashBefore,
    /// It is told to be unknown, and nothing was written.
    UnknownUnwritten,
    /// It is told to be unknown, and was written.
    UnknownWritten,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] =
        [Self::CrashAfter, Self::CrashBefore, Self::UnknownUnwritten, Self::UnknownWritten];
}

/// What goes wrong in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The answer leaves and does not arrive.
    AnswerLost,
    /// The commit with this number, from 0.
    Commit(usize, Fault),
}

/// One step: an act, and what comes in between or goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) act: Act,
    /// Runs to its end just before the access to the store with this number, from 0.
    pub(crate) intruder: Option<(usize, Act)>,
    pub(crate) trouble: Option<Trouble>,
}

impl Step {
    pub(crate) fn plain(act: Act) -> Self {
        Self { act, intruder: None, trouble: None }
    }
}

/// Every act that can change something in this state.
///
/// Of certificates that ended the same way and mean the same to every rule one is enough, and what
/// a device never received it cannot use.
pub(crate) fn acts(scene: &Scene, view: &View, ghost: &Ghost) -> Vec<Act> {
    let mut acts = Vec::new();
    for (device, seen) in view.devices.iter().enumerate() {
        if !ghost.devices[device].is_deleted {
            acts_of_device(scene, view, ghost, device, &mut acts);
        }
        if scene.hands == Hands::All {
            acts_of_operator(scene, ghost, device, seen, &mut acts);
        }
    }
    acts.push(Act::Sweep);
    if let Some(steps) = view.steps_to_next_moment(scene, ghost) {
        acts.push(Act::Wait { steps });
    }
    acts
}

fn acts_of_device(scene: &Scene, view: &View, ghost: &Ghost, device: usize, acts: &mut Vec<Act>) {
    let seen = &view.devices[device];
    for token in &seen.device.tokens {
        let generation = token.generation;
        acts.extend((0..KEYS.len()).map(|key| Act::Vend { device, generation, key }));
    }
    for (number, known) in ghost.devices[device].certs.iter().enumerate() {
        let cert = Cert { device, number };
        let renew = (0..KEYS.len()).map(|key| Act::Renew(cert, key));
        match seen.device.live_by_id(&known.id).filter(|_| known.is_known).map(|live| live.state) {
            Some(CertificateState::Candidate | CertificateState::Unconfirmed) => {
                acts.push(Act::Confirm(cert));
                acts.extend(renew);
            }
            Some(CertificateState::Current) => {
                acts.push(Act::Connect(cert));
                acts.extend(renew);
            }
            Some(_) => acts.push(Act::Connect(cert)),
            None if seen.is_outlived(&known.id) => acts.extend(renew),
            None => {}
        }
    }
    if scene.profile.reissue == Reissue::Approval && seen.device.review.is_some() {
        acts.push(Act::Review(device, Verdict::Approve));
        acts.push(Act::Review(device, Verdict::Deny));
    }
}

fn acts_of_operator(scene: &Scene, ghost: &Ghost, device: usize, seen: &Seen, acts: &mut Vec<Act>) {
    let mine = &ghost.devices[device];
    if !mine.is_deleted {
        // The second token, or the same again.
        acts.extend([Fate::Keep, Fate::Revoke].map(|fate| Act::NewToken(device, fate)));
        let toggle = if mine.is_disabled { Act::Enable(device) } else { Act::Disable(device) };
        acts.extend([toggle, Act::Delete(device)]);
    }
    let mut ended = Vec::new();
    for (number, cert) in mine.certs.iter().enumerate() {
        if seen.device.live_by_id(&cert.id).is_none() && !seen.is_outlived(&cert.id) {
            let kind = ended_kind(scene, seen, mine, number);
            if ended.contains(&kind) {
                continue;
            }
            ended.push(kind);
        }
        let cert = Cert { device, number };
        acts.extend(scene.reasons.iter().map(|reason| Act::Revoke(cert, *reason)));
    }
}

/// A road as a number.
pub(crate) fn origin_number(origin: Origin) -> u8 {
    match origin {
        Origin::Renewal => 0,
        Origin::Token => 1,
    }
}

impl fmt::Display for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{} of SN-{}", self.number + 1, self.device + 1)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirm(cert) => write!(f, "confirm with {cert}"),
            Self::Connect(cert) => write!(f, "connect with {cert}"),
            Self::Delete(device) => write!(f, "delete SN-{}", device + 1),
            Self::Disable(device) => write!(f, "disable SN-{}", device + 1),
            Self::Enable(device) => write!(f, "enable SN-{}", device + 1),
            Self::NewToken(device, Fate::Keep) => write!(f, "new token for SN-{}", device + 1),
            Self::NewToken(device, Fate::Revoke) => {
                write!(f, "new token for SN-{}, revoking all", device + 1)
            }
            Self::Renew(cert, key) => write!(f, "renew with {cert} for {}", KEYS[*key]),
            Self::Review(device, Verdict::Approve) => write!(f, "approve for SN-{}", device + 1),
            Self::Review(device, Verdict::Deny) => write!(f, "deny for SN-{}", device + 1),
            Self::Revoke(cert, reason) => write!(f, "revoke {cert} for {}", reason.as_str()),
            Self::Sweep => f.write_str("sweep"),
            Self::Vend { device, generation, key } => {
                write!(f, "vend SN-{} with token {generation} for {}", device + 1, KEYS[*key])
            }
            Self::Wait { steps } => write!(f, "wait {steps} steps"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.act)?;
        if let Some((access, act)) = &self.intruder {
            write!(f, "; before its access {} to the store: {act};", access + 1)?;
        }
        match self.trouble {
            None => Ok(()),
            Some(Trouble::AnswerLost) => f.write_str("; the answer is lost"),
            Some(Trouble::Commit(number, fault)) => {
                let what = match fault {
                    Fault::CrashAfter => "crash after",
                    Fault::CrashBefore => "crash before",
                    Fault::UnknownUnwritten => "unknown outcome, unwritten, of",
                    Fault::UnknownWritten => "unknown outcome, written, of",
                };
                write!(f, "; {what} its commit {}", number + 1)
            }
        }
    }
}
