//! X.509 for the vending machine: certificate requests in, certificates out, and the secrets behind
//! both.
//!
//! What this crate promises about a certificate: its names come from the caller, never from the
//! request; its key was proven and judged; its bytes passed every lint before they were signed
//! (`lint`); it does not outlive its CA. It implements the ports `Issuer` ([`LocalIssuer`]),
//! `KeyMaker` ([`KeyPool`]), `Secrets` ([`VaultSecrets`]) and `Entropy` ([`SystemEntropy`]).
//!
//! Reading order: `csr`, `key`, `weak` for what comes in; `profile`, `lint`, `approved`, `issue`,
//! `crl` for what goes out; `vault`, `ca`, `pki`, `server` for what is kept.

mod approved;
mod ca;
mod ca_key;
mod chain;
mod common_factors;
mod crl;
mod csr;
mod der;
mod entropy;
mod error;
mod facts;
pub mod files;
mod host;
mod inventory;
mod issue;
mod issuer;
mod key;
mod key_audit;
mod key_maker;
mod lint;
mod oid;
pub mod pem;
mod pki;
mod profile;
mod remote_key;
mod secrets;
mod server;
mod signature;
mod vault;
mod weak;

pub use approved::{Approved, SigningAlgorithm};
pub use chain::{chains_check, devices_issuer, host_is_named, server_names};
pub use common_factors::Common;
pub use entropy::SystemEntropy;
pub use error::PkiError;
pub use facts::{LeafFacts, leaf_facts};
pub use host::host_name_check;
pub use inventory::{Kept, Validity, inventory, validity};
pub use issuer::LocalIssuer;
pub use key_audit::{Judged, KeyAudit};
pub use key_maker::KeyPool;
pub use pki::{
    CreateOptions, Created, DevicesCa, ImportedCa, Pki, RemotePublicKey, Renewed, VAULT_DIRECTORY,
    entry,
};
pub use remote_key::{RemoteKey, RemoteKeyError};
pub use secrets::VaultSecrets;
pub use server::{ServerIdentity, ServerOptions};
pub use vault::{Bundle, Item, Overwrite, Passphrase, Protection, Vault, VaultError, VaultStorage};
