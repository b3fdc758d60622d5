//! `[limits]`: what peers may cost.

use cvm_api::Network;
use cvm_core::limit::Rate;
use cvm_core::time::Span;

use super::Reader;

/// `[limits]`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Refusals per address before it has to wait.
    pub(crate) refusals_per_address: Rate,
    /// Requests with a valid credential per device before it has to wait.
    pub(crate) issues_per_serial: Rate,
    /// Addresses that never wait for others' refusals.
    pub(crate) trusted_networks: Vec<Network>,
    /// Connections open at once, per listener.
    pub(crate) connections: u32,
    /// Of these, at once from one address that is not trusted.
    pub(crate) connections_per_address: u32,
    /// Seconds for a TLS handshake.
    pub(crate) handshake_seconds: u32,
    /// Seconds for the head of a request.
    pub(crate) header_seconds: u32,
    /// Seconds for a whole request.
    pub(crate) request_seconds: u32,
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut rate = |key: &str, default: &str, count, per| {
            let fallback = Rate { count, per: Span(per) };
            reader.text("limits", key, default).unwrap_or(fallback)
        };
        Self {
            refusals_per_address: rate("refusals_per_address", "60/1m", 60, 60),
            issues_per_serial: rate("issues_per_serial", "10/1h", 10, 3_600),
            trusted_networks: reader.list("limits", "trusted_networks", &[]).unwrap_or_default(),
            connections: number(reader, "connections", 1_024, 1, 1_000_000),
            connections_per_address: number(reader, "connections_per_address", 256, 1, 1_000_000),
            handshake_seconds: number(reader, "handshake_seconds", 10, 1, 600),
            header_seconds: number(reader, "header_seconds", 10, 1, 600),
            request_seconds: number(reader, "request_seconds", 30, 1, 600),
        }
    }
}

fn number(reader: &mut Reader, key: &str, default: u32, least: u32, most: u32) -> u32 {
    reader.number("limits", key, default, least..=most).unwrap_or(default)
}
