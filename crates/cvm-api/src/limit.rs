//! Limits: what one connection and one request may cost, and how often an address may be refused.
//!
//! Everybody behind one address shares its refusals (protocol, section 10): successes never count,
//! and `trusted_networks` is the cure for a factory behind one address.

mod occupancy;

use std::net::IpAddr;
use std::str::FromStr;

use cvm_core::limit::{Rate, RateLimit, host_of};
use cvm_core::time::{Span, Timestamp};
use parking_lot::Mutex;
use thiserror::Error;

pub(crate) use occupancy::{Crowded, Guest, Occupancy, OpenConnection, Place, RequestsMax};

/// How many addresses that were refused lately are remembered: 65,536 at some 40 bytes.
const ADDRESSES_MAX: usize = 65_536;

/// What one listener, connection and request may cost, `[limits]` of the configuration for the most
/// part. Sizes are bytes, times are seconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, handshakes included; more wait in the kernel's backlog.
    pub connections_max: usize,
    /// Of these, at once from one address that is not trusted, so that one cannot take them all.
    pub connections_per_address_max: usize,
    /// Requests in work at once, from the end of the header until the answer has left and the use
    /// case has ended; those beyond it are refused and not kept, because a queue would only hold
    /// what its senders have given up.
    pub requests_max: usize,
    /// Of these, at once from one address that is not trusted.
    pub requests_per_address_max: usize,
    /// From accept to the end of the handshake.
    pub handshake_seconds_max: u64,
    /// A client's certificate and those it sends along; they are kept as long as the connection.
    pub client_chain_bytes_max: usize,
    /// From the handshake, or the first byte of a later request, to the end of its header.
    pub header_seconds_max: u64,
    /// A request's line and header fields. nginx and Apache have 8 KiB; tokens and a path fit.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// A request's body (contract, section 2).
    pub body_bytes_max: usize,
    /// From a request's header to the end of its body, and again from there to the answer. An
    /// answer that its reader does not take within twice that ends the connection.
    pub request_seconds_max: u64,
    /// An open connection without a request. Longer than the 60 s of common load balancers.
    pub idle_seconds_max: u64,
    /// HTTP/2 requests at once on one connection; each may hold a body of `body_bytes_max`.
    pub streams_max: u32,
    /// HTTP/2 streams that the peer reset and nobody has looked at yet (CVE-2023-44487).
    pub reset_streams_max: usize,
    /// From the word to stop to the end of the last request.
    pub drain_seconds_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            requests_max: 1_024,
            requests_per_address_max: 256,
            handshake_seconds_max: 10,
            client_chain_bytes_max: 16 * 1_024,
            header_seconds_max: 10,
            header_bytes_max: 16 * 1_024,
            headers_max: 64,
            body_bytes_max: 64 * 1_024,
            request_seconds_max: 30,
            idle_seconds_max: 75,
            streams_max: 8,
            reset_streams_max: 20,
            drain_seconds_max: 30,
        }
    }
}

/// Refusals per address.
pub(crate) struct AddressLimit {
    refused: Mutex<RateLimit<IpAddr>>,
    trusted: Vec<Network>,
}

impl AddressLimit {
    pub(crate) fn new(rate: Rate, trusted: Vec<Network>) -> Self {
        Self { refused: Mutex::new(RateLimit::new(rate, ADDRESSES_MAX)), trusted }
    }

    /// How long everyone at this address has to wait; `None` where nobody has to.
    pub(crate) fn wait(&self, address: IpAddr, now: Timestamp) -> Option<Span> {
        self.refused.lock().wait(&host_of(address), now)
    }

    /// Whether the limits for one address do not hold for this one.
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Counts a refusal.
    pub(crate) fn count(&self, address: IpAddr, now: Timestamp) {
        if !self.is_trusted(address) {
            self.refused.lock().count(host_of(address), now);
        }
    }
}

/// A network such as `10.0.0.0/8` or `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u32,
}

/// Not a network.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "expected a network such as 10.0.0.0/8 or 2001:db8::/32 with zeros after its prefix, or one \
     address"
)]
pub struct NetworkError;

impl Network {
    /// Whether `address` is in the network; an IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is every address there is.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.prefix == 0
    }

    fn has_zeros_after_prefix(&self) -> bool {
        match self.base {
            IpAddr::V4(base) => base.to_bits().trailing_zeros() >= 32 - self.prefix,
            IpAddr::V6(base) => base.to_bits().trailing_zeros() >= 128 - self.prefix,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => width,
        };
        let network = Self { base, prefix };
        if prefix > width || !network.has_zeros_after_prefix() {
            return Err(NetworkError);
        }
        Ok(network)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests;
