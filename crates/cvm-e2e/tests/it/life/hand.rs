//! Someone who has only `openssl` and `curl`: a device, or a thief.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Environment, Response, wait_for};
use serde_json::json;
use tempfile::TempDir;

/// Two cores full of other tests.
const WITHIN: Duration = Duration::from_secs(60);

/// Linux's `O_NONBLOCK`: to open a pipe that nobody reads yet fails then, and waits for nobody.
const O_NONBLOCK: i32 = 0o4_000;

/// Who asks for, or as, the device called `serial`.
pub(crate) struct Hand<'a> {
    environment: &'a Environment,
    pub(crate) serial: String,
    folder: TempDir,
    root: String,
}

/// A private key in a file, and a certificate request for it.
pub(crate) struct Key {
    file: String,
    pub(crate) csr: String,
}

/// A certificate with its chain in a file, and its key in another.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) id: String,
    chain: String,
    key: String,
}

/// Which HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A request of the device API; with a body it is JSON.
pub(crate) struct Ask {
    method: &'static str,
    path: &'static str,
    body: Option<String>,
}

impl Ask {
    pub(crate) const CONFIRM: Self =
        Self { method: "POST", path: "/v1/certificates/confirm", body: None };
    pub(crate) const TRUST: Self = Self { method: "GET", path: "/v1/trust-bundle", body: None };

    pub(crate) fn renew(key: &Key) -> Self {
        Self::renew_with(json!({"csr": key.csr}).to_string())
    }

    pub(crate) fn renew_with(body: String) -> Self {
        Self { method: "POST", path: "/v1/certificates/renew", body: Some(body) }
    }

    pub(crate) fn vend_with(body: String) -> Self {
        Self { method: "POST", path: "/v1/certificates", body: Some(body) }
    }
}

impl<'a> Hand<'a> {
    pub(crate) fn new(environment: &'a Environment, serial: &str) -> Self {
        let folder = tempfile::tempdir_in(environment.scratch()).unwrap();
        let root = text(&environment.data().join("root-ca.pem"));
        Self { environment, serial: serial.to_owned(), folder, root }
    }

    /// Goes, and leaves its files for as long as what is returned lives.
    pub(crate) fn leave(self) -> TempDir {
        self.folder
    }

