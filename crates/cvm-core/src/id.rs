//! Identifiers, each parsed once and never a bare `String` afterwards.
//!
//! A [`SerialNumber`] is compared byte for byte and never trimmed or folded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not the identifier it was meant to be; says what was expected.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IdError {
    /// Not an attempt code.
    #[error("an attempt code is 10 Crockford base32 characters, such as K7QF2-M8WXA")]
    AttemptCode,
    /// Not a 32-byte digest in hexadecimal.
    #[error("expected 64 hexadecimal digits")]
    Digest,
    /// Not a policy, profile or attribute name.
    #[error("expected 1 to 128 characters of letters, digits and `_+=,.@:-`")]
    Name,
    /// Not a serial number.
    #[error("a serial number is 1 to 64 characters of letters, digits and `:._/+-`")]
    SerialNumber,
    /// Not a thing name.
    #[error("a thing name is 1 to 128 characters of letters, digits and `:_-`")]
    ThingName,
    /// The thing name made from the serial number is too long.
    #[error(
        "the thing name made from this serial number is longer than 128 characters: \
         choose one with --thing-name (thingName)"
    )]
    ThingNameTooLong,
}

/// The manufacturer's number of a device: 1 to 64 of `[A-Za-z0-9:._/+-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SerialNumber(String);

impl SerialNumber {
    /// A serial number that no device can have: what an unreadable one is looked up as, so that
    /// it costs the same read as any other refusal.
    #[must_use]
    pub fn nobody() -> Self {
        Self(String::from("?"))
    }

    /// The text as it was registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SerialNumber {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b":._/+-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::SerialNumber)
        }
    }
}

/// The registry entry's name: 1 to 128 of `[a-zA-Z0-9:_-]`, as AWS IoT has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ThingName(String);

impl ThingName {
    /// The name a device gets when the operator chooses none.
    ///
    /// The serial number itself where it fits, else each byte that does not fit as `_` and two
    /// lower-case hexadecimal digits, `_` itself included, so that two serial numbers never meet.
    ///
    /// # Errors
    /// [`IdError::ThingNameTooLong`] where the result is longer than 128 characters.
    pub fn for_serial(serial: &SerialNumber) -> Result<Self, IdError> {
        let text = serial.as_str();
        if text.bytes().all(Self::is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        let mut name = String::with_capacity(text.len() * 3);
        for byte in text.bytes() {
            if Self::is_allowed(byte) && byte != b'_' {
                name.push(char::from(byte));
            } else {
                name.push('_');
                name.push(hex_digit(byte >> 4));
                name.push(hex_digit(byte & 15));
            }
        }
        if name.len() > 128 { Err(IdError::ThingNameTooLong) } else { Ok(Self(name)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_allowed(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b":_-".contains(&byte)
    }
}

impl FromStr for ThingName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if (1..=128).contains(&text.len()) && text.bytes().all(Self::is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::ThingName)
        }
    }
}

/// The name of a policy or a profile: 1 to 128 of `[A-Za-z0-9_+=,.@:-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:-".contains(&b);
        if (1..=128).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Name)
        }
    }
}

/// SHA-256 over a certificate's DER; what AWS IoT calls the certificate's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateId(pub [u8; 32]);

impl CertificateId {
    /// What stands for a certificate that a platform has not named yet, made for the request
    /// called `attempt`.
    #[must_use]
    pub fn provisional(attempt: AttemptCode) -> Self {
        let mut id = [0; 32];
        if let Some(end) = id.last_chunk_mut::<8>() {
            *end = attempt.0.to_be_bytes();
        }
        Self(id)
    }

    /// Whether it names nothing yet: no row has such a name.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.0.first_chunk::<24>().is_some_and(|start| *start == [0; 24])
    }
}

/// SHA-256 over a public key's normalised `SubjectPublicKeyInfo`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyIdentity(pub [u8; 32]);

/// The keyed hash of a token with its serial number; the only form in which a token is stored.
///
/// It has no `PartialEq`: tokens are compared in constant time, by [`crate::token`] alone.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenMac(pub [u8; 32]);

/// What a caller hands to support: 10 Crockford characters, shown as `K7QF2-M8WXA`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptCode(u64);

impl AttemptCode {
    const BITS: u32 = 50;

    /// The code made of the low 50 bits of `random`.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Self(random & ((1 << Self::BITS) - 1))
    }
}

impl fmt::Display for AttemptCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in 0..10 {
            if place == 5 {
                f.write_str("-")?;
            }
            let five_bits = (self.0 >> (45 - 5 * place)) & 31;
            write!(f, "{}", crate::token::crockford_digit(five_bits))?;
        }
        Ok(())
    }
}

impl FromStr for AttemptCode {
    type Err = IdError;

    /// Case and hyphens do not matter, and `I`, `L`, `O` are read as Crockford has them: people
    /// type these codes from a screen.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut value = 0_u64;
        let mut digits = 0;
        for character in text.chars().filter(|c| *c != '-') {
            let digit = crate::token::crockford_value(character).ok_or(IdError::AttemptCode)?;
            value = (value << 5) | digit;
            digits += 1;
            if digits > 10 {
                return Err(IdError::AttemptCode);
            }
        }
        if digits == 10 { Ok(Self(value)) } else { Err(IdError::AttemptCode) }
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

macro_rules! digest_form {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                digest_from_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                hex(&id.0)
            }
        }
    )*};
}

text_form!(SerialNumber, ThingName, Name);
digest_form!(CertificateId, KeyIdentity, TokenMac);

impl fmt::Debug for AttemptCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptCode({self})")
    }
}

impl TryFrom<String> for AttemptCode {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AttemptCode> for String {
    fn from(code: AttemptCode) -> Self {
        code.to_string()
    }
}

/// Lower-case hexadecimal of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(hex_digit(byte >> 4));
        text.push(hex_digit(byte & 15));
    }
    text
}

/// The 32 bytes that 64 hexadecimal digits stand for; colons and upper case are accepted, as
/// people type fingerprints.
///
/// # Errors
/// [`IdError::Digest`] for anything else.
pub fn digest_from_hex(text: &str) -> Result<[u8; 32], IdError> {
    let mut digest = [0_u8; 32];
    let mut digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
    for byte in &mut digest {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return Err(IdError::Digest);
        };
        *byte = u8::try_from(high * 16 + low).map_err(|_| IdError::Digest)?;
    }
    if digits.next().is_some() { Err(IdError::Digest) } else { Ok(digest) }
}

fn hex_digit(four_bits: u8) -> char {
    char::from_digit(u32::from(four_bits & 15), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests;
