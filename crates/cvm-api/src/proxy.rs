//! Who stands behind a proxy that ends TLS: the fields of proxies that the configuration trusts,
//! and of nobody else.
//!
//! `Forwarded` (RFC 7239) or `X-Forwarded-For` tell the address, read from the right as far as who
//! added an entry is trusted. `Client-Cert` (RFC 9440) tells the certificate whose key the proxy
//! has seen proven. A trusted proxy's own certificate is nobody's.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cvm_core::id::CertificateId;
use http::HeaderMap;

use crate::api::Peer;
use crate::limit::Network;
use crate::problem::Refused;

/// Who is behind `peer`, which is itself unless it is a trusted proxy.
///
/// Where both fields for the address are there and differ, one of them is the client's own, which
/// the proxy passed on: which, nobody knows.
pub(crate) fn peer_behind(
    trusted: &[Network],
    peer: Peer,
    fields: &HeaderMap,
) -> Result<Peer, Refused> {
    if !is_trusted(trusted, peer.address) {
        return Ok(peer);
    }
    let certificate = certificate(fields);
    let forwarded = texts(fields, "forwarded").map(|texts| forwarded_hops(&texts));
    let listed = texts(fields, "x-forwarded-for").map(|texts| listed_hops(&texts));
    let walk = |hops: Vec<Option<IpAddr>>| address_behind(trusted, peer.address, &hops);
    let address = match (forwarded.map(walk), listed.map(walk)) {
        (Some(one), Some(other)) if one != other => {
            let detail = "Forwarded and X-Forwarded-For tell two addresses: let the proxy remove \
                          the one that it does not set";
            return Err(Refused::invalid(detail));
        }
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer.address,
    };
    Ok(Peer { address, certificate })
}

pub(crate) fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// From the right: an entry is what the one behind it has seen. Where that has hidden it, or wrote
/// something else, its own address is the last that is known.
fn address_behind(trusted: &[Network], peer: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
    let mut address = peer;
    for hop in hops.iter().rev() {
        match hop {
            Some(hop) if is_trusted(trusted, address) => address = hop.to_canonical(),
            Some(_) | None => break,
        }
    }
    address
}

/// Every value of a field, in order; what is no text is nobody's address.
fn texts<'a>(fields: &'a HeaderMap, name: &str) -> Option<Vec<&'a str>> {
    let texts: Vec<_> =
        fields.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    (!texts.is_empty()).then_some(texts)
}

fn listed_hops(texts: &[&str]) -> Vec<Option<IpAddr>> {
    texts.iter().flat_map(|text| text.split(',')).map(|entry| node(entry.trim())).collect()
}

fn forwarded_hops(texts: &[&str]) -> Vec<Option<IpAddr>> {
    let hops = |text: &&str| match ends_quoted(text) {
        // Whoever began it may have left a quote open, to hide what a proxy wrote behind.
        true => vec![None],
        false => split_unquoted(text, ',').into_iter().map(forwarded_for).collect(),
    };
    texts.iter().flat_map(hops).collect()
}

/// RFC 7239, section 4: the `for` of one element, a token or a quoted string.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = split_unquoted(element, ';').into_iter().find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    // An address has nothing to escape.
    let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value);
    node(value)
}

/// RFC 7239, section 6, and what proxies write: an address, with or without a port, an IPv6 one in
/// brackets or not. `unknown` and `_hidden` are none.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    address.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()))
}

/// The parts of a text between separators that are not in a quoted string.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = quoting();
    text.split(move |character| !is_quoted(character) && character == separator).collect()
}

/// Whether a quoted string is not ended.
fn ends_quoted(text: &str) -> bool {
    text.chars().map(quoting()).fold(false, |_, is_quoted| is_quoted)
}

/// Tells of one character after the other whether a quoted string goes on behind it (RFC 9110, section
/// 5.6.4).
fn quoting() -> impl FnMut(char) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    move |character| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match character {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        is_quoted
    }
}

/// RFC 9440, section 2.2: one DER certificate as a byte sequence (RFC 8941, section 3.3.5).
fn certificate(fields: &HeaderMap) -> Option<CertificateId> {
    let mut values = fields.get_all("client-cert").iter();
    let text = values.next()?.to_str().ok()?;
    let encoded = text.trim().strip_prefix(':')?.strip_suffix(':')?;
    let der = STANDARD.decode(encoded).ok().filter(|der| !der.is_empty())?;
    if values.next().is_some() {
        return None;
    }
    digest(&SHA256, &der).as_ref().try_into().ok().map(CertificateId)
}

#[cfg(test)]
mod tests;