    /// A new key on P-256.
    pub(crate) fn key(&self) -> Key {
        self.key_of(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"])
    }

    /// A new key as `openssl` makes it with these words.
    pub(crate) fn key_of(&self, words: &[&str]) -> Key {
        let made = succeed("openssl", words);
        let file = self.file(made.as_bytes());
        let csr = succeed("openssl", &["req", "-new", "-key", &file, "-subj", "/CN=by hand"]);
        Key { file, csr }
    }

    pub(crate) fn vend(&self, token: &str, key: &Key) -> Response {
        self.ask(None, &Ask::vend_with(self.vend_body(token, key)))
    }

    fn vend_body(&self, token: &str, key: &Key) -> String {
        json!({"serialNumber": self.serial, "token": token, "csr": key.csr}).to_string()
    }

    /// Vends what has to be issued.
    pub(crate) fn enroll(&self, token: &str, key: &Key) -> Held {
        let answer = self.vend(token, key);
        assert_eq!(answer.status, 201, "{answer:?}");
        self.hold(&answer, key)
    }

    /// Vends what has to be issued, and uses it.
    pub(crate) fn enroll_and_confirm(&self, token: &str, key: &Key) -> Held {
        let held = self.enroll(token, key);
        assert_eq!(self.confirm(&held).status, 204);
        held
    }

    /// Keeps the certificate that was answered.
    pub(crate) fn hold(&self, answer: &Response, key: &Key) -> Held {
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        let chain = answer.text("certificate") + &answer.text("chain");
        let (chain, key) = (self.file(chain.as_bytes()), key.file.clone());
        Held { id: answer.text("certificateId"), chain, key }
    }

    /// A certificate that this hand signed itself.
    pub(crate) fn self_signed(&self, key: &Key) -> Held {
        let words = ["req", "-x509", "-key", &key.file, "-subj", "/CN=mine", "-days", "1"];
        let chain = self.file(succeed("openssl", &words).as_bytes());
        Held { id: String::new(), chain, key: key.file.clone() }
    }

    pub(crate) fn confirm(&self, held: &Held) -> Response {
        self.ask(Some(held), &Ask::CONFIRM)
    }

    pub(crate) fn renew(&self, held: &Held, key: &Key) -> Response {
        self.ask(Some(held), &Ask::renew(key))
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, held: Option<&Held>, ask: &Ask) -> Response {
        let request = Request::new(self, held, ask, Http::One);
        succeed("curl", &request.words);
        request.answer()
    }

    /// Sends `before` on one connection, waits while `meanwhile` happens, and sends `after` on the
    /// same connection.
    pub(crate) fn around(
        &self,
        held: &Held,
        http: Http,
        before: &[Ask],
        meanwhile: impl FnOnce(),
        after: &[Ask],
    ) -> (Vec<Response>, Vec<Response>) {
        let made = |asks: &[Ask]| -> Vec<Request> {
            asks.iter().map(|ask| Request::new(self, Some(held), ask, http)).collect()
        };
        let (before, after) = (made(before), made(after));
        // curl opens the pipe when it gets there, and waits for who opens its other end.
        let pipe = text(&self.folder.path().join("pipe"));
        succeed("mkfifo", &[&pipe]);
        let pause = ["-sS".into(), "-o".into(), "/dev/null".into(), format!("file://{pipe}")];
        let parts = before.iter().map(|it| &it.words[..]);
        let parts = parts.chain([&pause[..]]).chain(after.iter().map(|it| &it.words[..]));
        let curl = spawn("curl", parts.collect::<Vec<_>>().join(&"--next".to_owned()));
        let gate = wait_for("curl to come to the pause", WITHIN, || {
            Ok(File::options().write(true).custom_flags(O_NONBLOCK).open(&pipe).ok())
        });
        let gate = gate.unwrap();
        meanwhile();
        drop(gate);
        let told = ended("curl", curl);
        std::fs::remove_file(pipe).unwrap();
        // One line for each request: how many connections it opened.
        let opened: Vec<&str> = told.lines().collect();
        let once = opened.iter().enumerate().all(|(at, it)| (*it == "1") == (at == 0));
        assert!(once && opened.len() == before.len() + after.len(), "one connection: {opened:?}");
        let answers = |requests: Vec<Request>| requests.iter().map(Request::answer).collect();
        (answers(before), answers(after))
    }

    /// Begins `slow` without its body and sends `quick` as another stream of the same HTTP/2
    /// connection; once that is answered, waits while `meanwhile` happens, and sends the body.
    /// Both answers.
    pub(crate) fn multiplexed(
        &self,
        held: &Held,
        (slow, quick): (&Ask, &Ask),
        meanwhile: impl FnOnce(),
    ) -> (Response, Response) {
        let body = slow.body.clone().unwrap_or_default();
        let begun = Ask { body: None, ..*slow };
        let [slow, quick] =
            [&begun, quick].map(|ask| Request::new(self, Some(held), ask, Http::Two));
        let from_input = ["-Z", "-T", ".", "-H", "Content-Type: application/json"];
        let words = from_input.into_iter().map(str::to_owned).chain(slow.words.clone());
        let words = words.chain(["--next".to_owned()]).chain(quick.words.clone());
        let mut curl = spawn("curl", words);
        let is_answered =
            || Ok(std::fs::read_to_string(&quick.head)?.ends_with("\r\n\r\n").then_some(()));
        wait_for("the other stream's answer", WITHIN, is_answered).unwrap();
        meanwhile();
        curl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let mut opened: Vec<String> = ended("curl", curl).lines().map(str::to_owned).collect();
        opened.sort();
        assert_eq!(opened, ["0", "1"], "one connection");
        (slow.answer(), quick.answer())
    }

    /// `POST /v1/certificates/confirm` by `openssl s_client`; its session goes to or comes from
    /// `session`. What it printed.
    pub(crate) fn confirm_by_openssl(&self, held: &Held, words: &[&str]) -> String {
        let address = self.environment.ready("http");
        let connection = ["s_client", "-connect", &address, "-servername", "localhost"];
        let trust = ["-CAfile", &self.root, "-verify_return_error", "-ign_eof"];
        let shown = ["-cert", &held.chain, "-cert_chain", &held.chain, "-key", &held.key];
        let request = "POST /v1/certificates/confirm HTTP/1.1\r\nHost: localhost\r\n\
                       Connection: close\r\nContent-Length: 0\r\n\r\n";
        let all = [&connection[..], &trust, &shown, words].concat();
        let mut openssl = spawn("openssl", all);
        openssl.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        ended("openssl", openssl)
    }

    /// A new file with this content.
    pub(crate) fn file(&self, content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        let (mut file, path) = file.keep().unwrap();
        file.write_all(content).unwrap();
        text(&path)
    }
}

/// A request as words for `curl`, and where its answer goes.
struct Request {
    words: Vec<String>,
    head: PathBuf,
    body: PathBuf,
}

impl Request {
    fn new(hand: &Hand<'_>, held: Option<&Held>, ask: &Ask, http: Http) -> Self {
        let [head, body] = [hand.file(b""), hand.file(b"")];
        let version = match http {
            Http::One => "--http1.1",
            Http::Two => "--http2",
        };
        let mut words = vec!["-sS", "--cacert", &hand.root, version];
        words.extend(["-X", ask.method, "-w", "%{num_connects}\n", "-D", &head, "-o", &body]);
        if let Some(held) = held {
            words.extend(["--cert", &held.chain, "--key", &held.key]);
        }
        let sent = ask.body.as_ref().map(|body| format!("@{}", hand.file(body.as_bytes())));
        if let Some(sent) = &sent {
            words.extend(["-H", "Content-Type: application/json", "--data-binary", sent]);
        }
        let url = hand.environment.device_url() + ask.path;
        words.push(&url);
        let words = words.into_iter().map(str::to_owned).collect();
        Self { words, head: head.into(), body: body.into() }
    }

    fn answer(&self) -> Response {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let (head, body) = (read(&self.head), read(&self.body));
        let (line, head) = head.split_once("\r\n").unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_ascii_lowercase(), body }
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn spawn<T: AsRef<OsStr>>(
    program: &str,
    words: impl IntoIterator<Item = T>,
) -> std::process::Child {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What the program printed, which has to succeed.
fn ended(program: &str, child: std::process::Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program that has to succeed; what it printed.
pub(crate) fn succeed<T: AsRef<OsStr>>(program: &str, words: &[T]) -> String {
    ended(program, spawn(program, words))
}
