//! Secrets stay secret: after a whole run no token and no private key stands in a log, an error, a
//! debug print, a database or any other file of the server's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Client, Environment, Key, Receiver, Reply, Response, wait_for};
use serde_json::json;

/// A secret, and how else it might be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Debug prints of byte strings are lists of numbers.
    let numbers: Vec<String> = bytes.iter().take(12).map(u8::to_string).collect();
    vec![
        bytes.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        numbers.join(", ").into_bytes(),
    ]
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn files_below(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// A line of a PEM, which a search for text cannot miss.
fn pem_line(pem: &str) -> String {
    pem.lines().nth(1).unwrap().to_owned()
}

fn base64_decoded(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let bits = four.iter().fold(0_u32, |sum, six| (sum << 6) | u32::from(*six));
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend(bits.to_be_bytes()[1..four.len()].iter());
    }
    bytes
}

/// The private scalar of a P-256 key in PKCS #8, as bytes: 32 octets behind `02 01 01 04 20`.
fn scalar(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64_decoded(&body);
    let mark = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
    der[at..at + 32].to_vec()
}

const PASSPHRASE: &str = "a passphrase of the test run";
const BROUGHT: &str = "token-that-the-operator-brings";
const MISPLACED: &str = "token-in-the-column-of-policies";
/// Who knows a webhook's path may write to it.
const PATH_SECRET: &str = "services/T0/B0/a-path-that-lets-in";

/// A whole run, and everything it said.
struct Run {
    environment: Environment,
    receiver: Receiver,
    secrets: Vec<String>,
    private_keys: Vec<Vec<u8>>,
    outputs: String,
    answers: Vec<Response>,
}

impl Run {
    /// A sealed server that logs everything it can.
    fn start() -> Self {
        let settings = [("log.level", "debug"), ("issuance.server_keys", "true")];
        let mut environment = Environment::new(&settings).unwrap();
        let passphrase = environment.scratch().join("passphrase");
        std::fs::write(&passphrase, format!("{PASSPHRASE}\n")).unwrap();
        let file = passphrase.to_str().unwrap();
        environment.init(&["--passphrase-file", file]).unwrap();
        // One that fails first, so that the log has to say something of it.
        let receiver = Receiver::http(&[Reply::Status(503)]).unwrap();
        notify(&environment, &receiver);
        let (code, _, outputs) = environment.run(&["serve"]).unwrap();
        assert_ne!(code, 0, "sealed is sealed");
        environment.serve_with(&["--passphrase-file", file]).unwrap();
        let admin = environment.admin_token().unwrap();
        let text = std::fs::read_to_string(environment.data().join("notify-secret")).unwrap();
        let webhook = text.trim().strip_prefix("whsec_").unwrap().to_owned();
        let private_keys = vec![base64_decoded(&webhook)];
        assert_eq!(private_keys[0].len(), 32);
        let secrets =
            vec![PASSPHRASE.to_owned(), BROUGHT.to_owned(), PATH_SECRET.to_owned(), admin, webhook];
        Self { environment, receiver, secrets, private_keys, outputs, answers: Vec::new() }
    }

