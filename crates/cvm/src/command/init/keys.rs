//! Where a new home's keys go: the vault, and the key of the `devices` CA where another keeps it.
//!
//! A vault in a bucket is made in memory and written last, on condition that there is none: until
//! then nothing of a try is anywhere but in the directory that is thrown away.

use cvm_core::error::chain_of;
use cvm_pki::{Created, DevicesCa, Pki, PkiError, Protection, VAULT_DIRECTORY, Vault};

use super::Wishes;
#[cfg(feature = "aws")]
use super::bucket::{self, InBucket};
use crate::config::VaultPlace;
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};

/// A vault that is being filled.
pub(super) enum NewVault {
    /// Its entries are files already.
    Files(Vault),
    /// It is in memory.
    #[cfg(feature = "aws")]
    InBucket(InBucket),
}

impl NewVault {
    pub(super) fn make(layout: &Layout, wishes: &Wishes<'_>) -> Result<Self, Failure> {
        let protection = wishes.passphrase.map_or(Protection::Unsealed, Protection::Sealed);
        match wishes.vault {
            VaultPlace::File => {
                let vault = Vault::create(&layout.root.join(VAULT_DIRECTORY), protection);
                vault.map(Self::Files).map_err(|error| {
                    let what = format!("making the vault: {}", chain_of(&error));
                    Failure::new(Exit::Failed, what)
                })
            }
            #[cfg(feature = "aws")]
            VaultPlace::S3(place) => InBucket::make(place, protection).map(Self::InBucket),
        }
    }

    pub(super) fn vault(&self) -> &Vault {
        match self {
            Self::Files(vault) => vault,
            #[cfg(feature = "aws")]
            Self::InBucket(new) => new.vault(),
        }
    }

    /// Writes what is not written yet.
    pub(super) fn keep(self, created: &Created) -> Done {
        #[cfg(not(feature = "aws"))]
        let _ = created;
        match self {
            Self::Files(_) => Ok(()),
            #[cfg(feature = "aws")]
            Self::InBucket(new) => new.keep(&created.root_fingerprint),
        }
    }
}

/// The key of the `devices` CA, unless the operator brings a CA.
pub(super) enum NewKey {
    /// It is made, and kept in the vault.
    InVault,
    /// KMS has it.
    #[cfg(feature = "aws")]
    InKms(bucket::InKms),
}

impl NewKey {
    pub(super) fn find(wishes: &Wishes<'_>) -> Result<Self, Failure> {
        match wishes.ca_key {
            #[cfg(feature = "aws")]
            Some(reference) => bucket::InKms::find(&reference.0).map(Self::InKms),
            #[cfg(not(feature = "aws"))]
            Some(_) => Ok(Self::InVault),
            None => Ok(Self::InVault),
        }
    }

    pub(super) fn devices(&self) -> DevicesCa<'_> {
        match self {
            Self::InVault => DevicesCa::Made,
            #[cfg(feature = "aws")]
            Self::InKms(key) => DevicesCa::Remote(key.public()),
        }
    }

    /// Loads what was made, as `serve` will.
    pub(super) fn load(self, layout: &Layout, vault: &Vault) -> Result<Pki, PkiError> {
        const CRL_URL: &str = "http://localhost";
        match self {
            Self::InVault => Pki::load(&layout.root, vault, CRL_URL),
            #[cfg(feature = "aws")]
            Self::InKms(key) => Pki::load_remote(&layout.root, vault, CRL_URL, key.into_key()),
        }
    }
}
