//! Where the `devices` CA of a new PKI comes from, and what the vault keeps of its key.

use cvm_core::time::Timestamp;

use super::{entry, put_key};
use crate::ca::{Authority, CaCertificate};
use crate::ca_key::CaKey;
use crate::error::PkiError;
use crate::key::SubjectKey;
use crate::remote_key::{signing_algorithm, unfit_key};
use crate::vault::{Overwrite, Vault};

/// An operator's CA, to be the `devices` CA.
#[derive(Clone, Copy)]
pub struct ImportedCa<'a> {
    /// Its certificate, PEM.
    pub certificate_pem: &'a str,
    /// Its private key, PEM.
    pub key_pem: &'a str,
}

impl std::fmt::Debug for ImportedCa<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedCa(redacted)")
    }
}

/// A key that is kept elsewhere, to be the `devices` CA's.
#[derive(Clone, Copy, Debug)]
pub struct RemotePublicKey<'a> {
    /// Its public half: a `SubjectPublicKeyInfo`, DER.
    pub spki: &'a [u8],
    /// By which it is found again: [`Pki::devices_key_reference`] answers it.
    pub reference: &'a str,
}

/// Where the CA that signs devices comes from.
#[derive(Clone, Copy, Debug)]
pub enum DevicesCa<'a> {
    /// The operator brings one.
    Imported(ImportedCa<'a>),
    /// It is made under our root, with a new key in the vault.
    Made,
    /// It is made under our root, for a key that is kept elsewhere.
    Remote(RemotePublicKey<'a>),
}

/// The CA that signs devices, and what the vault is to keep of its key.
pub(super) struct NewDevicesCa<'a> {
    pub(super) certificate: CaCertificate,
    pub(super) key: NewKey<'a>,
}

pub(super) enum NewKey<'a> {
    Held(CaKey),
    Remote(&'a str),
}

impl<'a> NewDevicesCa<'a> {
    pub(super) fn make(
        root: &Authority,
        devices: DevicesCa<'a>,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let Authority { certificate, key } = match devices {
            DevicesCa::Imported(ca) => Authority::import(ca.certificate_pem, ca.key_pem, now)?,
            DevicesCa::Made => root.create_devices(now)?,
            DevicesCa::Remote(RemotePublicKey { spki, reference }) => {
                let key = SubjectKey::read(spki).map_err(|_| unfit_key())?;
                signing_algorithm(&key)?;
                let certificate = root.certify_devices(&key, now)?;
                return Ok(Self { certificate, key: NewKey::Remote(reference) });
            }
        };
        Ok(Self { certificate, key: NewKey::Held(key) })
    }
}

impl NewKey<'_> {
    pub(super) fn put(&self, vault: &Vault) -> Result<(), PkiError> {
        match self {
            Self::Held(key) => put_key(vault, entry::DEVICES_CA_KEY, key),
            Self::Remote(reference) => {
                let (name, bytes) = (entry::DEVICES_CA_KEY_REFERENCE, reference.as_bytes());
                Ok(vault.put(name, bytes, Overwrite::Refuse)?)
            }
        }
    }
}
