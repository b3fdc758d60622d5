//! The composition root: the only place that chooses implementations.

#[cfg(feature = "aws")]
mod aws;

#[cfg(feature = "aws")]
pub(crate) use aws::{bucket_vault, table_stores};

use std::path::Path;
use std::sync::Arc;

use cvm_core::error::chain_of;
use cvm_core::key::{KeyAlgorithm, PrivateKey};
use cvm_core::ports::{Alarms, Entropy, Issuer, KeyMaker, Platform, Ports};
use cvm_core::provisioning::Provisioning;
use cvm_core::registry::EmbeddedPlatform;
use cvm_core::time::Timestamp;
use cvm_pki::{KeyPool, Passphrase, Pki, ServerOptions, SystemEntropy, Vault, VaultError};
use cvm_store::Stores;

use crate::config::{Config, HostName, PlatformPlace, ServerKey, StorePlace, VaultPlace};
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};
use crate::passphrase;
use crate::serve::clock::MarkedClock;
use crate::serve::metrics::{Counted, Metrics};
use crate::serve::notify::{self, Sending};

/// Private keys that wait to be made, at most; an RSA-2048 key takes 60 ms.
const KEYS_WAITING_MAX: usize = 64;

/// What every form of CVM is made of: a server with listeners, a function without.
pub(crate) struct Parts {
    pub(crate) pki: Arc<Pki>,
    pub(crate) clock: Arc<MarkedClock>,
    pub(crate) stores: Stores,
    pub(crate) outside: Outside,
    entropy: Arc<dyn Entropy>,
    key_maker: Arc<dyn KeyMaker>,
}

/// Who signs certificates, and to whose things they are bound.
pub(crate) struct Outside {
    issuer: Arc<dyn Issuer>,
    platform: Arc<dyn Platform>,
    /// Where devices find MQTT, if they do.
    pub(crate) mqtt_endpoint: Option<String>,
}

/// In which form CVM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is called for each request, one at a time.
    #[cfg(feature = "aws")]
    Function,
    /// It has listeners.
    Server,
}

/// A server with listeners, put together.
pub(crate) struct Composed {
    pub(crate) provisioning: Arc<Provisioning>,
    pub(crate) pki: Arc<Pki>,
    pub(crate) clock: Arc<MarkedClock>,
    pub(crate) stores: Stores,
    pub(crate) mqtt_endpoint: Option<String>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sending: Sending,
}

/// The open vault, and the account on AWS that it and others are reached by.
pub(crate) struct Opened {
    vault: Vault,
    #[cfg(feature = "aws")]
    home: aws::Home,
}

/// Opens the vault; asks for the passphrase where it is sealed and none was given.
pub(crate) async fn open_vault(
    layout: &Layout,
    config: &Config,
    given: Option<&Passphrase>,
) -> Result<Opened, Failure> {
    #[cfg(feature = "aws")]
    let home = aws::Home::load(config).await;
    let vault = match &config.vault {
        VaultPlace::File => {
            let directory = layout.root.join(cvm_pki::VAULT_DIRECTORY);
            unlock(|passphrase| Vault::open(&directory, passphrase), given)?
        }
        #[cfg(feature = "aws")]
        VaultPlace::S3(bucket) => {
            let bundle = home.vault(bucket).await?;
            unlock(|passphrase| Vault::open_in(bundle.clone(), passphrase), given)?
        }
    };
    Ok(Opened {
        vault,
        #[cfg(feature = "aws")]
        home,
    })
}

