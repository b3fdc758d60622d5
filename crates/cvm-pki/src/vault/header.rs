//! `vault.json`: the format's version, and the master key as it is kept.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{VaultError, cipher, open, seal};
use crate::entropy::random;

const VERSION: u32 = 1;
/// Contract, section 6 (and the second choice of OWASP's password storage page): 19 MiB, t = 2,
/// p = 1.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
/// A header that asks for more was not written by us: opening must end.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const ITERATIONS_MAX: u32 = 16;

const CONTEXT: &[u8] = b"cvm vault 1 master key";

/// The header; what protects the master key is either `sealed` or `warning`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sealed {
    kdf: String,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    salt: String,
    master_key: String,
}

impl Header {
    /// The header of a vault without a passphrase; `noun` is what it is kept in.
    pub(super) fn unsealed(noun: &str) -> Self {
        let warning = format!("NOT SEALED: whoever can read this {noun} has every key in it");
        Self { version: VERSION, warning: Some(warning), sealed: None }
    }

    /// Wraps the master key.
    pub(super) fn seal(passphrase: &str, master: &[u8; 32]) -> Result<Self, VaultError> {
        let salt = random::<16>();
        let mut sealed = Sealed {
            kdf: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            iterations: ITERATIONS,
            parallelism: PARALLELISM,
            salt: STANDARD.encode(salt),
            master_key: String::new(),
        };
        let key = sealed.derive(passphrase)?;
        sealed.master_key = STANDARD.encode(seal(&cipher(&key)?, CONTEXT, master)?);
        Ok(Self { version: VERSION, warning: None, sealed: Some(sealed) })
    }

    /// Reads a header; the error says what is wrong with it.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        let header: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if header.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", header.version));
        }
        if let Some(sealed) = &header.sealed
            && (sealed.kdf != "argon2id"
                || sealed.memory_kib > MEMORY_KIB_MAX
                || sealed.iterations > ITERATIONS_MAX)
        {
            return Err("its key derivation is not one of ours".to_owned());
        }
        if header.sealed.is_none() && header.warning.is_none() {
            return Err("it says neither how it is sealed nor that it is not".to_owned());
        }
        Ok(header)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// The master key; `None` where the passphrase does not open it.
    pub(super) fn open(&self, passphrase: &str) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
        let Some(sealed) = &self.sealed else { return Ok(None) };
        let Ok(wrapped) = STANDARD.decode(&sealed.master_key) else { return Ok(None) };
        let key = sealed.derive(passphrase)?;
        Ok(open(&cipher(&key)?, CONTEXT, &wrapped)
            .and_then(|master| <[u8; 32]>::try_from(master.as_slice()).ok())
            .map(Zeroizing::new))
    }

    pub(super) fn to_json(&self) -> String {
        // A struct of numbers and strings always has a JSON form.
        let mut json = serde_json::to_string_pretty(self).expect("a header is JSON");
        json.push('\n');
        json
    }
}

impl Sealed {
    fn derive(&self, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let failed = |_| VaultError::Crypto("Argon2id");
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, Some(32))
            .map_err(failed)?;
        let salt = STANDARD.decode(&self.salt).map_err(|_| VaultError::Crypto("the salt"))?;
        // Memory of our own, so that it is zeroized and given back here.
        let mut memory = vec![Block::default(); params.block_count()];
        let mut key = Zeroizing::new([0; 32]);
        let derived = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase.as_bytes(), &salt, &mut *key, &mut memory)
            .map_err(failed);
        memory.iter_mut().for_each(|block| block.as_mut().zeroize());
        derived.map(|()| key)
    }
}
