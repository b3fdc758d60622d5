//! Operators: who may use the operator API, and what each of them may do.
//!
//! An operator is an [`AdminToken`]: a name, a [`Role`], and a life that ends by its time or by
//! revocation. What a role may do is said in [`Permission::roles`] and nowhere else.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::{Name, TokenMac, hex};
use crate::ports::Entropy;
use crate::time::Timestamp;

/// What kind of operator it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Does everything to devices, policies and reviews.
    Operator,
    /// Does everything.
    Owner,
    /// Registers devices, and gives new tokens to those that never obtained a certificate.
    Registrar,
    /// Revokes certificates, reads the journal, handles admin tokens.
    Security,
    /// Reads.
    Viewer,
}

/// An expected role that is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a role is one of viewer, registrar, operator, security, owner")]
pub struct RoleError;

impl Role {
    /// Every role, from the one that may least to the one that may all.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Registrar, Self::Operator, Self::Security, Self::Owner];

    /// The name, as it is typed, sent and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Registrar => "registrar",
            Self::Security => "security",
            Self::Viewer => "viewer",
        }
    }

    /// Whether this role has `permission`.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        permission.roles().contains(&self)
    }

    /// What is needed to make or revoke an admin token of this role: nobody handles those of a
    /// role above.
    #[must_use]
    pub fn handled_with(self) -> Permission {
        match self {
            Self::Owner => Permission::OwnerTokenManage,
            Self::Operator | Self::Registrar | Self::Security | Self::Viewer => {
                Permission::AdminTokenManage
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// Something that not every operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// List admin tokens; make and revoke those of every role but owner.
    AdminTokenManage,
    /// Revoke a certificate.
    CertificateRevoke,
    /// Say that the server's clock is right.
    ClockAccept,
    /// Disable, enable and delete a device.
    DeviceManage,
    /// Register a device.
    DeviceRegister,
    /// Read the journal.
    JournalRead,
    /// Make and revoke admin tokens of owners.
    OwnerTokenManage,
    /// Put a policy.
    PolicyPut,
    /// Read devices, certificates, policies, attempts, reviews and the clock.
    Read,
    /// Approve and deny reviews.
    ReviewDecide,
    /// Give a new token to any device.
    TokenRenew,
    /// Give a new token to a device that never obtained a certificate.
    TokenRenewUnissued,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 12] = [
        Self::AdminTokenManage,
        Self::CertificateRevoke,
        Self::ClockAccept,
        Self::DeviceManage,
        Self::DeviceRegister,
        Self::JournalRead,
        Self::OwnerTokenManage,
        Self::PolicyPut,
        Self::Read,
        Self::ReviewDecide,
        Self::TokenRenew,
        Self::TokenRenewUnissued,
    ];

    /// The roles that have it.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::AdminTokenManage | Self::CertificateRevoke | Self::JournalRead => {
                &[Role::Security, Role::Owner]
            }
            Self::ClockAccept | Self::OwnerTokenManage => &[Role::Owner],
            Self::DeviceManage | Self::PolicyPut | Self::ReviewDecide | Self::TokenRenew => {
                &[Role::Operator, Role::Owner]
            }
            Self::DeviceRegister | Self::TokenRenewUnissued => {
                &[Role::Registrar, Role::Operator, Role::Owner]
            }
            Self::Read => &Role::ALL,
        }
    }
}

/// An operator's credential; the token itself is stored nowhere, only its keyed hash.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// Short and public; stands in the journal as the actor.
    pub id: String,
    /// What people call it; no two live ones have the same.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The keyed hash by which it is found.
    pub mac: TokenMac,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last second of its life; `None` where time does not end it.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Where an admin token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminTokenState {
    /// Its time is over.
    Expired,
    /// It is let in.
    Live,
    /// Somebody ended it.
    Revoked,
}

impl AdminTokenState {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Live => "live",
            Self::Revoked => "revoked",
        }
    }
}

impl AdminToken {
    /// An id that no other token has, as far as 64 random bits go. It begins with the name, so
    /// that who reads the journal knows who acted.
    #[must_use]
    pub fn new_id(name: &Name, entropy: &dyn Entropy) -> String {
        let mut random = [0_u8; 8];
        entropy.fill(&mut random);
        format!("{name}-{}", hex(&random))
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> AdminTokenState {
        if self.revoked_at.is_some() {
            AdminTokenState::Revoked
        } else if self.expires_at.is_some_and(|expires| now > expires) {
            AdminTokenState::Expired
        } else {
            AdminTokenState::Live
        }
    }

    /// Whether it is let in at `now`.
    #[must_use]
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        self.state_at(now) == AdminTokenState::Live
    }
}

/// Who acts through the operator API, as it was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The id of the admin token.
    pub id: String,
    /// The role of the admin token.
    pub role: Role,
}

impl Operator {
    /// As the journal has it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Operator(self.id.clone())
    }

    /// That the role has `permission`.
    ///
    /// # Errors
    /// [`RoleRequired`] where it has not.
    pub fn require(&self, permission: Permission) -> Result<(), RoleRequired> {
        if self.role.may(permission) { Ok(()) } else { Err(RoleRequired(permission)) }
    }
}

/// The operator's role has not this permission; says which roles have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub struct RoleRequired(pub Permission);

impl fmt::Display for RoleRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.roles().iter().map(|role| role.as_str()).collect();
        write!(f, "this needs an admin token with the role {}", names.join(" or "))
    }
}

/// Who acts, for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A device, by the network address that it came from.
    Device(String),
    /// An operator, by the id of the admin token.
    Operator(String),
    /// The server itself.
    Server,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(address) => write!(f, "device {address}"),
            Self::Operator(id) => write!(f, "operator {id}"),
            Self::Server => f.write_str("server"),
        }
    }
}

#[cfg(test)]
mod tests;
