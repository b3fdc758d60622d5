//! Operators: who may use the operator API.

use crate::id::{Name, TokenMac};
use crate::time::Timestamp;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
}

/// An operator's credential; the token itself is stored nowhere, only its keyed hash.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// Short and public; stands in the journal as the actor.
    pub id: String,
    /// What the owner calls it.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The keyed hash by which it is found.
    pub mac: TokenMac,
    /// When it was made.
    pub created_at: Timestamp,
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

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(address) => write!(f, "device {address}"),
            Self::Operator(id) => write!(f, "operator {id}"),
            Self::Server => f.write_str("server"),
        }
    }
}
