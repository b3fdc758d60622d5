//! What one exploration is about: by which rules, how many devices, how far; and the world in it.

use std::sync::Arc;

use cvm_core::certificate::Reason;
use cvm_core::id::{KeyIdentity, SerialNumber};
use cvm_core::profile::{Profile, Reissue};
use cvm_core::testing::test_key;
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use zeroize::Zeroizing;

use super::act::Act;
use super::ghost::Ghost;

/// When every world begins.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000);

/// The keys that there are; whoever asks may have either.
pub(crate) const KEYS: [&str; 2] = ["K1", "K2"];

/// How far an exploration goes, in acts from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// So many acts one after the other, each answered, or with the answer lost.
    pub(crate) acts: usize,
    /// In each state within fewer acts than these, each way in which each commit can go wrong.
    pub(crate) faults: usize,
    /// In each state within fewer acts than these, each act within each window of each other.
    pub(crate) windows: usize,
}

/// Whose acts are explored, beside the sweeper's and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// Devices' and operators'.
    All,
    /// Devices'.
    Devices,
}

/// The rules, the devices and the bounds.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    /// All times that there are lie on a grid of so many seconds.
    pub(crate) unit: i64,
    pub(crate) serials: Vec<SerialNumber>,
    pub(crate) keys: [KeyIdentity; 2],
    /// The reasons for which certificates are revoked.
    pub(crate) reasons: Vec<Reason>,
    /// Whose acts are explored.
    pub(crate) hands: Hands,
    /// What has happened before the first act that is counted.
    pub(crate) beginning: Vec<Act>,
    pub(crate) depth: Depth,
}

impl Scene {
    /// One device under `reissue`, whose times are short multiples of `unit`, so that states whose
    /// deadlines lie equally far ahead meet often.
    pub(crate) fn of(name: &'static str, reissue: Reissue, unit: i64, depth: Depth) -> Self {
        let profile = Profile {
            reissue,
            lifetime: Span(10 * unit - 1),
            backdate: Span(0),
            overlap: Span(2 * unit - 1),
            grace_after_confirm: Span(unit - 1),
            renew_after_expiry: Span(2 * unit - 1),
            token_life: Span(2 * unit - 1),
            ..Profile::default()
        };
        Self {
            name,
            profile,
            unit,
            serials: vec!["SN-1".parse().unwrap()],
            keys: KEYS.map(|name| test_key(name).identity),
            reasons: vec![Reason::Unspecified, Reason::KeyCompromise],
            hands: Hands::All,
            beginning: Vec::new(),
            depth,
        }
    }

    /// The same with a second device.
    pub(crate) fn with_a_second_device(mut self) -> Self {
        self.serials.push("SN-2".parse().unwrap());
        self
    }

    /// The same where no operator says anything, with times so short that all states there are can
    /// be reached.
    pub(crate) fn without_operator(mut self) -> Self {
        let step = Span(self.unit - 1);
        self.profile.overlap = step;
        self.profile.token_life = step;
        self.profile.renew_after_expiry = Span(0);
        Self { hands: Hands::Devices, ..self }
    }

    /// The same after these acts.
    pub(crate) fn after(self, beginning: &[Act]) -> Self {
        Self { beginning: beginning.to_vec(), ..self }
    }

    /// The number of the device called `serial`.
    pub(crate) fn device_number(&self, serial: &SerialNumber) -> usize {
        self.serials.iter().position(|it| it == serial).expect("a device of the scene")
    }

    /// The number of `key`.
    pub(crate) fn key_number(&self, key: &KeyIdentity) -> usize {
        self.keys.iter().position(|it| it == key).expect("a key of the scene")
    }

    /// How many steps of the grid until `deadline` is over; 0 where it is.
    pub(crate) fn steps_until_after(&self, deadline: Timestamp, now: Timestamp) -> i64 {
        let left = deadline.since(now).0;
        if left < 0 { 0 } else { left / self.unit + 1 }
    }

    /// `steps` of the grid.
    pub(crate) fn span(&self, steps: i64) -> Span {
        Span(steps * self.unit)
    }
}

/// The token of this generation of the device.
pub(crate) fn token(device: usize, generation: u32) -> Token {
    let text = format!("token-{generation}-of-device-{device}");
    Token::brought(Zeroizing::new(text)).unwrap()
}

/// A state: what is stored, what time it is, and what was said and heard.
///
/// Copies share their store until one of them is written to; whoever writes copies it first.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) now: Timestamp,
    pub(crate) ghost: Ghost,
}
