//! Whether the certificates of a data directory belong together, and which names ours has: for
//! whoever looks after them, without a key and without a passphrase.

use std::net::IpAddr;
use std::path::Path;

use cvm_core::certificate::IssuerId;

use crate::ca::CaCertificate;
use crate::error::PkiError;
use crate::host::Host;
use crate::inventory::of_first;
use crate::pki::{DEVICES_FILE, JOURNAL_FILE, ROOT_FILE, SERVERS_FILE, read, verify_under};
use crate::server;

const SERVER: &str = "server/cert.pem";

/// Whether each certificate of the data directory was signed by the one that it should be.
///
/// # Errors
/// [`PkiError`] names the first file that does not fit.
pub fn chains_check(data_dir: &Path) -> Result<(), PkiError> {
    let roots = CaCertificate::read_pem_bundle(ROOT_FILE, &read(&data_dir.join(ROOT_FILE))?)?;
    for root in &roots {
        root.verify_signed_by(root, ROOT_FILE)?;
    }
    let ours = |name| CaCertificate::read_pem(name, &read(&data_dir.join(name))?);
    let servers = ours(SERVERS_FILE)?;
    verify_under(&roots, &servers, SERVERS_FILE)?;
    verify_under(&roots, &ours(JOURNAL_FILE)?, JOURNAL_FILE)?;
    let devices = ours(DEVICES_FILE)?;
    // An imported one stands under another root, or is one.
    if roots.iter().any(|root| root.name == devices.issuer) {
        verify_under(&roots, &devices, DEVICES_FILE)?;
    }
    let chain = read(&data_dir.join(server::certificate_file()))?;
    let chain = CaCertificate::read_pem_bundle(SERVER, &chain)?;
    let Some(leaf) = chain.first() else { return Ok(()) };
    leaf.verify_signed_by(&servers, SERVER)
        .map_err(|_| PkiError::certificate(SERVER, "it was not signed by vault/servers-ca.pem"))
}

/// By which name the CA that signs devices goes in the paths of its CRLs.
///
/// # Errors
/// [`PkiError`] where its certificate cannot be read.
pub fn devices_issuer(data_dir: &Path) -> Result<IssuerId, PkiError> {
    let text = read(&data_dir.join(DEVICES_FILE))?;
    Ok(CaCertificate::read_pem(DEVICES_FILE, &text)?.id)
}

/// The DNS names and addresses of the first certificate of a PEM file.
///
/// # Errors
/// [`PkiError`] where the file cannot be read or holds none.
pub fn server_names(path: &Path) -> Result<Vec<String>, PkiError> {
    let text = |host| match host {
        Host::Dns(name) => name,
        Host::Ip(address) => address.to_string(),
    };
    of_first(path, |parsed| server::names(parsed).into_iter().map(text).collect())
}

/// Whether a certificate with `names` is one for `host`: RFC 9525 §6.3, a wildcard being a whole
/// first label.
#[must_use]
pub fn host_is_named(names: &[String], host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return names.iter().any(|name| name.parse() == Ok(address));
    }
    let above = host.split_once('.').map(|(_, above)| above);
    names.iter().map(|name| name.to_ascii_lowercase()).any(|name| {
        name == host || name.strip_prefix("*.").is_some_and(|below| above == Some(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_by_its_name_its_address_or_a_wildcard_of_one_label() {
        let names = ["CVM.example", "*.iot.example", "192.0.2.1", "2001:db8::1"];
        let names = names.map(String::from);
        for host in ["cvm.example", "a.iot.EXAMPLE", "192.0.2.1", "[2001:db8:0::1]"] {
            assert!(host_is_named(&names, host), "{host}");
        }
        for host in ["iot.example", "b.a.iot.example", "cvm.example.com", "192.0.2.2", "localhost"]
        {
            assert!(!host_is_named(&names, host), "{host}");
        }
    }
}
