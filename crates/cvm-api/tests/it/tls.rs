//! TLS as clients of all ages meet it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, SignatureScheme};
use tokio_rustls::client::TlsStream;

use crate::socket::{
    Client, Identity, Protocol, Server, client_config, first_identity, get, post, roots,
    second_identity, tls,
};

#[tokio::test]
async fn a_device_vends_and_confirms_over_both_protocols() {
    let server = Server::start().await;
    for (serial, protocol) in [("SN-1", Protocol::Http1), ("SN-2", Protocol::Http2)] {
        let identity = server.enroll(serial).await;
        let mut client = Client::connect(server.device_addr(), protocol, Some(&identity)).await;
        for _ in 0..2 {
            let confirmed = client.send(post("/v1/certificates/confirm", "")).await.unwrap();
            assert_eq!(confirmed.status, 204, "{}", confirmed.text());
            assert!(!confirmed.headers.contains_key("content-length"));
        }
    }
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_nothing_else_is_spoken() {
    let server = Server::start().await;
    let alpn = |stream: &TlsStream<_>| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let with = |protocols: &[&[u8]]| {
        let mut config = client_config(Protocol::Http1, None);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        tls(server.device_addr(), config)
    };
    let both = with(&[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(alpn(&both).as_deref(), Some(&b"h2"[..]));
    assert!(with(&[b"x-amzn-mqtt-ca"]).await.is_err());
    let none = with(&[]).await.unwrap();
    assert_eq!(alpn(&none), None);
    let mut client = Client::over(none, Protocol::Http1).await;
    assert_eq!(client.send(get("/healthz")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_post_quantum_key_agreement_is_used_where_the_client_can() {
    let server = Server::start().await;
    let group = async |groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>| {
        let provider =
            rustls::crypto::CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
        let mut config = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Now))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tls(server.device_addr(), config).await.unwrap();
        stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()
    };
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    assert_eq!(group(vec![X25519MLKEM768, X25519]).await, NamedGroup::X25519MLKEM768);
    assert_eq!(group(vec![X25519, SECP256R1]).await, NamedGroup::X25519);
    assert_eq!(group(vec![SECP256R1]).await, NamedGroup::secp256r1);
    assert_eq!(group(vec![SECP384R1]).await, NamedGroup::secp384r1);
}

/// The tests' clock.
#[derive(Debug)]
struct Now;

impl rustls::time_provider::TimeProvider for Now {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let since = std::time::Duration::from_secs(crate::harness::NOW.0.unsigned_abs());
        Some(rustls::pki_types::UnixTime::since_unix_epoch(since))
    }
}

#[tokio::test]
async fn the_servers_certificate_is_replaced_without_a_restart() {
    let server = Server::start().await;
    let leaf = async || {
        let config = client_config(Protocol::Http2, None);
        let stream = tls(server.device_addr(), config).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut before = Client::connect(server.device_addr(), Protocol::Http1, None).await;
    assert_eq!(leaf().await, first_identity().chain[0]);
    let cvm_pki::ServerIdentity { chain, key, .. } = second_identity();
    server.identity.replace(chain.clone(), key).unwrap();
    assert_eq!(leaf().await, chain[0]);
    assert_eq!(before.send(get("/healthz")).await.unwrap().status, 200);
    // A key that is another's changes nothing.
    assert!(server.identity.replace(chain.clone(), &first_identity().key).is_err());
    assert!(server.identity.replace(Vec::new(), key).is_err());
    assert_eq!(leaf().await, chain[0]);
}

/// Remembers what it was asked, and shows what it was given.
#[derive(Debug)]
struct Asked {
    show: Option<Arc<CertifiedKey>>,
    hints: Mutex<Vec<usize>>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.hints.lock().push(hints.len());
        self.show.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn asking(version: &'static rustls::SupportedProtocolVersion, asked: &Arc<Asked>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Now))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots())
        .with_client_cert_resolver(asked.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn devices_are_asked_for_a_certificate_of_any_ca_and_operators_for_none() {
    let server = Server::start().await;
    for version in VERSIONS {
        let asked = Arc::new(Asked { show: None, hints: Mutex::default() });
        let stream = tls(server.device_addr(), asking(version, &asked)).await.unwrap();
        let mut client = Client::over(stream, Protocol::Http1).await;
        let refused = client.send(post("/v1/certificates/confirm", "")).await.unwrap();
        assert_eq!(refused.problem(), (401, "certificate-required".into()));
        assert_eq!(*asked.hints.lock(), [0]);
        tls(server.operator.local_addr(), asking(version, &asked)).await.unwrap();
        assert_eq!(*asked.hints.lock(), [0]);
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let server = Server::start().await;
    let victim = server.enroll("victim").await;
    let thief = server.enroll("thief").await;
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(thief.key.clone_key());
    let show = Some(Arc::new(CertifiedKey::new(victim.chain.clone(), key.unwrap())));
    for version in VERSIONS {
        let asked = Arc::new(Asked { show: show.clone(), hints: Mutex::default() });
        // In TLS 1.3 the client learns of it only when it reads.
        if let Ok(stream) = tls(server.device_addr(), asking(version, &asked)).await {
            let mut client = Client::over(stream, Protocol::Http1).await;
            assert!(client.send(get("/healthz")).await.is_err());
        }
        assert_eq!(*asked.hints.lock(), [0]);
    }
}

#[tokio::test]
async fn an_identity_survives_resumption_and_is_looked_up_again() {
    let server = Server::start().await;
    for (serial, version) in ["SN-2", "SN-3"].into_iter().zip(VERSIONS) {
        let Identity { chain, key } = server.enroll(serial).await;
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
        let show = Some(Arc::new(CertifiedKey::new(chain, key)));
        let asked = Arc::new(Asked { show, hints: Mutex::default() });
        let config = asking(version, &asked);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = tls(server.device_addr(), config.clone()).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            let mut client = Client::over(stream, Protocol::Http1).await;
            let confirmed = client.send(post("/v1/certificates/confirm", "")).await.unwrap();
            assert_eq!(confirmed.status, 204, "{}", confirmed.text());
        }
        let serial = serial.parse().unwrap();
        use cvm_core::ports::Store as _;
        let mut device = server.store.device_find(&serial).await.unwrap().unwrap();
        device.disabled = true;
        let change = cvm_core::ports::Change::new(device, Vec::new(), Vec::new());
        server.store.device_commit(change).await.unwrap();
        let stream = tls(server.device_addr(), config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        let mut client = Client::over(stream, Protocol::Http1).await;
        let refused = client.send(post("/v1/certificates/confirm", "")).await.unwrap();
        assert_eq!(refused.problem(), (403, "certificate-inactive".into()));
    }
}

/// What `openssl` says, with `input` on its standard input.
async fn openssl(arguments: &str, directory: &Path, input: &str) -> (bool, String) {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let (directory, input) = (directory.to_owned(), input.to_owned());
    let running = tokio::task::spawn_blocking(move || {
        let mut child = Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    });
    running.await.unwrap()
}

async fn handshake(address: SocketAddr, options: &str) -> bool {
    let arguments = format!("s_client -connect {address} {options}");
    openssl(&arguments, Path::new("."), "").await.0
}

#[tokio::test]
async fn openssl_is_let_in_from_tls_1_2_with_ecdhe_and_aead_on() {
    let server = Server::start().await;
    let weak = "-cipher ALL:@SECLEVEL=0";
    for address in [server.device_addr(), server.operator.local_addr()] {
        for (options, is_let_in) in [
            ("-tls1_3", true),
            ("-tls1_2", true),
            ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", true),
            ("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", true),
            ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", false),
            ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", false),
            ("-tls1_2 -cipher AES128-GCM-SHA256", false),
            (&format!("-tls1_1 {weak}"), false),
            (&format!("-tls1 {weak}"), false),
        ] {
            assert_eq!(handshake(address, options).await, is_let_in, "{options}");
        }
    }
}

#[tokio::test]
async fn odd_certificates_break_nothing_that_needs_none() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let make = async |arguments: &str| {
        let (is_made, said) = openssl(arguments, directory.path(), "").await;
        assert!(is_made, "{arguments}: {said}");
    };
    // Version 1, without extensions.
    make("req -newkey rsa:2048 -nodes -keyout v1.key -subj /CN=v1 -out v1.csr").await;
    make("x509 -req -in v1.csr -signkey v1.key -out v1.pem").await;
    let x509 = "req -x509 -nodes -subj /CN=odd";
    make(&format!("{x509} -newkey rsa:1024 -keyout small.key -out small.pem")).await;
    let critical = "-addext 1.2.3.4=critical,ASN1:NULL";
    let p256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
    make(&format!("{x509} {p256} {critical} -keyout critical.key -out critical.pem")).await;
    make("req -newkey rsa:2048 -nodes -keyout expired.key -subj /CN=old -out old.csr").await;
    make("x509 -req -in old.csr -signkey expired.key -days -1 -out expired.pem").await;
    make(&format!("{x509} -newkey ed25519 -keyout ed25519.key -out ed25519.pem")).await;
    let k256 = "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1";
    make(&format!("{x509} {k256} -keyout k256.key -out k256.pem")).await;

    let bundle = "GET /v1/trust-bundle HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let confirm = "POST /v1/certificates/confirm HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Length: 0\r\nConnection: close\r\n\r\n";
    for (name, slug) in [
        ("v1", "certificate-unknown"),
        ("critical", "certificate-unknown"),
        ("expired", "certificate-unknown"),
        ("ed25519", "certificate-unknown"),
        // Its signature cannot be verified here, so it is nobody's.
        ("small", "certificate-required"),
        ("k256", "certificate-required"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = format!(
                "s_client -quiet -connect {} -cert {name}.pem -key {name}.key {version} \
                 -cipher DEFAULT:@SECLEVEL=0",
                server.device_addr(),
            );
            let (_, said) = openssl(&arguments, directory.path(), bundle).await;
            assert!(said.contains("HTTP/1.1 200 OK"), "{name} {version}: {said}");
            let (_, said) = openssl(&arguments, directory.path(), confirm).await;
            assert!(said.contains(slug), "{name} {version}: {said}");
        }
    }
}

#[tokio::test]
async fn a_request_that_openssl_made_is_certified_and_a_weak_key_is_not() {
    let server = Server::start().await;
    let token = "a-token-that-the-test-brings";
    let mut operator = Client::connect(server.operator.local_addr(), Protocol::Http2, None).await;
    let directory = tempfile::tempdir().unwrap();
    for (serial, key, status) in [
        ("SN-1", "ec -pkeyopt ec_paramgen_curve:P-256", 201),
        ("SN-2", "rsa:2048", 201),
        ("SN-3", "rsa:1024", 400),
    ] {
        let body = serde_json::json!({"serialNumber": serial, "token": token}).to_string();
        let mut registration = post("/v1/devices", &body);
        let admin = format!("Bearer {}", crate::harness::ADMIN_TOKEN).parse().unwrap();
        registration.headers_mut().insert("authorization", admin);
        assert_eq!(operator.send(registration).await.unwrap().status, 201);
        let arguments =
            format!("req -new -newkey {key} -nodes -keyout {serial}.key -subj / -out {serial}.csr");
        let (is_made, said) = openssl(&arguments, directory.path(), "").await;
        assert!(is_made, "{said}");
        let csr = std::fs::read_to_string(directory.path().join(format!("{serial}.csr"))).unwrap();
        let body = crate::harness::vend_body(serial, token, &csr);
        let mut device = Client::connect(server.device_addr(), Protocol::Http1, None).await;
        let reply = device.send(post("/v1/certificates", &body)).await.unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 400 {
            assert_eq!(reply.problem(), (400, "weak-key".into()));
        }
    }
}
