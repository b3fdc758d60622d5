//! The certificate of our own listeners: issued by the `servers` CA, renewed before a third of its
//! life is left, and kept with its key in `server/`.
//!
//! Each renewal makes a new key. Key and certificate are two files, the key replaced first: a crash
//! between leaves a pair that does not fit, which counts as due and is mended at the next look.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use cvm_core::key::{KeyAlgorithm, PrivateKey};
use cvm_core::time::{Span, Timestamp};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::ca::Authority;
use crate::ca_key::CaKey;
use crate::error::PkiError;
use crate::host::Host;
use crate::key::KeyKind;
use crate::lint::Profile;
use crate::pki::SERVER_DIRECTORY;
use crate::{files, pem, profile};

/// What the server certificate should be like.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions<'a> {
    /// Host names and addresses, the first one being the name in the subject.
    pub hostnames: &'a [String],
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
}

/// The server's certificate, what is sent with it, and its key.
pub struct ServerIdentity {
    /// The leaf and the `servers` CA, DER, as TLS sends them.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8.
    pub key: PrivateKey,
    /// The leaf's last second.
    pub not_after: Timestamp,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

pub(crate) fn hosts(names: &[String]) -> Result<Vec<Host>, PkiError> {
    if names.is_empty() {
        return Err(PkiError::HostName(String::new()));
    }
    names.iter().map(|name| Host::read(name)).collect()
}

/// Makes a key and a certificate for it.
pub(crate) fn issue(
    servers: &Authority,
    hosts: &[Host],
    algorithm: KeyAlgorithm,
    now: Timestamp,
) -> Result<ServerIdentity, PkiError> {
    let key = CaKey::generate(algorithm)?;
    let not_before = now.minus(Span::DAY).max(servers.certificate.not_before);
    let not_after = servers.cut(now.plus(profile::SERVER_LIFE));
    let params = profile::server(hosts, &profile::serial_number(), not_before, not_after)?;
    let leaf = servers.certify(params, &key.public(), Profile::Server)?;
    let chain = vec![leaf, servers.certificate.der.clone()];
    Ok(ServerIdentity { chain, key: key.to_pkcs8()?, not_after })
}

fn key_path(directory: &Path) -> PathBuf {
    directory.join("key.pem")
}

/// Where the certificate is, from the data directory.
pub(crate) fn certificate_file() -> PathBuf {
    certificate_path(Path::new(SERVER_DIRECTORY))
}

fn certificate_path(directory: &Path) -> PathBuf {
    directory.join("cert.pem")
}

/// Puts key and certificate in the place of what is there.
pub(crate) fn store(directory: &Path, identity: &ServerIdentity) -> Result<(), PkiError> {
    let failed =
        |operation, path: PathBuf| move |source| PkiError::File { operation, path, source };
    files::directory(directory).map_err(failed("making", directory.to_owned()))?;
    let path = key_path(directory);
    files::replace(&path, pem::private_key(&identity.key).as_bytes())
        .map_err(failed("writing", path))?;
    let path = certificate_path(directory);
    let chain: String = identity.chain.iter().map(|der| pem::certificate(der)).collect();
    files::replace(&path, chain.as_bytes()).map_err(failed("writing", path))
}

/// Reads what [`store`] wrote.
pub(crate) fn load(directory: &Path) -> Result<ServerIdentity, PkiError> {
    const NAME: &str = "the server certificate";
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map(Zeroizing::new).map_err(|source| PkiError::File {
            operation: "reading",
            path,
            source,
        })
    };
    let chain_pem = read(certificate_path(directory))?;
    let blocks = pem::all(&chain_pem).map_err(|problem| PkiError::certificate(NAME, problem))?;
    let chain: Vec<Vec<u8>> = blocks.into_iter().map(|(_, der)| der.to_vec()).collect();
    let key = CaKey::from_pem(&read(key_path(directory))?)?;
    let leaf = chain.first().ok_or_else(|| PkiError::certificate(NAME, "the file is empty"))?;
    let parsed = parse(leaf)?;
    if parsed.public_key().raw != key.public().spki() {
        return Err(PkiError::PrivateKey("it is not the key of the server certificate"));
    }
    let not_after = Timestamp(parsed.validity().not_after.timestamp());
    Ok(ServerIdentity { key: key.to_pkcs8()?, not_after, chain })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(PkiError::certificate("the server certificate", "it is not DER")),
    }
}

/// Whether another one should be issued: less than a third of the life is left and another one
/// would live longer, or it is for other names, of another kind of key, or of another CA.
pub(crate) fn is_due(
    identity: &ServerIdentity,
    servers: &Authority,
    hosts: &[Host],
    algorithm: KeyAlgorithm,
    now: Timestamp,
) -> bool {
    let [leaf, ca] = identity.chain.as_slice() else { return true };
    let Ok(parsed) = parse(leaf) else { return true };
    let is_ending = identity.not_after.since(now).0 < profile::SERVER_LIFE.0 / 3;
    // Near the end of the CA another one would end with it too.
    let would_last = servers.cut(now.plus(profile::SERVER_LIFE)) > identity.not_after;
    let kind = crate::key::split(parsed.public_key().raw).map(|(kind, _)| kind);
    let expected = match algorithm {
        KeyAlgorithm::EcP256 => KeyKind::P256,
        KeyAlgorithm::Rsa2048 => KeyKind::Rsa,
    };
    (is_ending && would_last)
        || kind != Ok(expected)
        || *ca != servers.certificate.der
        || names(&parsed) != hosts
}

pub(crate) fn names(certificate: &X509Certificate<'_>) -> Vec<Host> {
    let names = certificate.extensions().iter().find_map(|extension| {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            Some(&names.general_names)
        } else {
            None
        }
    });
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(Host::Dns((*name).to_owned())),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(|octets| Host::Ip(octets.into()))
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| Host::Ip(octets.into())))
            .ok(),
        // No other name is ever put in.
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    names.into_iter().flatten().filter_map(host).collect()
}

#[cfg(test)]
mod tests;
