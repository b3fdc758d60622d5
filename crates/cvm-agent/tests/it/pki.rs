//! A root, a CA for servers, a CA for devices, and what they sign.

use cvm_agent::fingerprint::Fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows of itself.
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// One PKI.
pub(crate) struct Pki {
    pub(crate) root: rcgen::Certificate,
    pub(crate) devices: rcgen::Certificate,
    servers: rcgen::Certificate,
    devices_issuer: Issuer<'static, KeyPair>,
    servers_issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new(name: &str) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let root_params = ca(&format!("{name} root"));
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let under_root = |common_name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = ca(common_name);
            let certificate = params.signed_by(&key, &root_issuer).unwrap();
            (certificate, Issuer::new(params, key))
        };
        let (devices, devices_issuer) = under_root(&format!("{name} devices"));
        let (servers, servers_issuer) = under_root(&format!("{name} servers"));
        Self { root, devices, servers, devices_issuer, servers_issuer }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.root.der())
    }

    pub(crate) fn server(&self, name: &str) -> ServerIdentity {
        self.server_until(name, 2040)
    }

    pub(crate) fn server_until(&self, name: &str, year: i32) -> ServerIdentity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.servers_issuer).unwrap();
        ServerIdentity {
            chain: vec![leaf.der().clone(), self.servers.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }

    /// A device's certificate, for the key in a request; parsing verifies its signature.
    pub(crate) fn device(&self, csr: &str) -> rcgen::Certificate {
        let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        device_params().signed_by(&request.public_key, &self.devices_issuer).unwrap()
    }

    /// A device's certificate for a key that nobody asked with.
    pub(crate) fn stranger(&self) -> rcgen::Certificate {
        let key = KeyPair::generate().unwrap();
        device_params().signed_by(&key, &self.devices_issuer).unwrap()
    }
}

fn device_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "SN-0001");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 5, 1);
    params.not_after = date_time_ymd(2027, 5, 1);
    params
}

fn ca(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
