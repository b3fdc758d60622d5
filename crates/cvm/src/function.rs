//! CVM as a function that is called for each request: what `cvm-lambda` runs.
//!
//! The same configuration, use cases and routes as a server's. Nothing runs between two calls: what
//! follows from an answer is done before it is returned, and timers run when they are called.

mod alarms;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cvm_api::{Api, Direct, Limits, Peer, Settings, Side};
use cvm_core::error::chain_of;
use cvm_core::limit::Rate;
use cvm_core::ports::Clock as _;
use cvm_core::provisioning::Provisioning;
use http::{Request, Response};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::compose::{self, Form, Parts};
use crate::config::{Config, Loaded, Routes};
use crate::data_dir::Layout;
use crate::environment::variable;
use crate::failure::{Exit, Failure};
use crate::serve::clock::MarkedClock;
use crate::timers::Timers;
use crate::{command, log, passphrase};

use alarms::LoggedAlarms;

/// How long a request may take, at most, in seconds: with what follows from it less than the 29 of a
/// REST API, which would answer in our place.
const REQUEST_SECONDS_MAX: u64 = 18;

/// Why there is no function: what happened, and what to do.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NotStarted(String);

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> Self {
        match failure.cure.is_empty() {
            true => Self(failure.what),
            false => Self(format!("{}; {}", failure.what, failure.cure)),
        }
    }
}

/// CVM between two calls.
#[derive(Debug)]
pub struct Function {
    direct: Direct,
    provisioning: Arc<Provisioning>,
    clock: Arc<MarkedClock>,
    timers: Mutex<Timers>,
    base_path: String,
}

/// What a run of the timers did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// How many devices were written.
    pub devices: usize,
    /// How many CRLs were signed.
    pub crls: usize,
    /// How much of it could not be done; it is tried again.
    pub failures: usize,
}

impl Function {
    /// Reads the environment and, where there is one, `cvm.toml` beside the program; opens what they
    /// name.
    ///
    /// # Errors
    /// [`NotStarted`] says what is wrong with what was read, or what cannot be opened.
    pub async fn start() -> Result<Self, NotStarted> {
        let began = Instant::now();
        let layout = Layout::new(directory());
        let Loaded { config, notes, .. } = command::config_load(None, &layout)?;
        log::to_stderr(&config.log, None);
        for note in notes {
            tracing::warn!("{note}");
        }
        if !config.notify.is_empty() {
            tracing::warn!(
                "[[notify]] has no effect in a function: its alarms are lines of the log"
            );
        }
        let public_url = public_url(&config)?;
        let sealed_by = variable("CVM_PASSPHRASE_FILE").map(PathBuf::from);
        let passphrase = passphrase::find(sealed_by.as_deref())?;
        let vault = compose::open_vault(&layout, &config, passphrase.as_ref()).await?;
        let crl_url = config.http.crl_url.as_ref().unwrap_or(&public_url);
        let parts = Parts::open(&layout, &config, (&vault, Form::Function), crl_url).await?;
        let function = Self::over(parts, &config, public_url);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(micros, "ready");
        Ok(function)
    }

    fn over(parts: Parts, config: &Config, public_url: String) -> Self {
        let budget = config.limits.issues_per_serial;
        let ports = parts.ports(Arc::new(LoggedAlarms));
        let provisioning = Arc::new(Provisioning::new(ports, config.profiles.clone(), budget));
        let settings = Settings {
            operator_on_device_listener: config.http.has_operator_api,
            // One function sees a part of them only: they are counted before it (protocol 5).
            refusals_per_address: Rate::OFF,
            limits: Limits {
                request_seconds_max: config
                    .limits
                    .door
                    .request_seconds_max
                    .min(REQUEST_SECONDS_MAX),
                ..config.limits.door
            },
            mqtt_endpoint: parts.outside.mqtt_endpoint,
            ..Settings::new(public_url.clone())
        };
        let side = match config.routes {
            Routes::Device => Side::Device,
            Routes::Operator => Side::Operator,
        };
        let direct = Direct::new(&Api::new(provisioning.clone(), settings), side);
        let timers = Mutex::new(Timers::new(parts.clock.clone(), provisioning.clone()));
        let base_path = path_of(&public_url).to_owned();
        Self { direct, provisioning, clock: parts.clock, timers, base_path }
    }

    /// The path of the URL that devices reach it by: a stage's, or that of a custom domain.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The answer to a request of `peer`; what follows from it is done.
    pub async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        self.doubt_again().await;
        self.direct.answer(request, peer).await
    }

    /// Does what a server does every minute by itself: the mark, the sweeper, CRLs.
    pub async fn tick(&self) -> Ticked {
        self.doubt_again().await;
        let ran = self.timers.lock().await.run().await;
        let failures = ran.swept.failures.len() + ran.crls.failed;
        Ticked { devices: ran.swept.devices, crls: ran.crls.signed, failures }
    }

    /// A clock that is doubted is held against the newest mark, which others may have recorded or an
    /// operator may have set since.
    async fn doubt_again(&self) {
        if self.clock.status().doubt.is_none() {
            return;
        }
        match self.provisioning.ports().store.mark_find().await {
            Ok(mark) => self.clock.begin_again(mark),
            Err(error) => tracing::error!(cause = chain_of(&error), "the mark was not read"),
        }
    }
}

/// Where `cvm.toml` and what it names by file may be: beside the program.
fn directory() -> PathBuf {
    let given = variable("CVM_DATA_DIR").or_else(|| variable("LAMBDA_TASK_ROOT"));
    given.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The path of a URL of the configuration; `""` where it has none.
fn path_of(url: &str) -> &str {
    let host_begins = url.find("://").map_or(0, |scheme_ends| scheme_ends + "://".len());
    let behind = url.get(host_begins..).unwrap_or_default();
    behind.find('/').and_then(|path_begins| behind.get(path_begins..)).unwrap_or_default()
}

/// What devices reach the function by: it stands in what they sign and in what they are told.
fn public_url(config: &Config) -> Result<String, Failure> {
    config.http.public_url.clone().ok_or_else(|| {
        let what = "[http] public_url is empty, and a function cannot tell what it is reached by";
        let cure = "set $CVM_HTTP__PUBLIC_URL to the URL of its API, stage included";
        Failure::new(Exit::Configuration, what).cure(cure)
    })
}
