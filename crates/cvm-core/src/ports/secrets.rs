//! Keyed hashes and sealing, under keys that core never sees.

use thiserror::Error;

use crate::id::{KeyIdentity, SerialNumber, TokenMac};
use crate::key::PrivateKey;
use crate::time::Timestamp;
use crate::token::Token;

/// What the vault's keys are used for.
pub trait Secrets: Send + Sync {
    /// HMAC-SHA-256 over serial number and token: the only form in which a token is stored.
    ///
    /// `serial` is what the caller sent, whatever that was: the cost must not depend on it.
    fn token_mac(&self, serial: &str, token: &Token) -> TokenMac;

    /// HMAC-SHA-256 over an operator's token, under a key of its own.
    fn admin_token_mac(&self, token: &Token) -> TokenMac;

    /// HMAC-SHA-256 over the parts of a nonce, under a key of its own.
    fn nonce_mac(&self, issued_at: Timestamp, random: &[u8; 16]) -> [u8; 32];

    /// The token for a registration that brought none, derived from the operator's idempotency
    /// key so that a lost answer can be repeated with nothing stored.
    fn token_derive(
        &self,
        admin_token_id: &str,
        idempotency_key: &str,
        serial: &SerialNumber,
    ) -> Token;

    /// Seals a private key under a key derived from the token, a vault secret and 16 random bytes,
    /// bound to serial number and key identity (protocol, section 6). Returns salt, and nonce with
    /// ciphertext and tag.
    fn private_key_seal(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        private_key: &PrivateKey,
    ) -> ([u8; 16], Vec<u8>);

    /// Opens what [`Self::private_key_seal`] sealed.
    ///
    /// # Errors
    /// [`SealError`] where token, vault secret, serial number or key identity is another.
    fn private_key_open(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        salt: &[u8; 16],
        ciphertext: &[u8],
    ) -> Result<PrivateKey, SealError>;
}

/// The sealed key cannot be opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the sealed key does not open")]
pub struct SealError;
