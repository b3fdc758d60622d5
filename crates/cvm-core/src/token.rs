//! One-time tokens: how one is made, checked when it is brought, and compared.
//!
//! A [`Token`] cannot be printed, compared with `==` or cloned by accident; it is zeroized when
//! dropped. Only its keyed hash ([`TokenMac`]) is ever stored.

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::TokenMac;
use crate::ports::Entropy;

const PREFIX: &str = "cvm1-";
const RANDOM_CHARACTERS: usize = 26;
const CHECK_CHARACTERS: usize = 4;
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many tokens of one device a request is compared with: the live one and the last three
/// burnt ones. Always this many comparisons are made, also for a device that nobody knows.
pub const SLOTS: usize = 4;

/// Why a brought token cannot be registered.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// A `cvm1-` token whose last four characters do not fit the rest: a slip of the pen.
    #[error("this cvm1- token has a typing error: its check characters do not fit")]
    Check,
    /// Too short or too long.
    #[error("a token has 16 to 256 characters")]
    Length,
    /// Control characters, which no label and no file's first line can hold.
    #[error("a token has no control characters")]
    Characters,
}

/// A one-time token in the clear, for as short a time as possible.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token as a device sent it: anything; whether it is right is for the comparison to say.
    #[must_use]
    pub fn unchecked(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// A new token of 130 random bits with its check characters.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0_u8; RANDOM_CHARACTERS]);
        entropy.fill(random.as_mut_slice());
        Self::from_random(&random)
    }

    /// The token whose 26 characters are the low five bits of each byte of `random`.
    #[must_use]
    pub fn from_random(random: &[u8; RANDOM_CHARACTERS]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(40));
        text.push_str(PREFIX);
        for byte in random {
            text.push(crockford_digit(u64::from(byte & 31)));
        }
        let check = check_characters(&text);
        text.push_str(&check);
        Self(text)
    }

    /// A token that an operator brings.
    ///
    /// # Errors
    /// [`TokenError`] where it has not 16 to 256 characters, none of them a control character, or
    /// starts with `cvm1-` and fails the check.
    pub fn brought(text: Zeroizing<String>) -> Result<Self, TokenError> {
        if !(16..=256).contains(&text.chars().count()) {
            return Err(TokenError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(TokenError::Characters);
        }
        if let Some(rest) = text.strip_prefix(PREFIX) {
            let is_whole = rest.len() == RANDOM_CHARACTERS + CHECK_CHARACTERS;
            let parts = text.split_at_checked(text.len() - CHECK_CHARACTERS);
            if !is_whole || parts.is_none_or(|(body, check)| *check_characters(body) != *check) {
                return Err(TokenError::Check);
            }
        }
        Ok(Self(text))
    }

    /// The secret itself, for hashing it or for showing it once to who made it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Which of `slots` is `asked`, in a time that depends on neither: always [`SLOTS`] comparisons,
/// missing slots being random bytes.
pub fn slot_of<'a>(
    asked: &TokenMac,
    slots: impl Iterator<Item = &'a TokenMac>,
    entropy: &dyn Entropy,
) -> Option<usize> {
    let mut table = [[0_u8; 32]; SLOTS];
    entropy.fill(table.as_flattened_mut());
    for (place, mac) in table.iter_mut().zip(slots) {
        *place = mac.0;
    }
    let mut found = u8::MAX;
    for (index, candidate) in (0_u8..).zip(&table) {
        found.conditional_assign(&index, candidate.ct_eq(&asked.0));
    }
    (found != u8::MAX).then_some(usize::from(found))
}

/// The Crockford base32 digit of the low five bits of `value`.
#[must_use]
pub fn crockford_digit(value: u64) -> char {
    let index = usize::try_from(value & 31).unwrap_or(0);
    CROCKFORD.get(index).copied().map_or('0', char::from)
}

/// The value of a Crockford base32 digit as people type it.
#[must_use]
pub fn crockford_value(character: char) -> Option<u64> {
    let folded = match character.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    (0_u64..)
        .zip(CROCKFORD)
        .find(|(_, digit)| char::from(**digit) == folded)
        .map(|(value, _)| value)
}

/// The first 20 bits of SHA-256 over `body`, as four Crockford characters.
fn check_characters(body: &str) -> Zeroizing<String> {
    let digest = Sha256::digest(body.as_bytes());
    let first = digest.iter().take(3).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let twenty_bits = first >> 4;
    Zeroizing::new(
        [15, 10, 5, 0].map(|shift| crockford_digit(twenty_bits >> shift)).iter().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn brought(text: &str) -> Result<Token, TokenError> {
        Token::brought(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_generated_token_has_its_form_and_passes_its_own_check() {
        let token = Token::generate(&Fixed(7));
        assert_eq!(token.expose().len(), 5 + 26 + 4);
        assert!(token.expose().starts_with("cvm1-77777"));
        assert!(brought(token.expose()).is_ok());
    }

    #[test]
    fn every_single_slip_in_a_generated_token_is_noticed_or_made_short() {
        let text = Token::generate(&Fixed(9)).expose().to_owned();
        let mut unnoticed = 0;
        for at in 5..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'A' { b'B' } else { b'A' };
            unnoticed += usize::from(brought(std::str::from_utf8(&slipped).unwrap()).is_ok());
        }
        assert_eq!(unnoticed, 0);
        assert_eq!(brought(&text[..text.len() - 1]).unwrap_err(), TokenError::Check);
    }

    #[test]
    fn a_brought_token_has_16_to_256_characters_and_no_control_characters() {
        assert!(brought(&"a".repeat(16)).is_ok());
        assert!(brought(&"é ".repeat(128)).is_ok());
        assert_eq!(brought(&format!("cvm1-{}", "é".repeat(15))).unwrap_err(), TokenError::Check);
        assert!(brought(&"a".repeat(256)).is_ok());
        assert_eq!(brought(&"a".repeat(15)).unwrap_err(), TokenError::Length);
        assert_eq!(brought(&"a".repeat(257)).unwrap_err(), TokenError::Length);
        assert_eq!(brought("sixteen letters \n").unwrap_err(), TokenError::Characters);
    }

    #[test]
    fn a_token_prints_nothing_of_itself() {
        let token = Token::generate(&Fixed(3));
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }

    #[test]
    fn the_slot_is_found_wherever_it_stands_and_no_other() {
        let macs: Vec<TokenMac> = (1..=4).map(|n| TokenMac([n; 32])).collect();
        for (index, mac) in macs.iter().enumerate() {
            assert_eq!(slot_of(mac, macs.iter(), &Fixed(0)), Some(index));
        }
        assert_eq!(slot_of(&TokenMac([9; 32]), macs.iter(), &Fixed(0)), None);
        assert_eq!(slot_of(&TokenMac([1; 32]), [].iter(), &Fixed(0)), None);
    }
}
