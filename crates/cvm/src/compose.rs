//! The composition root: the only place that chooses implementations.

use std::path::Path;
use std::sync::Arc;

use cvm_core::error::chain_of;
use cvm_core::key::{KeyAlgorithm, PrivateKey};
use cvm_core::ports::{Entropy, KeyMaker, Platform, Ports};
use cvm_core::provisioning::Provisioning;
use cvm_core::registry::EmbeddedPlatform;
use cvm_core::time::Timestamp;
use cvm_pki::{KeyPool, Passphrase, Pki, ServerOptions, SystemEntropy, Vault, VaultError};
use cvm_store::Stores;

use crate::config::{Config, HostName, ServerKey};
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};
use crate::passphrase;
use crate::serve::clock::MarkedClock;
use crate::serve::metrics::{Counted, Metrics};
use crate::serve::notify::{self, Sending};

/// Private keys that wait to be made, at most; an RSA-2048 key takes 60 ms.
const KEYS_WAITING_MAX: usize = 64;

/// Everything that runs, put together.
pub(crate) struct Composed {
    pub(crate) provisioning: Arc<Provisioning>,
    pub(crate) pki: Arc<Pki>,
    pub(crate) clock: Arc<MarkedClock>,
    pub(crate) stores: Stores,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sending: Sending,
}

/// Opens the vault; asks for the passphrase where it is sealed and none was given.
pub(crate) fn open_vault(layout: &Layout, given: Option<&Passphrase>) -> Result<Vault, Failure> {
    let directory = layout.root.join(cvm_pki::VAULT_DIRECTORY);
    let failed = |error: &VaultError| {
        Failure::new(Exit::Failed, format!("opening the vault: {}", chain_of(error)))
    };
    match Vault::open(&directory, given) {
        Err(VaultError::PassphraseNeeded) => {
            let asked = passphrase::ask_for_sealed()?;
            Vault::open(&directory, Some(&asked)).map_err(|error| failed(&error))
        }
        opened => opened.map_err(|error| failed(&error)),
    }
}

/// Puts the server together. `crl_url` is what leaves name as the place of their CRL.
pub(crate) async fn compose(
    layout: &Layout,
    config: &Config,
    vault: &Vault,
    crl_url: &str,
) -> Result<Composed, Failure> {
    let failed = |what: &str, error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Failed, format!("{what}: {}", chain_of(error)))
    };
    let pki = Pki::load(&layout.root, vault, crl_url);
    let pki = Arc::new(pki.map_err(|error| failed("loading the CAs", &error))?);
    let stores = cvm_store::open(&config.store_url, &layout.root);
    let stores = stores.map_err(|error| failed("opening the store", &error))?;
    let mark = stores.store.mark_find().await;
    let mark = mark.map_err(|error| failed("reading the store", &error))?;
    let clock = Arc::new(MarkedClock::start(mark));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let key_maker = KeyPool::new(threads, KEYS_WAITING_MAX);
    let key_maker: Arc<dyn KeyMaker> =
        Arc::new(key_maker.map_err(|error| failed("starting the key makers", &error))?);
    let issuer = pki.issuer();
    let metrics = Arc::new(Metrics::new().map_err(|error| failed("making the metrics", &error))?);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let (notifier, sending) =
        notify::start(layout, &config.notify, &metrics, &(clock.clone() as _), &entropy)?;
    let platform: Arc<dyn Platform> =
        Arc::new(EmbeddedPlatform::new(issuer.clone(), stores.store.clone()));
    let ports = Ports {
        alarms: Arc::new(notifier),
        attempts: Arc::new(Counted::new(stores.attempts.clone(), &metrics)),
        catalogue: stores.catalogue.clone(),
        clock: clock.clone(),
        entropy,
        issuer,
        journal: Arc::new(Counted::new(stores.journal.clone(), &metrics)),
        key_maker: Arc::new(Counted::new(key_maker, &metrics)),
        operators: stores.operators.clone(),
        platform: Arc::new(Counted::new(platform, &metrics)),
        policies: stores.policies.clone(),
        revocations: Arc::new(Counted::new(stores.revocations.clone(), &metrics)),
        secrets: pki.secrets(),
        store: stores.store.clone(),
    };
    let budget = config.limits.issues_per_serial;
    let provisioning = Provisioning::new(ports, config.profiles.clone(), budget);
    let provisioning = Arc::new(provisioning);
    Ok(Composed { provisioning, pki, clock, stores, metrics, sending })
}

/// The names in the server's certificate: what the operator says, and this machine's own, so that
/// commands beside the data directory reach it whatever it is called from outside.
pub(crate) fn certificate_names(hostnames: &[String]) -> Vec<String> {
    let mut names = hostnames.to_vec();
    for own in ["localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|name| name == own) {
            names.push(own.to_owned());
        }
    }
    names
}

/// What our server certificate is to be like.
pub(crate) fn server_names(config: &Config) -> (Vec<String>, KeyAlgorithm) {
    let mut names: Vec<String> =
        config.http.hostnames.iter().map(|HostName(name)| name.clone()).collect();
    let listening = [config.http.listen.ip(), config.operator_listen.ip()];
    for address in listening.into_iter().filter(|address| !address.is_unspecified()) {
        if !names.contains(&address.to_string()) {
            names.push(address.to_string());
        }
    }
    let algorithm = match config.http.server_key {
        ServerKey::EcP256 => KeyAlgorithm::EcP256,
        ServerKey::Rsa2048 => KeyAlgorithm::Rsa2048,
    };
    (certificate_names(&names), algorithm)
}

/// The server's certificate and key as TLS wants them, re-issued first where that is due at `now`.
pub(crate) fn server_identity(
    pki: &Pki,
    config: &Config,
    now: Timestamp,
) -> Result<(Vec<Vec<u8>>, PrivateKey, bool), Failure> {
    let (hostnames, algorithm) = server_names(config);
    let options = ServerOptions { hostnames: &hostnames, algorithm };
    let (identity, renewed) = pki.server_certificate_renew(&options, now).map_err(|error| {
        Failure::new(Exit::Failed, format!("the server's certificate: {}", chain_of(&error)))
    })?;
    Ok((identity.chain, identity.key, renewed == cvm_pki::Renewed::Reissued))
}

/// The path of a file that the configuration names, from the data directory.
pub(crate) fn named_file(layout: &Layout, name: &str) -> std::path::PathBuf {
    layout.root.join(Path::new(name))
}
