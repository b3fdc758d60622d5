//! The nouns, rules and use cases of CVM, and the ports they need from outside.
//!
//! Core does no I/O: it has no clock, no randomness, no network and no files of its own.
//! It derives `Serialize` for the *stored form* of a record only, never for the wire.
//! Read in this order: [`id`], [`time`], [`token`], [`certificate`], [`device`], [`decision`],
//! [`ports`], [`provisioning`], [`registry`].

pub mod attempt;
pub mod certificate;
pub mod decision;
pub mod device;
pub mod error;
pub mod id;
pub mod iot_platform;
pub mod journal;
pub mod key;
pub mod limit;
pub mod nonce;
pub mod operator;
pub mod page;
pub mod policy;
pub mod ports;
pub mod profile;
pub mod provisioning;
pub mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod token;
