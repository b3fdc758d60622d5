//! The operator's acts, by `cvm` and by `curl`: the same words, the same effect.

use std::io::Write;
use std::process::Stdio;

use cvm_e2e::Environment;
use serde_json::{Value, json};

use super::hand::succeed;

/// An operator with the credential in `admin_token_file`.
pub(crate) struct Operator<'a> {
    environment: &'a Environment,
    pub(crate) by: By,
    admin_token_file: String,
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Curl,
    Cvm,
}

/// What becomes of confirmed certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    Revoke,
}

/// A device to register; what is `None` is the default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Add<'a> {
    pub(crate) profile: Option<&'a str>,
    pub(crate) thing_name: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    pub(crate) again: bool,
}

/// An answer, or a refusal in words that name its slug.
pub(crate) type Told = Result<Value, String>;

impl<'a> Operator<'a> {
    /// The owner that `init` made, with `cvm` and with `curl`.
    pub(crate) fn both(environment: &'a Environment) -> [Self; 2] {
        let file = environment.data().join("admin-token").to_str().unwrap().to_owned();
        Self::with(environment, &file)
    }

    /// Who has the credential in `file`, with `cvm` and with `curl`.
    pub(crate) fn with(environment: &'a Environment, file: &str) -> [Self; 2] {
        [By::Cvm, By::Curl].map(|by| Self { environment, by, admin_token_file: file.to_owned() })
    }

    /// A serial number of this operator's own.
    pub(crate) fn serial(&self, name: &str) -> String {
        format!("{name}-{:?}", self.by)
    }

    /// Registers a device and returns its token.
    pub(crate) fn add(&self, serial: &str) -> String {
        token_of(&self.try_add(serial, Add::default()).unwrap())
    }

    /// The same under a profile.
    pub(crate) fn add_under(&self, profile: &str, serial: &str) -> String {
        let add = Add { profile: Some(profile), ..Add::default() };
        token_of(&self.try_add(serial, add).unwrap())
    }

    pub(crate) fn try_add(&self, serial: &str, add: Add<'_>) -> Told {
        let Add { profile, thing_name, token, again } = add;
        match self.by {
            By::Cvm => {
                let mut words = vec!["device", "add", serial];
                words.extend(profile.iter().flat_map(|it| ["--profile", it]));
                words.extend(thing_name.iter().flat_map(|it| ["--thing-name", it]));
                words.extend(token.map(|_| "--token-stdin"));
                words.extend(again.then_some("--again"));
                self.cvm(&words, token)
            }
            By::Curl => {
                let mut body = json!({"serialNumber": serial, "again": again});
                for (name, value) in
                    [("profile", profile), ("thingName", thing_name), ("token", token)]
                {
                    if let Some(value) = value {
                        body[name] = json!(value);
                    }
                }
                self.curl("POST", "/v1/devices", Some(&body))
            }
        }
    }

    /// Gives the device another token, which is returned.
    pub(crate) fn new_token(&self, serial: &str, fate: Fate) -> String {
        token_of(&self.try_new_token(serial, fate).unwrap())
    }

    pub(crate) fn try_new_token(&self, serial: &str, fate: Fate) -> Told {
        self.bring_token(serial, fate, None)
    }

    /// Gives the device this token, or one that is made.
    pub(crate) fn bring_token(&self, serial: &str, fate: Fate, token: Option<&str>) -> Told {
        match self.by {
            By::Cvm => {
                let mut words = vec!["device", "new-token", serial];
                words.extend((fate == Fate::Revoke).then_some("--revoke"));
                words.extend(token.map(|_| "--token-stdin"));
                self.cvm(&words, token)
            }
            By::Curl => {
                let mut body = json!({"revoke": fate == Fate::Revoke});
                if let Some(token) = token {
                    body["token"] = json!(token);
                }
                self.curl("POST", &format!("{}:new-token", path_of(serial)), Some(&body))
            }
        }
    }

    pub(crate) fn disable(&self, serial: &str) -> Told {
        self.act(serial, "disable")
    }

    pub(crate) fn enable(&self, serial: &str) -> Told {
        self.act(serial, "enable")
    }

