//! The harness of the end-to-end tests: the real binary in a directory of its own, on ports of its
//! own, killed when the test ends; and a client that can send what no well-behaved one would.

pub mod aws;
mod client;
mod clock;
mod kept;
mod power;
mod programs;
mod receiver;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use programs::binary;

pub use client::{Client, Key, Response};
pub use clock::FakeClock;
pub use kept::Kept;
pub use power::{Change, Disk, Loss, Power, Tree};
pub use programs::{agent_binary, cvm_binary, test_python};
pub use receiver::{Received, Receiver, Reply};

/// How long the server may take to be ready: key making and two cores full of other tests.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A server of its own.
#[derive(Debug)]
pub struct Environment {
    directory: TempDir,
    settings: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    server: Option<Child>,
    ready: Value,
    starts: u32,
    clock: Option<FakeClock>,
    power: Option<Power>,
    binary: &'static str,
}

impl Environment {
    /// A server with `settings` (`section.key`, value in TOML's syntax) over limits that do not
    /// get into a test's way.
    ///
    /// # Errors
    /// Where it does not start; with its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let mut environment = Self::new(settings)?;
        environment.init(&["--unsealed"])?;
        environment.serve()?;
        Ok(environment)
    }

    /// A directory without a server yet.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let mut all = BTreeMap::from(
            [
                ("http.listen", "127.0.0.1:0"),
                ("operator.listen", "127.0.0.1:0"),
                ("metrics.listen", "127.0.0.1:0"),
                ("limits.issues_per_serial", "off"),
                ("limits.refusals_per_address", "off"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let directory = tempfile::Builder::new().prefix("cvm-e2e-").tempdir()?;
        let (ready, clock, power, binary) = (Value::Null, None, None, "cvm");
        let (settings, variables) = (all, BTreeMap::new());
        let (server, starts) = (None, 0);
        Ok(Self { directory, settings, variables, server, ready, starts, clock, power, binary })
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory for the test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// `cvm` with the data directory and the settings in its environment.
    ///
    /// # Errors
    /// Where there is no binary.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary(self.binary)?);
        command.args(arguments).env("CVM_DATA_DIR", self.data()).current_dir(self.scratch());
        for (key, value) in &self.settings {
            let name = format!("CVM_{}", key.replace('.', "__").to_uppercase());
            command.env(name, value);
        }
        command.envs(&self.variables);
        command.envs(self.clock.iter().flat_map(FakeClock::variables));
        command.envs(self.power.iter().flat_map(Power::variables));
        Ok(command)
    }

    /// Another build of `cvm`, from the next command on.
    pub fn set_binary(&mut self, name: &'static str) {
        self.binary = name;
    }

    /// Another setting, from the next command on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// A variable in the environment of commands, from the next one on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Watches the data directory from now on, for power cuts.
    ///
    /// # Errors
    /// As [`Power::watch`].
    pub fn watch_power(&mut self) -> Result<()> {
        self.power = Some(Power::watch(&self.data(), self.scratch())?);
        Ok(())
    }

    /// Who watches the data directory, if anybody does.
    #[must_use]
    pub fn power(&self) -> Option<&Power> {
        self.power.as_ref()
    }

    /// Kills the server and leaves of the data directory what a power cut would.
    ///
    /// # Errors
    /// As [`Power::cut`], and where nobody watches.
    pub fn cut_power(&mut self, loss: Loss) -> Result<()> {
        self.kill()?;
        self.power.as_mut().context("nobody watches the data directory")?.cut(loss)
    }

    /// Runs a `cvm` command to its end: exit code, standard output, standard error.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let output = self.command(arguments)?.stdin(Stdio::null()).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().context("killed by a signal")?;
        Ok((code, text(&output.stdout), text(&output.stderr)))
    }

    /// Runs a `cvm` command that has to succeed, and returns its standard output.
    ///
    /// # Errors
    /// Where it fails; with what it said.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let (code, stdout, stderr) = self.run(arguments)?;
        ensure!(code == 0, "cvm {} exited {code}: {stderr}", arguments.join(" "));
        Ok(stdout)
    }

    /// `cvm init` with `arguments`.
    ///
    /// # Errors
    /// Where it fails.
    pub fn init(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["init"];
        all.extend(arguments);
        self.succeed(&all)
    }

    /// Starts the server and waits until every listener accepts.
    ///
    /// # Errors
    /// Where it does not; with its log.
    pub fn serve(&mut self) -> Result<()> {
        self.serve_with(&[])
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// Where it does not; with its log.
    pub fn serve_with(&mut self, arguments: &[&str]) -> Result<()> {
        let ready_file = self.scratch().join(format!("ready-{}.json", self.starts));
        self.starts += 1;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = self.command(&["serve", "--ready-file"])?;
        command.arg(&ready_file).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = command.spawn()?;
        let text = wait_for("the server to be ready", READY_WITHIN, || {
            if let Some(status) = server.try_wait()? {
                bail!("the server ended with {status}");
            }
            Ok(std::fs::read_to_string(&ready_file).ok())
        });
        self.server = Some(server);
        let text = text.with_context(|| format!("log:\n{}", self.log()))?;
        self.ready = serde_json::from_str(&text)?;
        Ok(())
    }

    /// Ends the server at once, as a crash would.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Asks the server to end, and returns its exit code.
    ///
    /// # Errors
    /// Where it does not end within half a minute.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        let mut server = self.server.take().context("no server runs")?;
        let pid = server.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "kill -TERM");
        let ended =
            wait_for("the server to end", Duration::from_secs(30), || Ok(server.try_wait()?));
        if ended.is_err() {
            server.kill()?;
        }
        Ok(ended?.code())
    }

    /// The pid of the server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Everything the server wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("serve.log")
    }

    /// A value of the ready file.
    #[must_use]
    pub fn ready(&self, name: &str) -> String {
        self.ready.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The device API as `https://localhost:port`.
    #[must_use]
    pub fn device_url(&self) -> String {
        let address = self.ready("http");
        format!("https://localhost:{}", address.rsplit(':').next().unwrap_or_default())
    }

    fn client(&self, client: Client) -> Client {
        match &self.clock {
            Some(clock) => client.by_clock(clock),
            None => client,
        }
    }

    /// A client of the device API that trusts the root and shows no certificate.
    ///
    /// # Errors
    /// Where the root cannot be read.
    pub fn device_client(&self) -> Result<Client> {
        Ok(self.client(Client::new(&self.ready("http"), &self.root_ca()?)?))
    }

    /// A client of the device API that shows a certificate.
    ///
    /// # Errors
    /// Where root, certificate or key are none.
    pub fn certificate_client(&self, chain: &str, key: &Key) -> Result<Client> {
        let (address, root) = (self.ready("http"), self.root_ca()?);
        Ok(self.client(Client::with_certificate(&address, &root, chain, &key.pem())?))
    }

    /// A client of the operator API.
    ///
    /// # Errors
    /// Where the root cannot be read.
    pub fn operator_client(&self) -> Result<Client> {
        Ok(self.client(Client::new(&self.ready("operator"), &self.root_ca()?)?))
    }

    /// The root's PEM.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn root_ca(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data().join("root-ca.pem"))?)
    }

    /// The admin token that `init` made.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn admin_token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data().join("admin-token"))?.trim().to_owned())
    }

    /// A request of the operator API with the admin token.
    ///
    /// # Errors
    /// Where no answer comes.
    pub fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let authorization = format!("Authorization: Bearer {}", self.admin_token()?);
        self.operator_client()?.request(method, path, &[&authorization], body)
    }

    /// Registers a device with a token that the server makes, and returns the token.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn device_add(&self, serial: &str) -> Result<String> {
        let response =
            self.operate("POST", "/v1/devices", Some(&json!({"serialNumber": serial})))?;
        ensure!(response.status == 201, "{response:?}");
        let token = response.json()?.get("token").and_then(Value::as_str).map(str::to_owned);
        token.context("no token in the answer")
    }

    /// Asks for a certificate.
    ///
    /// # Errors
    /// Where no answer comes.
    pub fn vend(&self, serial: &str, token: &str, csr: &str) -> Result<Response> {
        let body = json!({"serialNumber": serial, "token": token, "csr": csr});
        self.device_client()?.request("POST", "/v1/certificates", &[], Some(&body))
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Nothing to be done about a server that cannot be killed; the test has its answer.
        let _killed = self.kill();
    }
}

/// Asks `condition` until it has an answer, at most for `bound`.
///
/// # Errors
/// Where the bound passes, or `condition` fails.
pub fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        ensure!(Instant::now() < deadline, "waited {} s for {what}", bound.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}
