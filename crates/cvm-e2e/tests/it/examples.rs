//! The recipes of `examples/`, run as they stand, against the real server.

mod again;
mod cut;
mod life;
mod lost;
mod refusals;

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use cvm_e2e::{Client, Environment, test_python};
use serde_json::Value;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// Certificates that are due at once, and live for ten minutes more.
const HURRIED: &str = "\n[[profile]]\nname = \"hurried\"\nlifetime = \"10m\"\nbackdate = \"50m\"\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recipe {
    C(Build),
    Node,
    Python,
    Shell,
}

/// How the one in C is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    Plain,
    /// With the sanitizers of addresses and undefined behaviour, whose findings end it with 99.
    Sanitized,
}

impl Recipe {
    /// The program and its first argument, if it is read by another.
    fn words(self) -> Vec<OsString> {
        let file = |name: &str| Path::new(EXAMPLES).join(name).into_os_string();
        match self {
            Self::C(Build::Plain) => {
                static BUILT: OnceLock<PathBuf> = OnceLock::new();
                vec![BUILT.get_or_init(|| build("plain", &[])).into()]
            }
            Self::C(Build::Sanitized) => {
                static BUILT: OnceLock<PathBuf> = OnceLock::new();
                vec![BUILT.get_or_init(|| build("sanitized", &["SANITIZE=1"])).into()]
            }
            Self::Node => vec!["node".into(), file("node/device.mjs")],
            Self::Python => vec![test_python().unwrap().into(), file("python/device.py")],
            Self::Shell => vec!["sh".into(), file("shell/device.sh")],
        }
    }
}

fn build(name: &str, settings: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("example-c-{name}"));
    let mut make = Command::new("make");
    make.args(["-C", &format!("{EXAMPLES}/c"), &format!("BUILD={}", directory.display())]);
    let output = make.args(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory.join("device")
}

/// A server with the profile `hurried`.
struct Site {
    environment: Environment,
}

impl Site {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self::serve(Environment::new(settings).unwrap())
    }

    /// The same whose clock can be set.
    fn with_clock() -> Self {
        let mut environment = Environment::new(&[]).unwrap();
        environment.set_clock(environment.now()).unwrap();
        Self::serve(environment)
    }

    fn serve(mut environment: Environment) -> Self {
        environment.init(&["--unsealed"]).unwrap();
        let file = environment.data().join("cvm.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, before + HURRIED).unwrap();
        environment.serve().unwrap();
        Self { environment }
    }

    /// A device that is registered and has its token.
    fn device(&self, recipe: Recipe, serial: &str, profile: &str) -> Device {
        let home = self.environment.scratch().join(serial.replace('/', "_"));
        std::fs::create_dir(&home).unwrap();
        let token = home.join("token");
        let token = token.to_str().unwrap();
        let add = ["device", "add", serial, "--profile", profile, "--token-out", token];
        self.environment.succeed(&add).unwrap();
        Device {
            recipe,
            serial: serial.to_owned(),
            server: self.environment.device_url(),
            fingerprint: self.environment.ready("rootFingerprint"),
            home,
            tries: 6,
        }
    }

    /// A text of each of a device's certificates, the oldest first.
    fn certificates(&self, device: &Device, text: &str) -> Vec<String> {
        let show = ["device", "show", &device.serial, "--output", "json"];
        let shown = self.environment.succeed(&show).unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let all = shown["certificates"].as_array().unwrap();
        all.iter().map(|it| it[text].as_str().unwrap().to_owned()).collect()
    }

    fn states(&self, device: &Device) -> Vec<String> {
        self.certificates(device, "state")
    }

    /// Gives a device another token.
    fn new_token(&self, device: &Device) {
        let file = device.home.join("token");
        std::fs::remove_file(&file).unwrap();
        let file = file.to_str().unwrap();
        let command = ["device", "new-token", &device.serial, "--token-out", file];
        self.environment.succeed(&command).unwrap();
    }

    /// That what the device keeps is its current certificate with its key, and nothing is half done.
    fn assert_works(&self, device: &Device) {
        assert_eq!(device.files(), ["device.pem", "root-ca.pem"], "{:?}", device.recipe);
        let identity = device.read("device.pem");
        let (address, root) = (self.environment.ready("http"), device.read("root-ca.pem"));
        let client = Client::with_certificate(&address, &root, &identity, &identity).unwrap();
        let answer = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
        let states = self.states(device);
        assert_eq!(states.last().map(String::as_str), Some("current"), "{states:?}");
        for name in device.files() {
            let mode = device.file(&name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name} of {:?}", device.recipe);
        }
        let mode = device.file("").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{:?}", device.recipe);
    }
}

