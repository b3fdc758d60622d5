//! Burns tokens as it happens in the field: a device gets its certificate and confirms with it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::client::{Client, tls};
use crate::plan::{Connections, Groups};
use crate::request::{csr, http, vend};
use crate::servers::Server;

/// Vends to `devices` and confirms.
pub(super) async fn make(server: &Server, devices: std::ops::Range<u64>) -> Result<()> {
    let stranger = tls(&server.roots, Groups::X25519)?;
    let mut client = Client::new(server.address, stranger.clone(), 0);
    for device in devices {
        let pair = KeyPair::generate()?;
        let request =
            http("/v1/certificates", Connections::Kept, &vend(device, &csr(&pair, None)?));
        let answer = client.ask(&request).await?;
        ensure!(answer.status == 201, "vending answered {}", answer.status);
        let vended: Value = serde_json::from_slice(&answer.body()?)?;
        let text = |name: &str| vended.get(name).and_then(Value::as_str).context("no such member");
        let holder = holder(&stranger, &[text("certificate")?, text("chain")?], &pair)?;
        let confirm = http("/v1/certificates/confirm", Connections::New, &json!({}));
        let answer = Client::new(server.address, holder, 0).ask(&confirm).await?;
        ensure!(answer.status == 204, "confirming answered {}", answer.status);
    }
    Ok(())
}

/// The client's settings of a device that has a certificate.
fn holder(like: &ClientConfig, chain: &[&str], pair: &KeyPair) -> Result<Arc<ClientConfig>> {
    let pem = chain.concat();
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(anyhow::Error::msg)?;
    let signer = like.crypto_provider().key_provider.load_private_key(key)?;
    let certified = rustls::sign::CertifiedKey::new(chain, signer);
    let mut config = like.clone();
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Ok(Arc::new(config))
}
