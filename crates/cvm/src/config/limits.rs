//! `[limits]`: what peers may cost. `docs/LIMITS.md` says of each what it bounds and what a peer sees
//! past it, and is held to this list by a test.

use std::ops::RangeInclusive;

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
    /// What a listener's connections and requests may cost.
    pub(crate) door: cvm_api::Limits,
    /// Connections open at once for metrics.
    pub(crate) metrics_connections: usize,
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
            door: door(reader),
            metrics_connections: size(reader, "metrics_connections", 16, 1..=1_000),
        }
    }
}

fn door(reader: &mut Reader) -> cvm_api::Limits {
    let (connections_max, connections_per_address_max) = shared(reader, "connections");
    let (requests_max, requests_per_address_max) = shared(reader, "requests");
    cvm_api::Limits {
        connections_max,
        connections_per_address_max,
        requests_max,
        requests_per_address_max,
        handshake_seconds_max: seconds(reader, "handshake_seconds", 10, 600),
        client_chain_bytes_max: size(reader, "client_chain_bytes", 16_384, 1_024..=65_536),
        header_seconds_max: seconds(reader, "header_seconds", 10, 600),
        header_bytes_max: size(reader, "header_bytes", 16_384, 1_024..=65_536),
        headers_max: size(reader, "headers", 64, 16..=256),
        // The contract's ceiling, which clients count on; a vend with an RSA key takes 3 KiB.
        body_bytes_max: size(reader, "body_bytes", 65_536, 4_096..=65_536),
        request_seconds_max: seconds(reader, "request_seconds", 30, 600),
        idle_seconds_max: seconds(reader, "idle_seconds", 75, 3_600),
        streams_max: number(reader, "streams", 8, 1..=256),
        reset_streams_max: size(reader, "reset_streams", 20, 1..=1_000),
        drain_seconds_max: seconds(reader, "drain_seconds", 30, 600),
    }
}

/// `key`, and the part of it that one address may have: a quarter unless somebody says otherwise.
fn shared(reader: &mut Reader, key: &str) -> (usize, usize) {
    let in_all = size(reader, key, 1_024, 1..=1_000_000);
    let of_one = format!("{key}_per_address");
    let quarter = u32::try_from(in_all.div_ceil(4)).unwrap_or(u32::MAX);
    let per_address = size(reader, &of_one, quarter, 1..=1_000_000);
    if per_address > in_all {
        let what = format!(
            "one address cannot have {per_address}, which is more than [limits] {key} = {in_all} \
             has for everyone: lower it, or raise {key}"
        );
        reader.fault("limits", &of_one, what);
    }
    (in_all, per_address)
}

fn seconds(reader: &mut Reader, key: &str, default: u32, most: u32) -> u64 {
    u64::from(number(reader, key, default, 1..=most))
}

fn size(reader: &mut Reader, key: &str, default: u32, range: RangeInclusive<u32>) -> usize {
    usize::try_from(number(reader, key, default, range)).unwrap_or(usize::MAX)
}

fn number(reader: &mut Reader, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
    reader.number("limits", key, default, range).unwrap_or(default)
}

#[cfg(test)]
mod tests;
