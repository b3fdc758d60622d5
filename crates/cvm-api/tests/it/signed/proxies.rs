//! Proxies that end TLS: what they tell counts where they are trusted, and nowhere else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cvm_api::Settings;
use cvm_core::testing::TestClock;
use http::Request;

use super::{CONFIRM, Site};
use crate::harness::NOW;
use crate::socket::{Client, Identity, Protocol, Server, post};

async fn behind(trusted: &str) -> (Site, Identity) {
    let trusted = trusted.parse().unwrap();
    let settle = |settings: &mut Settings| settings.trusted_proxies = vec![trusted];
    let server = Server::settled(settle, |ports| ports).await;
    let site = Site::over(server, Arc::new(TestClock::at(NOW))).await;
    let device = site.server.enroll("SN-1").await;
    (site, device)
}

fn confirm(fields: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = post(CONFIRM, "");
    for (name, value) in fields {
        let name = http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn client_cert(identity: &Identity) -> String {
    format!(":{}:", STANDARD.encode(&identity.chain[0]))
}

#[tokio::test]
async fn the_certificate_that_a_trusted_proxy_has_seen_proven_is_the_devices() {
    let (mut site, device) = behind("127.0.0.1").await;
    let shown = client_cert(&device);
    let reply = site.client.send(confirm(&[("client-cert", &shown)])).await.unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    let reply = site.client.send(confirm(&[])).await.unwrap();
    assert_eq!(reply.problem(), (401, "certificate-required".into()));
    for bad in [":AAAA:", "nonsense"] {
        let reply = site.client.send(confirm(&[("client-cert", bad)])).await.unwrap();
        assert!([401, 403].contains(&reply.status.as_u16()), "{bad}");
    }
}

#[tokio::test]
async fn from_anybody_else_it_is_nothing() {
    let (mut site, device) = behind("192.0.2.0/24").await;
    let shown = client_cert(&device);
    let reply = site.client.send(confirm(&[("client-cert", &shown)])).await.unwrap();
    assert_eq!(reply.problem(), (401, "certificate-required".into()));
}

#[tokio::test]
async fn a_proxys_own_certificate_is_nobodys() {
    let (mut site, device) = behind("127.0.0.1").await;
    let proxy = site.server.enroll("proxy").await;
    site.client = Client::connect(site.server.device_addr(), Protocol::Http1, Some(&proxy)).await;
    let reply = site.client.send(confirm(&[])).await.unwrap();
    assert_eq!(reply.problem(), (401, "certificate-required".into()));
    let shown = client_cert(&device);
    let reply = site.client.send(confirm(&[("client-cert", &shown)])).await.unwrap();
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn refusals_count_against_who_is_behind_a_trusted_proxy_and_not_against_it() {
    let (mut site, device) = behind("127.0.0.1").await;
    let shown = client_cert(&device);
    let from = |address: &str, certificate: &str| {
        confirm(&[("x-forwarded-for", address), ("client-cert", certificate)])
    };
    for _ in 0..60 {
        let refused = from("198.51.100.1, 192.0.2.7", ":AAAA:");
        assert_eq!(site.client.send(refused).await.unwrap().status, 403);
    }
    for (address, status) in [("192.0.2.7", 429), ("192.0.2.8", 204), ("192.0.2.7, 127.0.0.1", 429)]
    {
        let reply = site.client.send(from(address, &shown)).await.unwrap();
        assert_eq!(reply.status, status, "{address}");
    }
    // A client cannot take another's place: it stands left of what the proxy adds.
    let reply = site.client.send(from("192.0.2.7, 192.0.2.9", &shown)).await.unwrap();
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn two_fields_that_tell_two_addresses_are_refused() {
    let (mut site, _) = behind("127.0.0.1").await;
    let both = [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "192.0.2.7")];
    let reply = site.client.send(confirm(&both)).await.unwrap();
    assert_eq!(reply.problem(), (400, "invalid-request".into()));
}