    /// Registers `SN-2` with a token on standard input.
    fn add_by_command(&mut self) {
        let mut add =
            self.environment.command(&["device", "add", "SN-2", "--token-stdin"]).unwrap();
        let add = add.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = add.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), BROUGHT.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.outputs.push_str(&String::from_utf8_lossy(&output.stdout));
        self.outputs.push_str(&String::from_utf8_lossy(&output.stderr));
    }

    /// Imports devices, with a token in the wrong column and with one in the right one.
    fn import(&mut self) {
        let scratch = self.environment.scratch();
        let rows = format!("serial,policy,token\nSN-3,,\nSN-4,{MISPLACED},\nSN-5,,{MISPLACED}\n");
        std::fs::write(scratch.join("devices.csv"), rows).unwrap();
        let import = ["device", "import", "devices.csv", "--tokens-out", "tokens.csv"];
        for output in ["table", "json"] {
            let others = ["--refused-out", "refused", "--output", output];
            let (code, stdout, stderr) =
                self.environment.run(&[&import[..], &others].concat()).unwrap();
            assert_eq!(code, 1, "SN-4 is refused: {stderr}");
            let refused =
                std::fs::read_to_string(self.environment.scratch().join("refused")).unwrap();
            assert!(refused.contains("SN-4"), "{refused}");
            self.outputs.extend([stdout, stderr, refused]);
        }
        let tokens = self.environment.scratch().join("tokens.csv");
        let tokens = std::fs::read_to_string(tokens).unwrap();
        let made = tokens.lines().find_map(|line| line.strip_prefix("SN-3,")).unwrap().to_owned();
        for key in ["policy", "profile"] {
            let new = json!({"serialNumber": "SN-6", key: MISPLACED});
            let answer = self.environment.operate("POST", "/v1/devices", Some(&new)).unwrap();
            assert_eq!(answer.status, 400);
            self.answers.push(answer);
        }
        self.secrets.extend([made, MISPLACED.to_owned()]);
    }

    /// Makes an admin token by the API and one by the command, and uses both.
    fn hire(&mut self) {
        let new = json!({"name": "by-api", "role": "security"});
        let made = self.environment.operate("POST", "/v1/admin-tokens", Some(&new)).unwrap();
        assert_eq!(made.status, 201, "{made:?}");
        let by_api = made.text("token");
        let create = ["admin", "token", "create", "by-command", "--role", "viewer"];
        let (code, stdout, stderr) =
            self.environment.run(&[&create[..], &["--out", "hired"]].concat()).unwrap();
        assert_eq!(code, 0, "{stderr}");
        self.outputs.push_str(&stdout);
        self.outputs.push_str(&stderr);
        let file = self.environment.scratch().join("hired");
        let by_command = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let operators = self.environment.operator_client().unwrap();
        for token in [&by_api, &by_command] {
            let bearer = format!("Authorization: Bearer {token}");
            for path in ["/v1/devices", "/v1/journal", "/v1/admin-tokens"] {
                self.answers.push(operators.request("GET", path, &[&bearer], None).unwrap());
            }
            let path = format!("/v1/admin-tokens/{token}:revoke");
            self.answers.push(operators.request("POST", &path, &[&bearer], None).unwrap());
        }
        self.secrets.extend([by_api, by_command]);
    }

    /// Vends with a key of the device's and with one that the server makes, and confirms.
    fn vend(&mut self, token: &str) {
        let key = Key::new().unwrap();
        self.secrets.push(pem_line(&key.pem()));
        self.private_keys.push(scalar(&key.pem()));
        let first = self.environment.vend("SN-1", token, &key.csr().unwrap()).unwrap();
        assert_eq!(first.status, 201);
        let other = Key::new().unwrap().csr().unwrap();
        self.answers.push(self.environment.vend("SN-1", token, &other).unwrap());
        let devices = self.environment.device_client().unwrap();
        let body = json!({"serialNumber": "SN-2", "token": BROUGHT});
        let made = devices.request("POST", "/v1/certificates", &[], Some(&body)).unwrap();
        assert_eq!(made.status, 201, "{made:?}");
        self.secrets.push(pem_line(&made.text("privateKey")));
        self.private_keys.push(scalar(&made.text("privateKey")));
        let chain = format!("{}{}", first.text("certificate"), first.text("chain"));
        let root = self.environment.root_ca().unwrap();
        let http = self.environment.ready("http");
        let holder = Client::with_certificate(&http, &root, &chain, &key.pem()).unwrap();
        let confirmed = holder.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
        self.answers.extend([first, confirmed]);
    }

    /// Sends the token where it does not belong.
    fn misplace(&mut self, token: &str) {
        let devices = self.environment.device_client().unwrap();
        let bodies = [
            json!({"serialNumber": token, "token": "x", "csr": token}),
            json!({"serialNumber": "SN-1", "token": token, "csr": token}),
            json!({"serialNumber": "SN-1", "token": [token], "keyAlgorithm": token}),
            json!({"serialNumber": "SN-1", "token": token, "keyAlgorithm": token}),
            json!([token]),
        ];
        for body in &bodies {
            let answer = devices.request("POST", "/v1/certificates", &[], Some(body));
            self.answers.push(answer.unwrap());
        }
        for path in [format!("/v1/{token}"), format!("/v1/certificates?token={token}")] {
            let header = format!("X-Token: {token}");
            self.answers.push(devices.request("GET", &path, &[&header], None).unwrap());
        }
        let head = "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let body = format!("{{\"token\": \"{token}\" \"");
        let broken = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        self.answers.push(devices.exchange(broken.as_bytes()).unwrap());
        let bearer = format!("Authorization: Bearer {token}");
        let operators = self.environment.operator_client().unwrap();
        self.answers.push(operators.request("GET", "/v1/devices", &[&bearer], None).unwrap());
    }

    /// Looks at everything as an operator.
    fn look(&mut self) {
        let commands: [&[&str]; 7] = [
            &["admin", "token", "list", "--output", "json"],
            &["device", "list"],
            &["device", "show", "SN-1", "--output", "json"],
            &["explain", "SN-1"],
            &["certificate", "list"],
            &["config", "show"],
            &["device", "add", "SN-1"],
        ];
        for command in commands {
            let (_, stdout, stderr) = self.environment.run(command).unwrap();
            self.outputs.push_str(&stdout);
            self.outputs.push_str(&stderr);
        }
        for path in
            ["/v1/journal", "/v1/devices", "/v1/attempts?serialNumber=SN-1", "/v1/admin-tokens"]
        {
            self.answers.push(self.environment.operate("GET", path, None).unwrap());
        }
        let metrics = format!("http://{}/metrics", self.environment.ready("metrics"));
        let metrics = Command::new("curl").args(["-sS", &metrics]).output().unwrap();
        let metrics = String::from_utf8(metrics.stdout).unwrap();
        assert!(metrics.contains("cvm_alarms_total"), "{metrics}");
        self.outputs.push_str(&metrics);
        let webhooks = wait_for("the webhook", Duration::from_secs(60), || {
            Ok(Some(self.receiver.received()).filter(|received| received.len() >= 2))
        });
        for webhook in webhooks.unwrap() {
            self.outputs.push_str(&format!("{:?}{}", webhook.fields, webhook.body));
        }
    }

    /// Where a secret could be: log, outputs, answers, every file but those that are for it.
    fn places(&self) -> Vec<(String, Vec<u8>)> {
        let made_here = |answer: &&Response| !answer.body.contains("privateKey");
        let mut places = vec![
            (String::from("the log"), self.environment.log().into_bytes()),
            (String::from("commands' output"), self.outputs.clone().into_bytes()),
        ];
        for (number, answer) in self.answers.iter().filter(made_here).enumerate() {
            places.push((format!("answer {number}"), format!("{answer:?}").into_bytes()));
        }
        files_below(&self.environment.data(), &mut places);
        assert!(
            places.iter().any(|(name, _)| name.ends_with("cvm.db")),
            "the database is searched"
        );
        let is_for_one = |name: &str| {
            ["/admin-token", "/notify-secret", "/cvm.toml"].iter().any(|it| name.ends_with(it))
        };
        places.retain(|(name, _)| !is_for_one(name));
        places
    }
}

