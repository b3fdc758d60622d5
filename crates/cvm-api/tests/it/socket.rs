//! Real listeners with real certificates, and clients that speak to them.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use cvm_api::{Api, Limits, ServerIdentity, Serving, Settings, serve_device, serve_operator};
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Ports;
use cvm_core::registry::EmbeddedPlatform;
use cvm_pki::{
    CreateOptions, DevicesCa, KeyPool, Pki, Protection, ServerOptions, SystemEntropy,
    VAULT_DIRECTORY, Vault,
};
use cvm_store::MemoryStore;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{ADMIN_TOKEN, NOW, Reply, fake_ports, provisioning};

/// A PKI that all tests share: what is tested here is not how it is made.
static PKI: LazyLock<TestPki> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let vault = Vault::create(&directory.path().join(VAULT_DIRECTORY), Protection::Unsealed);
    let vault = vault.unwrap();
    let hostnames = [String::from("localhost"), String::from("127.0.0.1")];
    let server = ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 };
    let data_dir = directory.path();
    let options =
        CreateOptions { data_dir, server, devices: DevicesCa::Made, root_key_out: None, now: NOW };
    Pki::create(&vault, &options).unwrap();
    let pki = Pki::load(directory.path(), &vault, "http://crl.example").unwrap();
    let rsa = ServerOptions { algorithm: KeyAlgorithm::Rsa2048, ..server };
    let first = pki.server_certificate_renew(&server, NOW).unwrap().0;
    let second = pki.server_certificate_renew(&rsa, NOW).unwrap().0;
    let root = CertificateDer::from_pem_file(directory.path().join("root-ca.pem")).unwrap();
    TestPki { pki, root, first, second }
});

struct TestPki {
    pki: Pki,
    root: CertificateDer<'static>,
    first: cvm_pki::ServerIdentity,
    second: cvm_pki::ServerIdentity,
}

/// The identity that the listeners start with, on P-256.
pub(crate) fn first_identity() -> &'static cvm_pki::ServerIdentity {
    &PKI.first
}

/// Another one, on RSA.
pub(crate) fn second_identity() -> &'static cvm_pki::ServerIdentity {
    &PKI.second
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) device: Serving,
    pub(crate) operator: Serving,
    pub(crate) identity: Arc<ServerIdentity>,
    pub(crate) store: Arc<MemoryStore>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), |ports| ports).await
    }

    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::with(limits, |ports| ports).await
    }

    pub(crate) async fn with(limits: Limits, replace: impl FnOnce(Ports) -> Ports) -> Self {
        Self::settled(|settings| settings.limits = limits, replace).await
    }

    /// Listeners over the real issuer, secrets, keys and entropy, and the time of the fake clock.
    pub(crate) async fn settled(
        settle: impl FnOnce(&mut Settings),
        replace: impl FnOnce(Ports) -> Ports,
    ) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (ports, ..) = fake_ports(&store);
        let issuer = PKI.pki.issuer();
        let ports = replace(Ports {
            entropy: Arc::new(SystemEntropy),
            issuer: issuer.clone(),
            key_maker: Arc::new(KeyPool::new(1, 4).unwrap()),
            platform: Arc::new(EmbeddedPlatform::new(issuer, ports.store.clone())),
            secrets: PKI.pki.secrets(),
            ..ports
        });
        let mut settings = Settings::new(String::from("https://localhost:8443"));
        settle(&mut settings);
        let api = Api::new(provisioning(&ports).await, settings);
        let cvm_pki::ServerIdentity { chain, key, .. } = first_identity();
        let identity = Arc::new(ServerIdentity::new(chain.clone(), key).unwrap());
        let bind = || TcpListener::bind("127.0.0.1:0");
        let device = serve_device(bind().await.unwrap(), &identity, &api).unwrap();
        let operator = serve_operator(bind().await.unwrap(), &identity, &api).unwrap();
        Self { device, operator, identity, store }
    }

    pub(crate) fn device_addr(&self) -> SocketAddr {
        self.device.local_addr()
    }

    /// Registers a device for which the server makes keys, and vends its certificate.
    pub(crate) async fn enroll(&self, serial: &str) -> Identity {
        let token = self.register(serial).await;
        let body = serde_json::json!({"serialNumber": serial, "token": token});
        let vended = self.vend(&body).await;
        let pem = |name: &str| vended[name].as_str().unwrap().as_bytes().to_vec();
        Identity {
            chain: vec![
                CertificateDer::from_pem_slice(&pem("certificate")).unwrap(),
                CertificateDer::from_pem_slice(&pem("chain")).unwrap(),
            ],
            key: PrivateKeyDer::from_pem_slice(&pem("privateKey")).unwrap(),
        }
    }

    /// Registers a device, and vends the certificate (DER) of this request.
    pub(crate) async fn vend_for(&self, serial: &str, csr: &str) -> Vec<u8> {
        let token = self.register(serial).await;
        let body = serde_json::json!({"serialNumber": serial, "token": token, "csr": csr});
        let pem = self.vend(&body).await["certificate"].as_str().unwrap().as_bytes().to_vec();
        CertificateDer::from_pem_slice(&pem).unwrap().to_vec()
    }

    async fn register(&self, serial: &str) -> &'static str {
        let token = "a-token-that-the-test-brings";
        let body = serde_json::json!({"serialNumber": serial, "token": token, "profile": "open"});
        assert_eq!(self.operator_post("/v1/devices", &body.to_string()).await.status, 201);
        token
    }

    async fn vend(&self, body: &serde_json::Value) -> serde_json::Value {
        let mut client = Client::connect(self.device_addr(), Protocol::Http2, None).await;
        let reply = client.send(post("/v1/certificates", &body.to_string())).await.unwrap();
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    /// An operator's word that needs no body.
    pub(crate) async fn operate(&self, path: &str) {
        let reply = self.operator_post(path, "{}").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    async fn operator_post(&self, path: &str, body: &str) -> Reply {
        let mut client = Client::connect(self.operator.local_addr(), Protocol::Http1, None).await;
        let request = Request::post(path)
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_owned()))
            .unwrap();
        client.send(request).await.unwrap()
    }
}

