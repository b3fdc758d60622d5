//! One test PKI for the floor and the peers: root, issuing CA, server, all on P-256.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// The files of a test PKI.
pub(crate) struct TestPki {
    directory: PathBuf,
}

impl TestPki {
    /// A new one in `directory`, which exists.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let (root_key, ca_key, server_key) =
            (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
        let root = ca("Bench Root", 1);
        let root_pem = root.self_signed(&root_key)?.pem();
        let root = Issuer::new(root, root_key);
        let ca = ca("Bench Issuing CA", 0);
        let ca_pem = ca.signed_by(&ca_key, &root)?.pem();
        let ca = Issuer::new(ca, &ca_key);
        let server_pem = server()?.signed_by(&server_key, &ca)?.pem();
        let pki = Self { directory: directory.to_owned() };
        let write = |name: &str, text: &str| std::fs::write(pki.file(name), text);
        write("root.crt", &root_pem)?;
        write("ca.crt", &ca_pem)?;
        write("ca.key", &ca_key.serialize_pem())?;
        write("server.crt", &format!("{server_pem}{ca_pem}"))?;
        write("server.key", &server_key.serialize_pem())?;
        Ok(pki)
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn ca(name: &str, path_length: u8) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server() -> Result<CertificateParams> {
    let mut params = named("localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    params.subject_alt_names =
        vec![SanType::DnsName("localhost".try_into()?), SanType::IpAddress(address)];
    Ok(params)
}
