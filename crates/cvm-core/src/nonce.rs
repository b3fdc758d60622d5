//! Nonces of signed requests (contract, section 2): the time, 16 random bytes, and a MAC over both
//! by a key of the vault, so that giving one out stores nothing.
//!
//! Each is good once, for five minutes; only its use is kept, by [`crate::ports::Nonces`].

use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::id::hex;
use crate::ports::{Entropy, Secrets};
use crate::time::{Span, Timestamp};

/// How long a nonce is good for (contract, section 2).
const LIFE: Span = Span(5 * 60);

/// How far a nonce may be ahead of the clock: another instance of the server, whose clock is,
/// may have given it out.
const AHEAD_MAX: Span = Span::MINUTE;

const RANDOM_BYTES: usize = 16;
const TIME_DIGITS: usize = 16;
const RANDOM_DIGITS: usize = 2 * RANDOM_BYTES;
const DIGITS: usize = TIME_DIGITS + RANDOM_DIGITS + 64;

/// A nonce that this server gave out, or one of its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce {
    issued_at: Timestamp,
    random: [u8; RANDOM_BYTES],
}

/// Why a text is no nonce that may be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NonceError {
    /// Its time is over, or has not come.
    #[error("the nonce was given out more than 5 minutes ago")]
    Expired,
    /// Nobody who has the vault's key made it.
    #[error("the nonce is none of this server's")]
    Forged,
}

impl Nonce {
    /// A new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy, now: Timestamp) -> Self {
        let mut random = [0; RANDOM_BYTES];
        entropy.fill(&mut random);
        Self { issued_at: now, random }
    }

    /// The one with these parts, for who tests what keeps them.
    #[must_use]
    pub fn new(issued_at: Timestamp, random: [u8; RANDOM_BYTES]) -> Self {
        Self { issued_at, random }
    }

    /// What sets it apart from all others.
    #[must_use]
    pub fn random(&self) -> [u8; RANDOM_BYTES] {
        self.random
    }

    /// The last second in which it is good.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.issued_at.plus(LIFE)
    }

    /// What a device is given: lower-case hexadecimal digits of time, random bytes and MAC.
    #[must_use]
    pub fn to_text(&self, secrets: &dyn Secrets) -> String {
        let mac = secrets.nonce_mac(self.issued_at, &self.random);
        format!("{:016x}{}{}", self.issued_at.0, hex(&self.random), hex(&mac))
    }

    /// The nonce that `text` is at `now`.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn read(text: &str, secrets: &dyn Secrets, now: Timestamp) -> Result<Self, NonceError> {
        let nonce = Self::parts(text).ok_or(NonceError::Forged)?;
        let is_ours = nonce.to_text(secrets).as_bytes().ct_eq(text.as_bytes());
        if !bool::from(is_ours) {
            return Err(NonceError::Forged);
        }
        let is_ahead = nonce.issued_at > now.plus(AHEAD_MAX);
        if is_ahead || now > nonce.expires_at() { Err(NonceError::Expired) } else { Ok(nonce) }
    }

    /// Time and random bytes, whoever wrote them.
    fn parts(text: &str) -> Option<Self> {
        if text.len() != DIGITS {
            return None;
        }
        let time = u64::from_str_radix(text.get(..TIME_DIGITS)?, 16).ok()?;
        let digits = text.get(TIME_DIGITS..TIME_DIGITS + RANDOM_DIGITS)?;
        let random = u128::from_str_radix(digits, 16).ok()?;
        let issued_at = Timestamp(i64::try_from(time).ok()?);
        Some(Self { issued_at, random: random.to_be_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestEntropy, TestSecrets};

    const NOW: Timestamp = Timestamp(1_767_225_600);

    fn given() -> (Nonce, String, TestSecrets) {
        let (nonce, secrets) =
            (Nonce::generate(&TestEntropy::default(), NOW), TestSecrets::default());
        (nonce, nonce.to_text(&secrets), secrets)
    }

    #[test]
    fn a_nonce_is_read_as_it_was_given_out() {
        let (nonce, text, secrets) = given();
        assert_eq!(Nonce::read(&text, &secrets, NOW), Ok(nonce));
        assert_eq!(text.len(), 112);
    }

    #[test]
    fn a_nonce_is_good_for_five_minutes_and_not_from_the_future() {
        let (nonce, text, secrets) = given();
        for (at, expected) in [
            (300, Ok(nonce)),
            (301, Err(NonceError::Expired)),
            (-60, Ok(nonce)),
            (-61, Err(NonceError::Expired)),
        ] {
            assert_eq!(Nonce::read(&text, &secrets, NOW.plus(Span(at))), expected, "{at}");
        }
    }

    #[test]
    fn a_nonce_of_which_anything_was_changed_is_forged() {
        let (_, text, secrets) = given();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Nonce::read(&changed, &secrets, NOW), Err(NonceError::Forged), "{place}");
        }
        for other in
            ["", "é", &text[1..], &format!("{text}0"), &text.to_uppercase(), &"+".repeat(112)]
        {
            assert_eq!(Nonce::read(other, &secrets, NOW), Err(NonceError::Forged), "{other}");
        }
    }
}