fn unlock(
    open: impl Fn(Option<&Passphrase>) -> Result<Vault, VaultError>,
    given: Option<&Passphrase>,
) -> Result<Vault, Failure> {
    let failed = |error: VaultError| failed("opening the vault", &error);
    match open(given) {
        Err(VaultError::PassphraseNeeded) => {
            let asked = passphrase::ask_for_sealed()?;
            open(Some(&asked)).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// Our CAs; the key of the one for devices may be kept elsewhere.
async fn load_pki(layout: &Layout, opened: &Opened, crl_url: &str) -> Result<Pki, Failure> {
    let loading = |error: cvm_pki::PkiError| failed("loading the CAs", &error);
    #[cfg(feature = "aws")]
    if let Some(reference) = Pki::devices_key_reference(&opened.vault).map_err(loading)? {
        let key = opened.home.devices_key(&reference).await;
        return Pki::load_remote(&layout.root, &opened.vault, crl_url, key).map_err(loading);
    }
    Pki::load(&layout.root, &opened.vault, crl_url).map_err(loading)
}

impl Parts {
    /// Opens what the configuration names. `crl_url` is what leaves name as the place of their CRL.
    pub(crate) async fn open(
        layout: &Layout,
        config: &Config,
        (opened, form): (&Opened, Form),
        crl_url: &str,
    ) -> Result<Self, Failure> {
        let pki = Arc::new(load_pki(layout, opened, crl_url).await?);
        #[cfg(feature = "aws")]
        let home = &opened.home;
        #[cfg(not(feature = "aws"))]
        let Form::Server = form;
        let stores = match &config.store {
            #[cfg(feature = "aws")]
            StorePlace::DynamoDb(table) => home.stores(table, form).await,
            StorePlace::Sqlite(url) => cvm_store::open(url, &layout.root)
                .map_err(|error| failed("opening the store", &error))?,
        };
        let mark = stores.store.mark_find().await;
        let mark = mark.map_err(|error| failed("reading the store", &error))?;
        let clock = Arc::new(MarkedClock::start(mark));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let key_maker = KeyPool::new(threads, KEYS_WAITING_MAX);
        let key_maker = key_maker.map_err(|error| failed("starting the key makers", &error))?;
        let key_maker: Arc<dyn KeyMaker> = Arc::new(key_maker);
        let outside = match &config.platform {
            #[cfg(feature = "aws")]
            PlatformPlace::AwsIotCore(core) => {
                home.platform(core, (&pki, &key_maker), &clock, &stores).await?
            }
            PlatformPlace::Embedded => {
                let platform = EmbeddedPlatform::new(pki.issuer(), stores.store.clone());
                Outside { issuer: pki.issuer(), platform: Arc::new(platform), mqtt_endpoint: None }
            }
        };
        let entropy = Arc::new(SystemEntropy);
        Ok(Self { pki, clock, stores, outside, entropy, key_maker })
    }

    /// The ports, with `alarms` to be told of.
    pub(crate) fn ports(&self, alarms: Arc<dyn Alarms>) -> Ports {
        let stores = self.stores.clone();
        Ports {
            alarms,
            attempts: stores.attempts,
            catalogue: stores.catalogue,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            issuer: self.outside.issuer.clone(),
            journal: stores.journal,
            key_maker: self.key_maker.clone(),
            nonces: stores.nonces,
            operators: stores.operators,
            platform: self.outside.platform.clone(),
            policies: stores.policies,
            revocations: stores.revocations,
            secrets: self.pki.secrets(),
            store: stores.store,
        }
    }
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Failed, format!("{what}: {}", chain_of(error)))
}

/// Puts the server together. `crl_url` is what leaves name as the place of their CRL.
pub(crate) async fn compose(
    layout: &Layout,
    config: &Config,
    opened: &Opened,
    crl_url: &str,
) -> Result<Composed, Failure> {
    let parts = Parts::open(layout, config, (opened, Form::Server), crl_url).await?;
    let metrics = Arc::new(Metrics::new().map_err(|error| failed("making the metrics", &error))?);
    let clock = parts.clock.clone() as _;
    let (notifier, sending) =
        notify::start(layout, &config.notify, &metrics, &clock, &parts.entropy)?;
    let ports = parts.ports(Arc::new(notifier));
    let ports = Ports {
        attempts: Arc::new(Counted::new(ports.attempts, &metrics)),
        journal: Arc::new(Counted::new(ports.journal, &metrics)),
        key_maker: Arc::new(Counted::new(ports.key_maker, &metrics)),
        platform: Arc::new(Counted::new(ports.platform, &metrics)),
        revocations: Arc::new(Counted::new(ports.revocations, &metrics)),
        ..ports
    };
    let budget = config.limits.issues_per_serial;
    let provisioning = Arc::new(Provisioning::new(ports, config.profiles.clone(), budget));
    let Parts { pki, clock, stores, outside: Outside { mqtt_endpoint, .. }, .. } = parts;
    Ok(Composed { provisioning, pki, clock, stores, mqtt_endpoint, metrics, sending })
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