/// A device's certificate and key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The roots that a client pins.
pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(PKI.root.clone()).unwrap();
    roots
}

/// A client's TLS, at the time of the tests.
pub(crate) fn client_config(protocol: Protocol, identity: Option<&Identity>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TestTime))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots());
    let mut config = match identity {
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    config
}

/// The clock of [`NOW`], at which the PKI was made.
#[derive(Debug)]
struct TestTime;

impl rustls::time_provider::TimeProvider for TestTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let since = std::time::Duration::from_secs(NOW.0.unsigned_abs());
        Some(rustls::pki_types::UnixTime::since_unix_epoch(since))
    }
}

pub(crate) async fn tls(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    tls_over(stream, config).await
}

pub(crate) async fn tls_over(
    stream: TcpStream,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// One connection.
pub(crate) struct Client {
    sender: Sender,
    /// Ends when the connection does.
    pub(crate) connection: tokio::task::JoinHandle<()>,
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        protocol: Protocol,
        identity: Option<&Identity>,
    ) -> Self {
        let stream = tls(address, client_config(protocol, identity)).await.unwrap();
        Self::over(stream, protocol).await
    }

    pub(crate) async fn over(stream: TlsStream<TcpStream>, protocol: Protocol) -> Self {
        let io = TokioIo::new(stream);
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                let connection = tokio::spawn(async move { drop(connection.await) });
                Self { sender: Sender::Http1(sender), connection }
            }
            Protocol::Http2 => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.unwrap();
                let connection = tokio::spawn(async move { drop(connection.await) });
                Self { sender: Sender::Http2(sender), connection }
            }
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> hyper::Result<Reply> {
        let (mut parts, body) = request.into_parts();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                parts.headers.insert("host", "localhost".parse().unwrap());
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, Full::new(body))).await?
            }
            Sender::Http2(sender) => {
                parts.uri = format!("https://localhost{}", parts.uri).parse().unwrap();
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, Full::new(body))).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

pub(crate) fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

pub(crate) fn post(path: &str, body: &str) -> Request<Bytes> {
    crate::harness::request("POST", path, body)
}