/// A device with a recipe.
struct Device {
    recipe: Recipe,
    serial: String,
    server: String,
    fingerprint: String,
    home: PathBuf,
    tries: u32,
}

impl Device {
    fn file(&self, name: &str) -> PathBuf {
        self.home.join("files").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.file("")).unwrap();
        let mut all: Vec<_> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.home.join("token")).unwrap().trim().to_owned()
    }

    /// A `PATH` with programs of ours before the others.
    fn stand_ins(&self, names: &[&str], script: &str) -> OsString {
        let programs = self.home.join("programs");
        std::fs::create_dir(&programs).unwrap();
        for name in names {
            let file = programs.join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).unwrap()
    }

    fn command(&self) -> Command {
        let words = self.recipe.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args([&self.server, &self.serial, &self.fingerprint]);
        command.args(["token", "files"]).current_dir(&self.home).stdin(Stdio::null());
        command.env("CVM_TRIES", self.tries.to_string());
        command.env("ASAN_OPTIONS", "exitcode=99");
        command
    }

    /// Runs to the end: exit code, and what it said.
    fn run(&self) -> (i32, String) {
        let output = self.command().output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains(&self.token()), "{:?} tells its token", self.recipe);
        (output.status.code().unwrap(), said)
    }

    fn succeed(&self) -> String {
        let (code, said) = self.run();
        assert_eq!(code, 0, "{:?}: {said}", self.recipe);
        said
    }
}

/// One test for each recipe, named after the module they are in.
macro_rules! each_recipe {
    ($check:ident, $build:expr) => {
        #[test]
        fn in_c() {
            $check(Recipe::C($build));
        }

        #[test]
        fn in_node() {
            $check(Recipe::Node);
        }

        #[test]
        fn in_python() {
            $check(Recipe::Python);
        }

        #[test]
        fn in_shell() {
            $check(Recipe::Shell);
        }
    };
}
use each_recipe;

#[test]
fn the_table_of_examples_names_every_recipe() {
    let table = std::fs::read_to_string(format!("{EXAMPLES}/README.md")).unwrap();
    for entry in std::fs::read_dir(EXAMPLES).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            assert!(table.contains(&format!("]({name}/README.md)")), "{name}");
            assert!(entry.path().join("README.md").exists(), "{name}");
        }
    }
}

#[test]
fn the_shell_recipe_shows_no_secret_to_those_who_list_processes() {
    let site = Site::new(&[]);
    let device = site.device(Recipe::Shell, "SN-1", "default");
    let calls = device.home.join("calls");
    // Writes down what it is called with, and calls the real one.
    let script = format!(
        "printf '%s\\n' \"$0 $*\" >>{}\nPATH=${{PATH#*:}}\nexec ${{0##*/}} \"$@\"\n",
        calls.display()
    );
    let names = ["awk", "cat", "curl", "echo", "head", "openssl", "printf", "sed", "tr"];
    let path = device.stand_ins(&names, &script);
    let output = device.command().env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    site.assert_works(&device);
    let calls = std::fs::read_to_string(calls).unwrap();
    assert!(calls.contains("/v1/certificates/confirm"), "{calls}");
    assert!(!calls.contains(&device.token()), "{calls}");
    assert!(!calls.contains("PRIVATE"), "a key as an argument: {calls}");
}
