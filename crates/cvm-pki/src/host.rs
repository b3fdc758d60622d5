//! Names by which our own listeners are reached: DNS names and IP addresses.

use std::net::IpAddr;

use crate::error::PkiError;

/// Whether a server certificate can have this name, for who reads it before there is one.
///
/// # Errors
/// [`PkiError::HostName`].
pub fn host_name_check(text: &str) -> Result<(), PkiError> {
    Host::read(text).map(drop)
}

/// A host name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Dns(String),
    Ip(IpAddr),
}

impl Host {
    /// Reads what an operator typed; an IPv6 address may stand in brackets.
    pub(crate) fn read(text: &str) -> Result<Self, PkiError> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        if is_dns_name(&name) {
            Ok(Self::Dns(name))
        } else {
            Err(PkiError::HostName(text.to_owned()))
        }
    }
}

/// RFC 5280 §4.2.1.6 and RFC 1034 §3.5 as RFC 1123 §2.1 has it: labels of letters, digits and
/// inner hyphens. No wildcard, no final dot; an all-digit last label would be an address.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_and_addresses_are_read() {
        for (text, expected) in [
            ("localhost", Host::Dns("localhost".to_owned())),
            ("CVM.Example.COM", Host::Dns("cvm.example.com".to_owned())),
            ("a-1.b2", Host::Dns("a-1.b2".to_owned())),
            ("127.0.0.1", Host::Ip([127, 0, 0, 1].into())),
            ("::1", Host::Ip("::1".parse().unwrap())),
            ("[::1]", Host::Ip("::1".parse().unwrap())),
        ] {
            assert_eq!(Host::read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(127) + "a";
        for text in [
            "",
            ".",
            "a.",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "*.a",
            "1.2.3",
            "a b",
            "ä",
            &long_label,
            &long_name,
        ] {
            assert!(Host::read(text).is_err(), "{text}");
        }
    }
}
