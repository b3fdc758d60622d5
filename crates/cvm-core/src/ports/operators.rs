//! Operators' credentials as a store: atomic operations, each with its contract.

use async_trait::async_trait;
use thiserror::Error;

use super::StoreError;
use crate::id::TokenMac;
use crate::journal::Event;
use crate::operator::AdminToken;
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

/// Operators' credentials. Reads see every change that was acknowledged before them.
#[async_trait]
pub trait Operators: Send + Sync {
    /// Adds a credential, in one commit with its journal row; the same again, by id and hash,
    /// changes nothing.
    ///
    /// # Errors
    /// [`CredentialRefusal::NameTaken`] where another that is live when this one is made has its
    /// name; nothing was written.
    async fn admin_token_add(&self, token: AdminToken, event: Event)
    -> Result<(), CredentialError>;

    /// The credential with this keyed hash, whatever became of it.
    async fn admin_token_find(&self, mac: &TokenMac) -> Result<Option<AdminToken>, StoreError>;

    /// The credential with this id, whatever became of it.
    async fn admin_token_show(&self, id: &str) -> Result<Option<AdminToken>, StoreError>;

    /// Credentials in order of their id, whatever became of them.
    async fn admin_token_page(&self, page: &PageRequest) -> Result<Page<AdminToken>, StoreError>;

    /// Revokes the credential at `at`, in one commit with its journal row; one that is revoked
    /// stays as it is, and has no second row.
    ///
    /// # Errors
    /// [`CredentialRefusal::LastOwner`] where it is the only one of an owner that is live at `at`,
    /// [`CredentialRefusal::Unknown`] where there is none; nothing was written.
    async fn admin_token_revoke(
        &self,
        id: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<(), CredentialError>;
}

/// Why a credential was not written as asked; nothing was.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CredentialRefusal {
    /// Nobody could make or revoke an owner's credential afterwards.
    #[error("it is the last live credential of an owner")]
    LastOwner,
    /// A live credential has the name.
    #[error("a live credential has the name")]
    NameTaken,
    /// There is none with this id.
    #[error("there is no such credential")]
    Unknown,
}

/// Why a credential was not written.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// A condition does not hold.
    #[error(transparent)]
    Refused(#[from] CredentialRefusal),
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
}
