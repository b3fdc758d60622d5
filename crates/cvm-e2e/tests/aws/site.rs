//! A server of ours on AWS: a table, IoT Core, and the proxy before both.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cvm_core::time::Span;
use cvm_e2e::aws::{DynamoDbLocal, FaultProxy, IotStandIn, REGION, VARIABLES};
use cvm_e2e::{Environment, wait_for};
use serde_json::{Value, json};

/// The policy that devices get where none is named.
pub(crate) const POLICY: &str = "cvm-default";

/// A lease, and a little.
pub(crate) const LEASE: Span = Span(70);

/// How long nothing is to be called before a fault is put in the way: what followed from the answer
/// before has been written then.
const QUIET: Duration = Duration::from_millis(60);

/// Who signs devices' certificates, on which platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// IoT Core signs.
    Aws,
    /// We do, for IoT Core.
    OwnCa,
    /// We do, and the table alone is on AWS.
    Home,
}

impl Signer {
    fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::OwnCa | Self::Home => "own-ca",
        }
    }
}

/// Everything that a test on AWS needs, its own but for the process of DynamoDB Local.
pub(crate) struct Site {
    pub(crate) iot: IotStandIn,
    pub(crate) proxy: FaultProxy,
    pub(crate) server: Environment,
    table: String,
    signer: Signer,
    ahead: i64,
}

impl Site {
    pub(crate) fn start(signer: Signer) -> Result<Self> {
        static TABLES: AtomicUsize = AtomicUsize::new(0);
        let (iot, dynamodb) = (IotStandIn::start()?, DynamoDbLocal::shared()?);
        let upstreams = [("iot", iot.endpoint()), ("dynamodb", dynamodb.endpoint())];
        let proxy =
            FaultProxy::start(&upstreams.each_ref().map(|(name, url)| (*name, url.as_str())))?;
        let table = format!("cvm-{}", TABLES.fetch_add(1, Ordering::SeqCst));
        let mut server = Environment::new(&[])?;
        let endpoints = (proxy.endpoint("iot")?, proxy.endpoint("dynamodb")?);
        configure(&mut server, signer, &table, &endpoints);
        server.init(&["--unsealed"])?;
        iot.policy_create(POLICY)?;
        if signer == Signer::OwnCa {
            let ca = server.data().join("vault/devices-ca.pem");
            iot.ca_register(&std::fs::read_to_string(ca)?)?;
        }
        server.serve()?;
        Ok(Self { iot, proxy, server, table, signer, ahead: 0 })
    }

    /// Another server over the same table, past the proxy, whose clock is ahead by a lease.
    pub(crate) fn another(&self) -> Result<Environment> {
        let mut server = Environment::new(&[])?;
        let endpoints = (self.iot.endpoint(), DynamoDbLocal::shared()?.endpoint());
        configure(&mut server, self.signer, &self.table, &endpoints);
        let copied =
            Command::new("cp").arg("-r").arg(self.server.data()).arg(server.data()).status()?;
        ensure!(copied.success(), "cp -r");
        // Of the process that runs on the other one.
        let _there = std::fs::remove_file(server.data().join("ready.json"));
        server.set_clock(server.now().plus(LEASE))?;
        server.serve()?;
        Ok(server)
    }

    /// Kills the server, and starts it again when the lease of what it was at is over.
    pub(crate) fn restart_after_a_lease(&mut self) -> Result<()> {
        self.server.kill()?;
        self.proxy.clear();
        self.server.set_clock(self.server.now().plus(LEASE))?;
        self.ahead += LEASE.0;
        self.iot.set(&json!({"clockAheadSeconds": self.ahead}))?;
        self.server.serve()
    }

    /// Waits until nothing is called any more, and forgets what was.
    pub(crate) fn quiesce(&self) -> Result<()> {
        let mut before = self.proxy.calls().len();
        wait_for("the calls to end", Duration::from_secs(60), || {
            std::thread::sleep(QUIET);
            let now = self.proxy.calls().len();
            let is_quiet = std::mem::replace(&mut before, now) == now;
            Ok(is_quiet.then_some(()))
        })?;
        self.proxy.clear();
        Ok(())
    }

    /// The certificates of IoT Core.
    pub(crate) fn certificates(&self) -> Result<Vec<Value>> {
        let state = self.iot.state()?;
        ensure!(state["faults"] == json!([]), "the stand-in's own: {}", state["faults"]);
        state["certificates"].as_array().cloned().context("no certificates")
    }

    /// Those of a device that open connections.
    pub(crate) fn active_of(&self, serial: &str) -> Result<Vec<String>> {
        let mut ids = match self.signer {
            Signer::Home => self.live_of(serial)?,
            Signer::Aws | Signer::OwnCa => self.active_on_aws(serial)?,
        };
        ids.sort();
        Ok(ids)
    }

    fn active_on_aws(&self, thing: &str) -> Result<Vec<String>> {
        let is_active = |it: &&Value| {
            let is_bound = it["things"].as_array().is_some_and(|all| all.contains(&json!(thing)));
            it["status"] == "ACTIVE" && is_bound
        };
        Ok(self.certificates()?.iter().filter(is_active).map(|it| text(it, "id")).collect())
    }

    fn live_of(&self, serial: &str) -> Result<Vec<String>> {
        let answer = self.server.operate("GET", &format!("/v1/devices/{serial}"), None)?;
        let device = answer.json()?;
        let certificates = device["certificates"].as_array().context("no certificates")?;
        let is_live = |it: &&Value| device["disabled"] == false && is_live(&text(it, "state"));
        Ok(certificates.iter().filter(is_live).map(|it| text(it, "certificateId")).collect())
    }

    /// How the registry knows a certificate; `None` where it does not.
    pub(crate) fn recorded(&self, id: &str) -> Result<Option<Value>> {
        let answer = self.server.operate("GET", &format!("/v1/certificates/{id}"), None)?;
        match answer.status {
            200 => Ok(Some(answer.json()?)),
            404 => Ok(None),
            _ => anyhow::bail!("{answer:?}"),
        }
    }
}

fn configure(
    server: &mut Environment,
    signer: Signer,
    table: &str,
    (iot, dynamodb): &(String, String),
) {
    server.set_binary("cvm-aws");
    for (name, value) in VARIABLES {
        server.set_variable(name, value);
    }
    let quoted = |text: &str| format!("{text:?}");
    let store = format!("dynamodb://{table}?region={REGION}&endpoint={dynamodb}");
    server.set("store.url", &quoted(&store));
    if signer == Signer::Home {
        return;
    }
    server.set("platform.kind", &quoted("aws-iot-core"));
    server.set("platform.issuer", &quoted(signer.word()));
    server.set("platform.region", &quoted(REGION));
    server.set("platform.endpoint", &quoted(iot));
}

/// Whether a certificate in this state opens connections, unless its device is disabled.
pub(crate) fn is_live(state: &str) -> bool {
    ["unconfirmed", "current", "candidate", "retiring"].contains(&state)
}

/// A text of an object; empty where it has none.
pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
