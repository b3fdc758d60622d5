//! [`VaultSecrets`]: the `Secrets` port, keyed hashes and sealing under keys of the vault.
//!
//! Every input to a hash is made of parts with their lengths before them, so that no two different
//! lists of parts are the same bytes.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use cvm_core::id::{KeyIdentity, SerialNumber, TokenMac};
use cvm_core::key::PrivateKey;
use cvm_core::ports::{SealError, Secrets};
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use zeroize::Zeroizing;

use crate::entropy::random;

/// Protocol, section 6.
const REPLAY_INFO: &[u8] = b"cvm key replay v1";

/// Sets the key of nonces apart from those under which private keys are sealed.
const NONCE_INFO: &[u8] = b"cvm nonce v1";

/// The vault's keys at work.
pub struct VaultSecrets {
    token: hmac::Key,
    admin: hmac::Key,
    idempotency: hmac::Key,
    nonce: hmac::Key,
    replay: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for VaultSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultSecrets(redacted)")
    }
}

impl VaultSecrets {
    pub(crate) fn new(
        token: &[u8; 32],
        admin: &[u8; 32],
        idempotency: &[u8; 32],
        replay: Zeroizing<[u8; 32]>,
    ) -> Self {
        let key = |bytes| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self {
            token: key(token),
            admin: key(admin),
            idempotency: key(idempotency),
            nonce: nonce_key(&replay),
            replay,
        }
    }

    /// AES-256-GCM under HKDF-SHA-256(token, salt = vault secret and the record's 16 bytes).
    fn replay_key(&self, token: &Token, salt: &[u8; 16]) -> Result<LessSafeKey, SealError> {
        let mut whole = Zeroizing::new([0; 48]);
        whole.iter_mut().zip(self.replay.iter().chain(salt)).for_each(|(to, from)| *to = *from);
        let pseudorandom =
            Salt::new(HKDF_SHA256, whole.as_slice()).extract(token.expose().as_bytes());
        let info = [REPLAY_INFO];
        let key = pseudorandom.expand(&info, &AES_256_GCM).map_err(|_| SealError)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

/// Derived, so that a vault that was made before there were nonces has it as well (RFC 5869).
fn nonce_key(secret: &[u8; 32]) -> hmac::Key {
    let info = [NONCE_INFO];
    let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(secret);
    let expanded = pseudorandom.expand(&info, hmac::HMAC_SHA256);
    expanded.expect("HKDF expands to 32 bytes").into()
}

/// HMAC over `parts`, each with its length before it.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&length(part));
        context.update(part);
    }
    let mut out = [0; 32];
    out.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

fn length(part: &[u8]) -> [u8; 8] {
    u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()
}

fn bound_to(serial: &SerialNumber, key: &KeyIdentity) -> Aad<Vec<u8>> {
    let serial = serial.as_str().as_bytes();
    Aad::from([&length(serial)[..], serial, &key.0].concat())
}

impl Secrets for VaultSecrets {
    fn token_mac(&self, serial: &str, token: &Token) -> TokenMac {
        TokenMac(mac(&self.token, &[serial.as_bytes(), token.expose().as_bytes()]))
    }

    fn admin_token_mac(&self, token: &Token) -> TokenMac {
        TokenMac(mac(&self.admin, &[token.expose().as_bytes()]))
    }

    fn nonce_mac(&self, issued_at: Timestamp, random: &[u8; 16]) -> [u8; 32] {
        mac(&self.nonce, &[&issued_at.0.to_be_bytes(), random])
    }

    fn token_derive(
        &self,
        admin_token_id: &str,
        idempotency_key: &str,
        serial: &SerialNumber,
    ) -> Token {
        let parts =
            [admin_token_id.as_bytes(), idempotency_key.as_bytes(), serial.as_str().as_bytes()];
        let derived = Zeroizing::new(mac(&self.idempotency, &parts));
        let mut bytes = Zeroizing::new([0; 26]);
        bytes.iter_mut().zip(derived.iter()).for_each(|(to, from)| *to = *from);
        Token::from_random(&bytes)
    }

    fn private_key_seal(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        private_key: &PrivateKey,
    ) -> ([u8; 16], Vec<u8>) {
        let salt = random::<16>();
        let nonce = random::<NONCE_LEN>();
        // Room for everything, so that no reallocation leaves a copy of the key behind.
        let mut sealed =
            Vec::with_capacity(private_key.0.len() + AES_256_GCM.tag_len() + NONCE_LEN);
        sealed.extend_from_slice(&private_key.0);
        let tag = self
            .replay_key(token, &salt)
            .and_then(|cipher| {
                let aad = bound_to(serial, key);
                cipher
                    .seal_in_place_separate_tag(
                        Nonce::assume_unique_for_key(nonce),
                        aad,
                        &mut sealed,
                    )
                    .map_err(|_| SealError)
            })
            .expect("AES-256-GCM seals less than 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed.splice(..0, nonce);
        (salt, sealed)
    }

    fn private_key_open(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        salt: &[u8; 16],
        ciphertext: &[u8],
    ) -> Result<PrivateKey, SealError> {
        let (nonce, sealed) = ciphertext.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let cipher = self.replay_key(token, salt)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = cipher
            .open_in_place(nonce, bound_to(serial, key), &mut opened)
            .map_err(|_| SealError)?
            .len();
        opened.truncate(length);
        Ok(PrivateKey(opened))
    }
}

#[cfg(test)]
mod tests;
