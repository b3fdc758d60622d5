//! SHA-256 over a certificate's DER: what is printed on the label of a server.
//!
//! Written as 64 lower-case hexadecimal digits; colons and upper case are accepted on the way in.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Wraps a hash.
    #[must_use]
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, der).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }
}

/// Not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits (SHA-256 of the root certificate's DER)")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut nibbles = Vec::with_capacity(64);
        for digit in text.chars().filter(|c| *c != ':') {
            let value = digit.to_digit(16).ok_or(FingerprintError)?;
            nibbles.push(u8::try_from(value).map_err(|_| FingerprintError)?);
        }
        let (pairs, rest) = nibbles.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match (<[u8; 32]>::try_from(bytes), rest.is_empty()) {
            (Ok(hash), true) => Ok(Self(hash)),
            _ => Err(FingerprintError),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4, the empty message.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn it_is_the_sha_256_of_the_bytes() {
        assert_eq!(Fingerprint::of(b"").to_string(), EMPTY);
    }

    #[test]
    fn colons_and_upper_case_are_accepted() {
        let openssl: Vec<String> = EMPTY
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect();
        assert_eq!(openssl.join(":").parse(), Ok(Fingerprint::of(b"")));
        assert_eq!(EMPTY.parse(), Ok(Fingerprint::of(b"")));
    }

    #[test]
    fn anything_else_is_not_a_fingerprint() {
        for text in ["", "e3b0", &EMPTY[1..], &format!("{EMPTY}00"), "sha256:e3", "ß"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }
}
