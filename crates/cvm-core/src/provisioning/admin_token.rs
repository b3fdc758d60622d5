//! Admin tokens: operators make and revoke the credentials of operators.

use thiserror::Error;

use super::Provisioning;
use crate::error::chain_of;
use crate::id::Name;
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::{Actor, AdminToken, Operator, Role, RoleRequired};
use crate::ports::{CredentialError, CredentialRefusal, StoreError};
use crate::time::Timestamp;
use crate::token::Token;

/// An admin token to be made.
#[derive(Clone, Debug)]
pub struct NewAdminToken {
    /// What people call it.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The last second of its life; `None` where time does not end it.
    pub expires_at: Option<Timestamp>,
}

/// Why an admin token is not made or revoked.
#[derive(Debug, Error)]
pub enum AdminTokenRefusal {
    /// A live token has the name.
    #[error("a live admin token has this name: choose another name, or revoke that token first")]
    AlreadyExists,
    /// It would be over before it began.
    #[error("expires: this time is past: choose one that is to come, or none")]
    Expired,
    /// Nobody could handle owners' tokens afterwards.
    #[error("this is the last live admin token of an owner: make another owner's token first")]
    LastOwner,
    /// The role of whoever asks does not reach so far.
    #[error(transparent)]
    RoleRequired(#[from] RoleRequired),
    /// The store cannot now; the text is for the log.
    #[error("the server cannot answer now; the same request succeeds later")]
    Unavailable(String),
    /// There is no token with this id.
    #[error("there is no admin token with this id")]
    Unknown,
}

impl Provisioning {
    /// Makes an admin token, and returns it with its secret, which is not to be had again.
    ///
    /// # Errors
    /// [`AdminTokenRefusal`]; with any but `Unavailable` nothing was written.
    pub async fn admin_token_create(
        &self,
        new: NewAdminToken,
        operator: &Operator,
    ) -> Result<(AdminToken, Token), AdminTokenRefusal> {
        operator.require(new.role.handled_with())?;
        let now = self.ports.clock.read().now;
        if new.expires_at.is_some_and(|expires| expires <= now) {
            return Err(AdminTokenRefusal::Expired);
        }
        let secret = Token::generate(&*self.ports.entropy);
        let token = AdminToken {
            id: AdminToken::new_id(&new.name, &*self.ports.entropy),
            name: new.name,
            role: new.role,
            mac: self.ports.secrets.admin_token_mac(&secret),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let event = created_event(&token, operator.actor());
        self.ports.operators.admin_token_add(token.clone(), event).await?;
        Ok((token, secret))
    }

    /// Revokes the admin token with this id, from now on, and returns it; one that is revoked
    /// already stays as it is.
    ///
    /// # Errors
    /// [`AdminTokenRefusal`]; with any but `Unavailable` nothing was written.
    pub async fn admin_token_revoke(
        &self,
        id: &str,
        operator: &Operator,
    ) -> Result<AdminToken, AdminTokenRefusal> {
        let operators = &self.ports.operators;
        let found = operators.admin_token_show(id).await?.ok_or(AdminTokenRefusal::Unknown)?;
        operator.require(found.role.handled_with())?;
        let now = self.ports.clock.read().now;
        let event = revoked_event(&found, now, operator.actor());
        operators.admin_token_revoke(id, now, event).await?;
        operators.admin_token_show(id).await?.ok_or(AdminTokenRefusal::Unknown)
    }
}

/// The journal row of an admin token that is made.
#[must_use]
pub fn created_event(token: &AdminToken, actor: Actor) -> Event {
    let end = token.expires_at.map_or_else(|| String::from("never"), |at| at.to_string());
    let detail = format!("{}, expires {end}", told(token));
    event(EventKind::AdminTokenCreated, token.created_at, actor, detail)
}

fn revoked_event(token: &AdminToken, now: Timestamp, actor: Actor) -> Event {
    event(EventKind::AdminTokenRevoked, now, actor, told(token))
}

fn told(token: &AdminToken) -> String {
    format!("admin token {} ({}), role {}", token.id, token.name, token.role)
}

fn event(kind: EventKind, at: Timestamp, actor: Actor, detail: String) -> Event {
    Event {
        at,
        class: EventClass::Change,
        kind,
        serial_number: None,
        certificate: None,
        attempt: None,
        actor,
        detail,
    }
}

impl From<CredentialError> for AdminTokenRefusal {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Refused(CredentialRefusal::LastOwner) => Self::LastOwner,
            CredentialError::Refused(CredentialRefusal::NameTaken) => Self::AlreadyExists,
            CredentialError::Refused(CredentialRefusal::Unknown) => Self::Unknown,
            CredentialError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for AdminTokenRefusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(chain_of(&error))
    }
}
