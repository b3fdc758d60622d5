//! `cvm-agent`, the real binary, against the real server.

mod clock;
mod daemon;
mod killed;
mod once;
mod server;
mod units;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cvm_core::time::{Span, Timestamp};
use cvm_e2e::{Environment, FakeClock, agent_binary, wait_for};
use serde_json::Value;

/// How long anything may take on a machine that does everything at once.
const BOUND: Duration = Duration::from_secs(60);
/// Certificates that are due after two thirds of an hour, spread by a tenth.
const HOUR: (&str, &str) = ("issuance.lifetime", "1h");
/// From when on those are due, and live.
const DUE: Span = Span(50 * Span::MINUTE.0);

/// A server with a clock that can be set, if need be.
struct Site {
    environment: Environment,
}

impl Site {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self { environment: Environment::start(settings).unwrap() }
    }

    /// A server whose clock shows `now`.
    fn at(now: Timestamp, settings: &[(&str, &str)]) -> Self {
        let mut environment = Environment::new(settings).unwrap();
        environment.set_clock(now).unwrap();
        environment.init(&["--unsealed"]).unwrap();
        environment.serve().unwrap();
        Self { environment }
    }

    /// A device that is registered and has its token, its configuration, and nothing else.
    fn device(&self, serial: &str) -> Device {
        let home = self.environment.scratch().join(serial);
        std::fs::create_dir(&home).unwrap();
        let token = home.join("token");
        let add = ["device", "add", serial, "--token-out", token.to_str().unwrap()];
        self.environment.succeed(&add).unwrap();
        let device = Device { serial: serial.to_owned(), home, clock: None };
        let root = self.environment.data().join("root-ca.pem");
        device.configure(&self.environment.device_url(), &format!("root_ca = {root:?}\n"));
        device
    }

    /// The states of a device's certificates.
    fn states(&self, device: &Device) -> Vec<String> {
        let shown = self.shown(device);
        let all = shown["certificates"].as_array().unwrap();
        all.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    fn shown(&self, device: &Device) -> Value {
        let show = ["device", "show", &device.serial, "--output", "json"];
        serde_json::from_str(&self.environment.succeed(&show).unwrap()).unwrap()
    }

    /// That the device's files belong together and are what the server knows as current.
    fn assert_works(&self, device: &Device) {
        let chain = format!("{}{}", device.read("device.pem"), device.read("chain.pem"));
        let (address, root) = (self.environment.ready("http"), self.environment.root_ca().unwrap());
        let key = device.read("device.key");
        let mut client = cvm_e2e::Client::with_certificate(&address, &root, &chain, &key).unwrap();
        if let Some(clock) = &device.clock {
            client = client.by_clock(clock);
        }
        let answer = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
        let shown = self.shown(device);
        let current = shown["certificates"].as_array().unwrap().iter();
        let ids: Vec<_> = current.filter(|it| it["state"] == "current").collect();
        assert_eq!(ids.len(), 1, "{shown}");
        assert_eq!(ids[0]["certificateId"].as_str().unwrap(), device.certificate_id());
        // An agent that goes on may be writing what it did just now.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while !device.unfinished().is_empty() {
            assert!(std::time::Instant::now() < until, "{:?}", device.unfinished());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A device with an agent, and maybe with a clock of its own.
struct Device {
    serial: String,
    home: PathBuf,
    clock: Option<FakeClock>,
}

impl Device {
    /// Files on their way.
    fn unfinished(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.file("")).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".next") || name.ends_with(".tmp")).collect()
    }

    /// Writes the configuration; `more` goes below what each one has.
    fn configure(&self, server: &str, more: &str) {
        let serial = &self.serial;
        let text = format!(
            "server = {server:?}\nserial = {serial:?}\ndirectory = \"files\"\n\
             token_file = \"token\"\n{more}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Adds a line to the configuration.
    fn configure_also(&self, line: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), format!("{text}{line}\n")).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.home.join("agent.toml")
    }

    /// A hook that writes a line for each run.
    fn hook(&self) -> String {
        let log = self.home.join("hook.log");
        format!("on_renewed = 'echo $CVM_EVENT $CVM_CERTIFICATE_ID >> {}'", log.display())
    }

    /// What the hook wrote.
    fn hooked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.home.join("hook.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn set_clock(&mut self, now: Timestamp) {
        if self.clock.is_none() {
            self.clock = Some(FakeClock::new(&self.home).unwrap());
        }
        self.clock.as_ref().unwrap().set(now).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.join("files").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    fn certificate_id(&self) -> String {
        let record: Value = serde_json::from_str(&self.read("device.json")).unwrap();
        record["certificateId"].as_str().unwrap().to_owned()
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.home.join("token")).unwrap().trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(agent_binary().unwrap());
        command.args(arguments).arg("--config").arg(self.config());
        command.stdin(Stdio::null()).env_remove("CVM_TOKEN");
        command.envs(self.clock.iter().flat_map(FakeClock::variables));
        command
    }

    /// Runs to the end: exit code, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), told)
    }

    fn once(&self) -> (i32, String) {
        let (code, told) = self.run(&["run", "--once"]);
        let token = std::fs::read_to_string(self.home.join("token")).unwrap_or_default();
        assert!(token.trim().is_empty() || !told.contains(token.trim()), "{told}");
        (code, told)
    }

    fn succeed(&self) -> String {
        let (code, told) = self.once();
        assert_eq!(code, 0, "{told}");
        told
    }

    fn daemon(&self) -> Daemon {
        let log = self.home.join("daemon.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = self.command(&["run"]).stderr(file).spawn().unwrap();
        Daemon { child, log }
    }
}

/// An agent that goes on; killed when the test ends.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for_log(&mut self, text: &str) {
        let log = self.log.clone();
        let child = &mut self.child;
        let found = wait_for(text, BOUND, || {
            anyhow::ensure!(child.try_wait()?.is_none(), "the agent ended");
            Ok(std::fs::read_to_string(&log)?.contains(text).then_some(()))
        });
        found.unwrap_or_else(|fault| panic!("{fault:#}: {}", self.log()));
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Asks it to end, and returns its exit code.
    fn end(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        let child = &mut self.child;
        wait_for("the agent to end", BOUND, || Ok(child.try_wait()?)).unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that ended already is as good.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}
