//! Where a server is: `https`, a host, a port, and perhaps a path that its routes stand below, as
//! behind a gateway with stages.

use std::fmt;

use ureq::http::Uri;

use crate::error::Error;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `host` or `host:port`, an IPv6 address in brackets.
    authority: String,
    /// Empty, or what stands before each route's path, as `/prod`.
    base: String,
}

impl Address {
    /// Reads `https://host:port/base`; the scheme and a slash at the end may be left out.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let usage = |why: &str| {
            // Not the text itself: somebody may have put a password into it.
            Err(Error::Usage(format!(
                "the server's address {why}; it is written https://host:port"
            )))
        };
        let authority = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => rest,
            Some(_) => return usage("does not start with https://"),
            None => text,
        };
        if authority.contains('@') {
            return usage("has a user name in it");
        }
        if authority.contains(['?', '#']) {
            return usage("has a query in it");
        }
        let (authority, base) = authority.split_once('/').unwrap_or((authority, ""));
        let base = base.strip_suffix('/').unwrap_or(base);
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        if !base.split('/').skip(1).all(is_plain_segment) {
            return usage("has a path that is not plain");
        }
        let Ok(uri) = format!("https://{authority}/").parse::<Uri>() else {
            return usage("cannot be read");
        };
        let Some(parsed) = uri.authority().filter(|found| !found.host().is_empty()) else {
            return usage("has no host");
        };
        let port_is_bad = match parsed.as_str().strip_prefix(parsed.host()) {
            None | Some("") => false,
            Some(_) => parsed.port_u16().is_none_or(|port| port == 0),
        };
        if port_is_bad {
            return usage("has no port that is one");
        }
        Ok(Self { authority: parsed.as_str().to_ascii_lowercase(), base })
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// As the server names what it is reached by (RFC 3986, section 6.2.3: no default port).
    pub(super) fn public_url(&self, path: &str) -> String {
        let authority = self.authority.strip_suffix(":443").unwrap_or(&self.authority);
        format!("https://{authority}{}{path}", self.base)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.base)
    }
}

/// Whether nobody on the way reads a segment of a path differently (RFC 3986, sections 2.3 and 5.2.4).
fn is_plain_segment(segment: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~$".contains(&byte);
    !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain)
}

/// A serial number, name or id as one segment of a path: everything but letters, digits, `-`, `.`,
/// `_` and `~` percent-encoded, and a segment of dots alone too (RFC 3986, section 5.2.4).
#[must_use]
pub fn encode_segment(text: &str) -> String {
    let is_dots = text == "." || text == "..";
    encode(text, is_dots)
}

pub(super) fn encode(text: &str, and_dots: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        // RFC 3986, section 2.3.
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved && !(and_dots && byte == b'.') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_maybe_a_port_and_a_path() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected);
        };
        check("https://cvm.example:8443", "https://cvm.example:8443");
        check("HTTPS://CVM.example/", "https://cvm.example");
        check("127.0.0.1:8443", "https://127.0.0.1:8443");
        check("https://[::1]:8443", "https://[::1]:8443");
        check("https://Gateway.example/Prod/", "https://gateway.example/Prod");
        check("gateway.example/a/b", "https://gateway.example/a/b");
        assert_eq!(Address::parse("g/prod").unwrap().url("/v1/x"), "https://g/prod/v1/x");
    }

    #[test]
    fn what_is_signed_names_no_default_port() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Address::parse(text).unwrap().public_url("/v1/x"), expected);
        };
        check("https://CVM.example:443", "https://cvm.example/v1/x");
        check("https://cvm.example:8443/", "https://cvm.example:8443/v1/x");
        check("[::1]:443", "https://[::1]/v1/x");
        check("https://cvm.example", "https://cvm.example/v1/x");
        check("https://cvm.example:443/prod/", "https://cvm.example/prod/v1/x");
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        for text in [
            "",
            "https://",
            "http://cvm:80",
            "https://me:hunter2@cvm",
            "https://cvm//x",
            "https://cvm/a/../b",
            "https://cvm/a%2Fb",
            "https://cvm/a b",
            "https://cvm?x",
            "https://cvm:0",
            "https://cvm:99999",
            "https://c vm",
        ] {
            let fault = Address::parse(text).unwrap_err();
            assert_eq!(fault.exit_code(), 2, "{text}");
            assert!(!fault.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(encode_segment("SN-0001_a.b~"), "SN-0001_a.b~");
        assert_eq!(encode_segment("a/b:c+d"), "a%2Fb%3Ac%2Bd");
        assert_eq!(encode_segment(".."), "%2E%2E");
        assert_eq!(encode_segment("ä"), "%C3%A4");
    }
}
