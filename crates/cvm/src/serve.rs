//! A server at work, from its configuration to its end: what `cvm serve` and `cvm dev` share.

pub(crate) mod clock;
mod descriptors;
mod identity;
pub(crate) mod metrics;
pub(crate) mod notify;
pub(crate) mod outgoing;
mod tasks;
#[cfg(feature = "otel")]
pub(crate) mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cvm_api::{Api, Serving, Settings};
use cvm_core::error::chain_of;
use cvm_core::profile::{Profiles, Reissue};
use cvm_pki::{Passphrase, Pki, PkiError, files};
use cvm_store::{Stores, Synchronous};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::compose::{self, Composed};
use crate::config::{Config, HostName};
use crate::data_dir::{Hold, Layout, hold};
use crate::failure::{Done, Exit, Failure};

use metrics::{MetricsServing, Source};
use notify::Sending;

/// A server that accepts.
pub(crate) struct Running {
    /// Where devices find it.
    pub(crate) public_url: String,
    /// SHA-256 of the root, lower-case hexadecimal.
    pub(crate) root_fingerprint: String,
    device: Serving,
    operator: Serving,
    plain: Option<Serving>,
    metrics: Option<MetricsServing>,
    sending: Sending,
    tasks: JoinHandle<()>,
    ready_files: Vec<PathBuf>,
    // Kept to the end: the stores close after the last answer, the hold after the stores.
    _stores: Stores,
    _hold: Hold,
}

/// Starts the server and returns when every listener accepts.
pub(crate) async fn start(
    layout: &Layout,
    config: &Config,
    passphrase: Option<&Passphrase>,
    ready_file: Option<&Path>,
) -> Result<Running, Failure> {
    let hold = hold(layout)?;
    descriptors::raise_limit(files_needed(config));
    // Argon2's memory is given back before anything listens.
    let vault = compose::open_vault(layout, config, passphrase).await?;
    let device_listener = bind("[http] listen", config.http.listen).await?;
    let operator_listener = bind("[operator] listen", config.operator_listen).await?;
    let plain_listener = bind_optional("[http] plain_listen", config.http.plain_listen).await?;
    let metrics_listener = bind_optional("[metrics] listen", config.metrics_listen).await?;
    let public_url = public_url(config, &device_listener)?;
    let crl_url = config.http.crl_url.clone().unwrap_or_else(|| public_url.clone());
    let composed = compose::compose(layout, config, &vault, &crl_url).await?;
    drop(vault);
    check_signing_key(&composed.pki).await?;
    warn_of_loopback(config, &public_url);
    warn_of_always(config);
    warn_of_unsynced(config);
    // By what is believed: no wrong clock may put a good certificate out of use.
    let now = composed.clock.believed();
    let identities = identity::Identities::load(layout, config, &composed.pki, now)?;
    let settings = settings(config, &public_url, &composed);
    let api = Api::new(composed.provisioning.clone(), settings);
    let device = cvm_api::serve_device(device_listener, &identities.device, &api)
        .map_err(|error| not_started(&error))?;
    let operator = cvm_api::serve_operator(operator_listener, &identities.operator, &api)
        .map_err(|error| not_started(&error))?;
    let plain = plain_listener.map(|listener| cvm_api::serve_plain(listener, &api)).transpose();
    let plain = plain.map_err(|error| not_started(&error))?;
    let metrics = serve_metrics(metrics_listener, (layout, config), &composed)?;
    let root_fingerprint = composed.pki.root_fingerprint();
    let tasks = tasks::spawn(&composed, identities, config.clone()).await;
    let mut running = Running {
        public_url,
        root_fingerprint,
        device,
        operator,
        plain,
        metrics,
        sending: composed.sending,
        tasks,
        ready_files: Vec::new(),
        _stores: composed.stores,
        _hold: hold,
    };
    for path in [Some(layout.ready()), ready_file.map(Path::to_owned)].into_iter().flatten() {
        running.announce(path)?;
    }
    Ok(running)
}

/// A key that is kept elsewhere must be the right one; one that cannot be reached now keeps nobody
/// from what needs no signature.
async fn check_signing_key(pki: &Pki) -> Done {
    match pki.issuer().key_check().await {
        Ok(()) => Ok(()),
        Err(PkiError::RemoteKey(error)) => {
            tracing::warn!(%error, "no certificate can be issued until the signing key answers");
            Ok(())
        }
        Err(error) => Err(Failure::new(Exit::Failed, chain_of(&error))),
    }
}

impl Running {
    /// The device listener's address.
    pub(crate) fn device_address(&self) -> SocketAddr {
        self.device.local_addr()
    }

    /// The operator listener's address.
    pub(crate) fn operator_address(&self) -> SocketAddr {
        self.operator.local_addr()
    }