fn notify(environment: &Environment, receiver: &Receiver) {
    let path = environment.data().join("cvm.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let url = receiver.url(&format!("/{PATH_SECRET}?key={PATH_SECRET}"));
    std::fs::write(path, format!("{text}\n[[notify]]\nurl = {url:?}\n")).unwrap();
}

#[test]
fn no_secret_of_a_whole_run_is_found_anywhere() {
    let mut run = Run::start();
    let token = run.environment.device_add("SN-1").unwrap();
    run.secrets.push(token.clone());
    run.add_by_command();
    run.import();
    run.hire();
    run.vend(&token);
    run.misplace(&token);
    run.look();
    let while_it_runs = run.places();
    run.environment.terminate().unwrap();
    for (place, bytes) in while_it_runs.iter().chain(&run.places()) {
        for secret in &run.secrets {
            for form in forms(secret) {
                assert!(!contains(bytes, &form), "{} … is in {place}", &secret[..6]);
            }
        }
    }
    for (place, bytes) in while_it_runs.iter().chain(&run.places()) {
        for key in &run.private_keys {
            assert!(!contains(bytes, key), "a private key is in {place}");
        }
    }
    // The search finds what is there.
    assert!(while_it_runs.iter().any(|(_, bytes)| contains(bytes, b"SN-1")));
}

#[test]
fn files_with_secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    notify(&environment, &Receiver::http(&[]).unwrap());
    environment.serve().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&environment.data()), 0o700);
    let listed =
        Command::new("find").arg(environment.data()).args(["-type", "f"]).output().unwrap();
    let mut secret_files = 0;
    for path in String::from_utf8(listed.stdout).unwrap().lines() {
        let names = ["admin-token", "key.pem", ".sealed", "master.key", "cvm.db", "notify-secret"];
        let is_secret = names.iter().any(|name| path.ends_with(name));
        if is_secret {
            secret_files += 1;
            assert_eq!(mode(Path::new(path)) & 0o077, 0, "{path}");
        }
    }
    assert!(secret_files >= 6, "{secret_files}");
}