    fn act(&self, serial: &str, act: &str) -> Told {
        match self.by {
            By::Cvm => self.cvm(&["device", act, serial], None),
            By::Curl => self.curl("POST", &format!("{}:{act}", path_of(serial)), None),
        }
    }

    pub(crate) fn delete(&self, serial: &str) -> Told {
        match self.by {
            By::Cvm => self.cvm(&["device", "delete", serial], None),
            By::Curl => self.curl("DELETE", &path_of(serial), None),
        }
    }

    /// Decommissions the device, and leaves its thing.
    pub(crate) fn delete_and_keep_thing(&self, serial: &str) -> Told {
        match self.by {
            By::Cvm => self.cvm(&["device", "delete", "--keep-thing", serial], None),
            By::Curl => self.curl("DELETE", &format!("{}?keepThing=true", path_of(serial)), None),
        }
    }

    pub(crate) fn revoke(&self, id: &str, reason: &str) -> Told {
        match self.by {
            By::Cvm => self.cvm(&["certificate", "revoke", id, "--reason", reason], None),
            By::Curl => {
                let path = format!("/v1/certificates/{id}:revoke");
                self.curl("POST", &path, Some(&json!({"reason": reason})))
            }
        }
    }

    /// The reviews of this device that are open.
    pub(crate) fn reviews(&self, serial: &str) -> Vec<Value> {
        let told = match self.by {
            By::Cvm => self.cvm(&["review", "list"], None),
            By::Curl => self.curl("GET", "/v1/reviews", None),
        };
        let items = told.unwrap()["items"].as_array().unwrap().clone();
        items.into_iter().filter(|item| item["serialNumber"] == serial).collect()
    }

    /// Says `verdict`, `approve` or `deny`, to the review.
    pub(crate) fn decide(&self, review: &str, verdict: &str) -> Told {
        match self.by {
            By::Cvm => self.cvm(&["review", verdict, review], None),
            By::Curl => self.curl("POST", &format!("/v1/reviews/{review}:{verdict}"), None),
        }
    }

    fn cvm(&self, words: &[&str], input: Option<&str>) -> Told {
        let json = ["--output", "json", "--admin-token-file", &self.admin_token_file];
        let mut command = self.environment.command(&[words, &json].concat()).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let line = input.map(|input| format!("{input}\n")).unwrap_or_default();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
            code => Err(format!("exit {code:?}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    fn curl(&self, method: &str, path: &str, body: Option<&Value>) -> Told {
        let scratch = self.environment.scratch();
        let token = std::fs::read_to_string(scratch.join(&self.admin_token_file)).unwrap();
        let file = |content: String| {
            let file = tempfile::NamedTempFile::new_in(scratch).unwrap();
            std::fs::write(&file, content).unwrap();
            let path = format!("@{}", file.path().display());
            (file, path)
        };
        let (_kept, field) = file(format!("Authorization: Bearer {}", token.trim()));
        let url = format!("https://{}{path}", self.environment.ready("operator"));
        let root = self.environment.data().join("root-ca.pem");
        let mut words = vec!["-sS", "--max-time", "60", "--cacert", root.to_str().unwrap()];
        words.extend(["-X", method, "-H", &field, "-w", "\n%{http_code}", &url]);
        let sent = body.map(|body| file(body.to_string()));
        if let Some((_, sent)) = &sent {
            words.extend(["-H", "Content-Type: application/json", "--data-binary", sent]);
        }
        let told = succeed("curl", &words);
        let (body, status) = told.rsplit_once('\n').unwrap();
        match status.parse::<u16>().unwrap() {
            200..=299 => Ok(serde_json::from_str(body).unwrap()),
            status => Err(format!("{status}: {body}")),
        }
    }
}

/// The token in an answer that made one.
pub(crate) fn token_of(device: &Value) -> String {
    device["token"].as_str().unwrap().to_owned()
}

/// A serial number's path, percent-encoded but for what RFC 3986 leaves alone.
fn path_of(serial: &str) -> String {
    let encoded = serial.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    format!("/v1/devices/{}", encoded.collect::<String>())
}

/// That the act was refused by the problem called `slug`.
pub(crate) fn assert_refused(told: &Told, slug: &str) {
    assert!(told.as_ref().is_err_and(|said| said.contains(slug)), "{slug}: {told:?}");
}
