//! Profiles: the rules by which certificates are issued, as `[issuance]` and `[[profile]]` say.

use std::collections::BTreeMap;

use crate::id::Name;
use crate::time::Span;

/// What a used token still obtains (protocol, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reissue {
    /// Another key gets a certificate at any time, beside what is in use. For test benches.
    Always,
    /// Another key waits for a human.
    Approval,
    /// The same bytes for ten minutes, and then nothing.
    Never,
    /// The same key is answered the same bytes; another key is refused.
    #[default]
    SameKey,
    /// Another key takes the place of a certificate that nobody has used yet.
    UntilConfirmed,
}

impl Reissue {
    /// Whether the first use of a certificate burns the token that obtained it.
    #[must_use]
    pub fn confirmation_burns(self) -> bool {
        match self {
            Self::Always | Self::Approval => false,
            Self::Never | Self::SameKey | Self::UntilConfirmed => true,
        }
    }
}

/// The rules for one group of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What a used token still obtains.
    pub reissue: Reissue,
    /// From the issue to notAfter.
    pub lifetime: Span,
    /// From notBefore to the issue, for devices whose clock is behind.
    pub backdate: Span,
    /// How long a candidate may wait beside a certificate that is in use.
    pub overlap: Span,
    /// How long a former current certificate still opens connections.
    pub grace_after_confirm: Span,
    /// How long an expired certificate may still renew; 0 for not at all.
    pub renew_after_expiry: Span,
    /// How long a key that the server made can be asked for again.
    pub key_replay: Span,
    /// How long a token may wait for its first issue.
    pub token_life: Span,
    /// Whether the server makes keys for devices that send no CSR.
    pub server_keys: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            reissue: Reissue::SameKey,
            lifetime: Span(365 * Span::DAY.0),
            backdate: Span(5 * Span::MINUTE.0),
            overlap: Span(7 * Span::DAY.0),
            grace_after_confirm: Span(5 * Span::MINUTE.0),
            renew_after_expiry: Span(0),
            key_replay: Span(15 * Span::MINUTE.0),
            token_life: Span(90 * Span::DAY.0),
            server_keys: false,
        }
    }
}

/// Every profile that the configuration has.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    /// `[issuance]`, named `default`.
    pub default: Profile,
    /// `[[profile]]`, by name.
    pub named: BTreeMap<Name, Profile>,
}

impl Profiles {
    /// The profile's name that a device has when its operator chose none.
    pub const DEFAULT: &'static str = "default";

    /// The profile called `name`.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Profile> {
        self.named.get(name).or_else(|| (name.as_str() == Self::DEFAULT).then_some(&self.default))
    }

    /// The profile called `name`, or the default where the configuration has lost it: a device
    /// in the field is not to be refused for a line that somebody deleted.
    #[must_use]
    pub fn find_or_default(&self, name: &Name) -> &Profile {
        self.find(name).unwrap_or(&self.default)
    }
}
