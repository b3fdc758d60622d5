//! `cvm dev`: the ten-minute tour. A throw-away server, a demo device, its certificate, its first
//! use, the same request again, another key, renewal, revocation; each as one line of plain words
//! with its time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use cvm_agent::client::{Client, Trust};
use cvm_agent::enroll::{
    CERTIFICATE_FILE, ConfirmOptions, EnrollOptions, KEY_FILE, Silent, confirm, enroll,
};
use cvm_agent::error::Error;
use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
use cvm_agent::renew::{RenewOptions, Renewal, When, renew};
use cvm_agent::token::Token;
use cvm_core::id::hex;
use cvm_core::ports::Entropy;
use cvm_pki::SystemEntropy;
use cvm_wire::SecretText;
use cvm_wire::device::{VendRequest, Vended};
use cvm_wire::operator::{Certificate, Device, NewDevice, Revocation};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::init::{Wishes, make};
use super::{remote, serve as serve_command};
use crate::cli::Dev;
use crate::config::{self, DEFAULT_STORE, StorePlace, VaultPlace};
use crate::data_dir::{Layout, read_secret};
use crate::failure::{Done, Exit, Failure};
use crate::serve::{self, Running};
use crate::{environment, output};

/// What the tour calls its first device.
const FIRST_SERIAL: &str = "DEMO-0001";

/// Loopback only, any port that is free, and nobody waits: it is one person's machine.
const CONFIG: [(&str, &str); 4] = [
    ("CVM_HTTP__LISTEN", "127.0.0.1:0"),
    ("CVM_OPERATOR__LISTEN", "127.0.0.1:0"),
    ("CVM_METRICS__LISTEN", "127.0.0.1:0"),
    ("CVM_LIMITS__TRUSTED_NETWORKS", "[\"127.0.0.0/8\", \"::1\"]"),
];

/// Shows the main job.
pub(crate) fn run(args: &Dev) -> Done {
    let place = Place::choose(args.data_dir.as_deref())?;
    let layout = Layout::new(&place.data);
    let runtime = serve_command::runtime()?;
    let serial = choose_serial(&layout);
    let running = step("a server with a root CA and two issuing CAs of its own", || {
        let config = prepare(&layout)?;
        runtime.block_on(serve::start(&layout, &config, None, None))
    })?;
    let (running, serial) = runtime.block_on(async {
        let tour = Tour::new(&layout, &running, serial);
        let shown = tokio::task::spawn_blocking(move || tour.show()).await;
        match shown {
            Ok(Ok(shown)) => Ok((running, shown)),
            Ok(Err(failure)) => Err(failure),
            Err(panic) => Err(Failure::new(Exit::Failed, format!("the tour broke off: {panic}"))),
        }
    })?;
    if args.once {
        runtime.block_on(running.drain());
        output::line("The tour is over: every step worked.");
        return Ok(());
    }
    tell_what_to_try(&layout, &running, &serial);
    runtime.block_on(async {
        serve_command::until_asked_to_end().await?;
        running.drain().await;
        Ok(())
    })
}

/// A directory that has seen a tour has its device already: this one needs another name.
fn choose_serial(layout: &Layout) -> String {
    if !layout.config().exists() {
        return FIRST_SERIAL.to_owned();
    }
    let mut random = [0_u8; 4];
    SystemEntropy.fill(&mut random);
    format!("DEMO-{}", hex(&random))
}

/// Where the data are; a throw-away directory goes with this.
struct Place {
    data: PathBuf,
    _temporary: Option<TempDir>,
}