    /// Finishes the requests in flight and what follows from them, and takes the ready files away.
    pub(crate) async fn drain(self) {
        self.tasks.abort();
        for path in &self.ready_files {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "the ready file stays");
            }
        }
        let plain = async {
            if let Some(plain) = self.plain {
                plain.drain().await;
            }
        };
        tokio::join!(self.device.drain(), self.operator.drain(), plain);
        // Alarms of the last requests are in it now.
        self.sending.drain().await;
        drop(self.metrics);
    }

    /// Writes a ready file: pid, addresses, fingerprint.
    fn announce(&mut self, path: PathBuf) -> Done {
        let ready = json!({
            "pid": std::process::id(),
            "http": self.device_address().to_string(),
            "operator": self.operator_address().to_string(),
            "plain": self.plain.as_ref().map(|plain| plain.local_addr().to_string()),
            "mqtt": null,
            "control": null,
            "metrics": self.metrics.as_ref().map(|metrics| metrics.local_addr().to_string()),
            "rootFingerprint": self.root_fingerprint,
        });
        files::replace(&path, format!("{ready}\n").as_bytes())
            .map_err(|error| Failure::file("writing", &path, &error))?;
        self.ready_files.push(path);
        Ok(())
    }
}

fn not_started(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Failed, format!("starting a listener: {}", chain_of(error)))
}

/// Serves metrics where they are not off, and warns where others than this machine can read them.
fn serve_metrics(
    listener: Option<TcpListener>,
    place: (&Layout, &Config),
    composed: &Composed,
) -> Result<Option<MetricsServing>, Failure> {
    let Some(listener) = listener else { return Ok(None) };
    let ports = composed.provisioning.ports().clone();
    let counters = composed.stores.counters.clone();
    let source = Source::new(place, composed.metrics.clone(), ports, counters)?;
    let connections_max = place.1.limits.metrics_connections;
    let serving = metrics::serve(listener, connections_max, source);
    let serving = serving.map_err(|error| not_started(&error))?;
    if !serving.local_addr().ip().is_loopback() {
        tracing::warn!(
            address = %serving.local_addr(),
            "metrics are served without TLS to whoever reaches them: [metrics] listen"
        );
    }
    Ok(Some(serving))
}

async fn bind_optional(
    key: &str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, Failure> {
    match address {
        Some(address) => bind(key, address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::new(Exit::Failed, format!("{key} = \"{address}\": {error}"));
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let cure =
                "another process has this port: stop it, or choose another port (0 takes any)";
            return failure.cure(cure);
        }
        failure
    })
}

/// What devices reach the server by: as configured, else the first host name and the bound port.
fn public_url(config: &Config, listener: &TcpListener) -> Result<String, Failure> {
    if let Some(url) = &config.http.public_url {
        return Ok(url.clone());
    }
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(Exit::Failed, format!("[http] listen: {error}")))?;
    let name = config.http.hostnames.first().map_or("localhost", |HostName(name)| name.as_str());
    let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    Ok(match address.port() {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    })
}

fn warn_of_loopback(config: &Config, public_url: &str) {
    let is_local =
        ["//localhost", "//127.", "//[::1]"].iter().any(|host| public_url.contains(host));
    if is_local && !config.http.listen.ip().is_loopback() {
        tracing::warn!(
            public_url,
            "devices are told an address that only this machine reaches: set [http] hostnames or public_url"
        );
    }
}

/// Warns of every profile under which a stolen token never stops obtaining certificates.
fn warn_of_always(config: &Config) {
    let default = (Profiles::DEFAULT, &config.profiles.default);
    let named = config.profiles.named.iter().map(|(name, profile)| (name.as_str(), profile));
    for (profile, _) in named.chain([default]).filter(|(_, it)| it.reissue == Reissue::Always) {
        tracing::warn!(
            profile,
            "reissue = \"always\": whoever has a token of this profile obtains certificates for any key, for ever; it is for test benches"
        );
    }
}

/// Warns of a store from which a power cut takes certificates that devices hold.
fn warn_of_unsynced(config: &Config) {
    let Some(url) = config.sqlite_url() else { return };
    if cvm_store::synchronous(url).is_ok_and(|it| it == Synchronous::Off) {
        tracing::error!(
            url,
            "[store] url says synchronous=off: a power cut LOSES certificates that devices already \
             hold; it is for rehearsals only: take `?synchronous=off` away"
        );
    }
}

/// How many files may have to be open at once.
pub(crate) fn files_needed(config: &Config) -> u64 {
    connections_max(config).saturating_add(descriptors::OWN)
}

/// Connections on all listeners together.
fn connections_max(config: &Config) -> u64 {
    let listeners = 2 + usize::from(config.http.plain_listen.is_some());
    let of_metrics = config.metrics_listen.map_or(0, |_| config.limits.metrics_connections);
    let in_all = config.limits.door.connections_max.saturating_mul(listeners) + of_metrics;
    u64::try_from(in_all).unwrap_or(u64::MAX)
}

fn settings(config: &Config, public_url: &str, composed: &Composed) -> Settings {
    let limits = &config.limits;
    Settings {
        operator_on_device_listener: config.http.has_operator_api,
        refusals_per_address: limits.refusals_per_address,
        trusted_networks: limits.trusted_networks.clone(),
        trusted_proxies: config.http.trusted_proxies.clone(),
        limits: limits.door,
        observer: Some(composed.metrics.observer()),
        mqtt_endpoint: composed.mqtt_endpoint.clone(),
        ..Settings::new(public_url.to_owned())
    }
}