impl Place {
    fn choose(wanted: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = wanted {
            return Ok(Self { data: path.to_owned(), _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("cvm-dev-").tempdir().map_err(|error| {
            Failure::new(Exit::Files, format!("a temporary directory: {error}"))
        })?;
        let data = temporary.path().join("cvm-data");
        Ok(Self { data, _temporary: Some(temporary) })
    }
}

/// Makes the data directory where there is none, and reads its configuration.
fn prepare(layout: &Layout) -> Result<config::Config, Failure> {
    if !layout.config().exists() {
        make(
            layout,
            &Wishes {
                passphrase: None,
                hostnames: &[String::from("localhost")],
                root_key_out: None,
                import: None,
                vault: &VaultPlace::File,
                store: &StorePlace::Sqlite(DEFAULT_STORE.to_owned()),
                settings: &[],
                ca_key: None,
                admin_token_out: None,
            },
        )?;
    }
    let forced = CONFIG.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = environment::variables()
        .filter(|(name, _)| !CONFIG.iter().any(|(forced, _)| forced == name))
        .chain(forced);
    let loaded = config::load(&layout.config(), true, variables)
        .map_err(|error| super::config::failure(&layout.config(), &error))?;
    Ok(loaded.config)
}

/// Does one step and tells it in one line with its time.
fn step<T>(words: &str, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let began = Instant::now();
    let result = act();
    let millis = began.elapsed().as_millis();
    match &result {
        Ok(_) => output::line(format!("{millis:>6} ms  {words}")),
        Err(_) => output::line(format!("{millis:>6} ms  FAILED: {words}")),
    }
    result
}

/// The tour against a server that accepts.
struct Tour {
    layout: Layout,
    serial: String,
    device_url: String,
    operator_url: String,
    directory: PathBuf,
    fingerprint: String,
}

impl Tour {
    fn new(layout: &Layout, running: &Running, serial: String) -> Self {
        Self {
            layout: layout.clone(),
            device_url: format!("https://localhost:{}", running.device_address().port()),
            operator_url: format!("https://localhost:{}", running.operator_address().port()),
            directory: layout.root.join(format!("device-{serial}")),
            serial,
            fingerprint: running.root_fingerprint.clone(),
        }
    }

    fn show(self) -> Result<String, Failure> {
        let token =
            step("an operator registers a device and gets its one-time token", || self.register())?;
        let enrolled =
            step("the device makes a key and gets its certificate for that token", || {
                let trust =
                    Trust::Fingerprint(self.fingerprint.parse().map_err(|_| bug("fingerprint"))?);
                let mut options = EnrollOptions::new(
                    &self.device_url,
                    trust,
                    &self.serial,
                    device_token(&token)?,
                    &self.directory,
                );
                options.key_algorithm = Some(KeyAlgorithm::EcP256);
                enroll(&options, &Silent).map_err(remote::failure)
            })?;
        step("the same request again is answered the same certificate, byte for byte", || {
            let again = self.ask(&token, &self.own_key()?)?;
            let pem = std::fs::read_to_string(self.directory.join(CERTIFICATE_FILE));
            let pem = pem.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            let is_same = again.certificate_id == enrolled.record.certificate_id;
            if is_same && pem.contains(again.certificate.trim()) {
                Ok(())
            } else {
                Err(bug("another certificate came"))
            }
        })?;
        step("another key with the same token is refused: already-issued", || {
            self.must_refuse(&token, "already-issued")
        })?;
        step("the device uses its certificate over mutual TLS; that burns the token", || {
            confirm(&self.directory, &ConfirmOptions::default(), &Silent).map_err(remote::failure)
        })?;
        step("another key with the burnt token is refused: access-denied", || {
            self.must_refuse(&token, "access-denied")
        })?;
        let renewed = step(
            "the device renews: a new key, its certificate beside the old one, proven, then used",
            || self.renew(),
        )?;
        step("an operator revokes that certificate, and what was burnt stays burnt", || {
            self.revoke(&renewed)
        })?;
        step("the certificate is refused from then on: certificate-revoked", || {
            let refused = confirm(&self.directory, &ConfirmOptions::default(), &Silent);
            must_be_refused(refused.map(drop), "certificate-revoked")
        })?;
        Ok(self.serial)
    }

    fn renew(&self) -> Result<String, Failure> {
        let options = RenewOptions::new(&self.directory, When::Now);
        match renew(&options, &Silent).map_err(remote::failure)? {
            Renewal::Renewed { record, .. } => Ok(record.certificate_id),
            Renewal::AlreadyRenewed { .. } | Renewal::NotDue { .. } => Err(bug("it did not renew")),
        }
    }

    fn revoke(&self, certificate_id: &str) -> Done {
        let body = Revocation { reason: Some(String::from("cessationOfOperation")) };
        let path = format!("/v1/certificates/{certificate_id}:revoke");
        let revoked = self.operator()?.post(&path).json(&body).fetch::<Certificate>();
        match revoked.map_err(remote::failure)?.state.as_str() {
            "revoked" => Ok(()),
            state => Err(bug(&format!("the certificate is {state}"))),
        }
    }

    fn operator(&self) -> Result<Client, Failure> {
        let admin = read_secret("the admin token", &self.layout.admin_token())?;
        let client = Client::builder(&self.operator_url)
            .trust(Trust::RootFile(self.layout.root_ca()))
            .bearer(SecretText::new(admin));
        client.build().map_err(remote::failure)
    }

    fn register(&self) -> Result<SecretText, Failure> {
        let client = self.operator()?;
        let new = NewDevice { serial_number: self.serial.clone(), ..NewDevice::default() };
        let device: Device =
            client.post("/v1/devices").json(&new).fetch().map_err(remote::failure)?;
        device.token.ok_or_else(|| bug("no token came"))
    }

    fn own_key(&self) -> Result<DeviceKey, Failure> {
        let path = self.directory.join(KEY_FILE);
        let pem = std::fs::read(&path).map(Zeroizing::new);
        let pem = pem.map_err(|error| Failure::file("reading", &path, &error))?;
        DeviceKey::from_pem(&pem).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
    }

    fn ask(&self, token: &SecretText, key: &DeviceKey) -> Result<Vended, Failure> {
        self.vend(token, key).map_err(remote::failure)
    }

    fn must_refuse(&self, token: &SecretText, slug: &str) -> Done {
        let key = DeviceKey::generate(KeyAlgorithm::EcP256).map_err(|_| bug("no key"))?;
        must_be_refused(self.vend(token, &key).map(drop), slug)
    }

    fn vend(&self, token: &SecretText, key: &DeviceKey) -> Result<Vended, Error> {
        let csr = key.certificate_request().map_err(|error| Error::Usage(error.to_string()))?;
        let client = Client::builder(&self.device_url)
            .trust(Trust::RootFile(self.layout.root_ca()))
            .build()?;
        let request = VendRequest {
            serial_number: self.serial.clone(),
            token: token.clone(),
            csr: Some(csr),
            key_algorithm: None,
        };
        client.post("/v1/certificates").json(&request).fetch()
    }
}

/// That it was refused with this slug, and not otherwise.
fn must_be_refused(result: Result<(), Error>, slug: &str) -> Done {
    match result {
        Ok(()) => Err(bug("it was not refused")),
        Err(error) if error.slug() == slug => Ok(()),
        Err(error) => Err(remote::failure(error)),
    }
}

fn device_token(token: &SecretText) -> Result<Token, Failure> {
    let text = Zeroizing::new(token.expose().to_owned());
    Token::new(text).map_err(remote::failure)
}

fn bug(what: &str) -> Failure {
    Failure::new(Exit::Failed, what)
}

/// The lines to try next.
fn tell_what_to_try(layout: &Layout, running: &Running, serial: &str) {
    let data = layout.root.display();
    let port = running.device_address().port();
    let cvm =
        std::env::current_exe().map_or_else(|_| "cvm".into(), |path| path.display().to_string());
    output::line("");
    output::line("The server stays up; Ctrl-C ends it. To try next, in another terminal:");
    output::line("");
    output::line(format!("  alias cvm={cvm}"));
    output::line(format!("  export CVM_DATA_DIR={data}"));
    output::line(format!("  cvm explain {serial}"));
    output::line("  cvm device add DEMO-0002 --token-out demo-0002.token");
    output::line(format!(
        "  cvm device enroll --server https://localhost:{port} --serial DEMO-0002 \\\n    \
         --token-file demo-0002.token --fingerprint {} --out demo-0002",
        running.root_fingerprint
    ));
    output::line(format!(
        "  curl --cacert {data}/root-ca.pem --cert demo-0002/{CERTIFICATE_FILE} --key \
         demo-0002/{KEY_FILE} \\\n    -i -X POST https://localhost:{port}/v1/certificates/confirm"
    ));
    output::line("  cvm device renew --dir demo-0002");
    output::line(format!("  cvm device new-token {serial}      # for the one that was revoked"));
    output::line(format!("  curl --cacert {data}/root-ca.pem https://localhost:{port}/healthz"));
}
