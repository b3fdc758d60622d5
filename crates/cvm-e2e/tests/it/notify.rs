//! Alarms as webhooks: once, signed, to who is verified, and at nobody else's cost.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use cvm_e2e::{Environment, Key, Received, Receiver, Reply, Response, test_python, wait_for};
use serde_json::{Value, json};

/// Two cores full of other tests, and a pause between two tries.
const WITHIN: Duration = Duration::from_secs(60);

/// Verifies what came by the package of those who wrote the standard, and that it tells when a
/// byte is another.
const VERIFY: &str = r"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
webhook = Webhook(open(sys.argv[1]).read().strip())
request = json.load(open(sys.argv[2]))
body, fields = request['body'], request['fields']
assert webhook.verify(body, fields) == json.loads(body)
for name, other in [('body', body.replace('SN-', 'SN_')), ('webhook-id', 'msg_1')]:
    changed = {**fields, name: other}
    try:
        webhook.verify(changed.pop('body', body), changed)
    except WebhookVerificationError:
        continue
    sys.exit(f'{name} is not signed')
print('verified')
";

/// A server that is initialised and has `notify` in its configuration, and runs.
fn environment(notify: &str) -> Environment {
    let mut environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    configure(&environment, notify);
    environment.serve().unwrap();
    environment
}

fn configure(environment: &Environment, notify: &str) {
    let path = environment.data().join("cvm.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}\n{notify}")).unwrap();
}

fn notify(url: &str) -> String {
    format!("[[notify]]\nurl = {url:?}\n")
}

/// A device whose token is bound.
struct Bound<'a>(&'a Environment, &'static str, String);

impl<'a> Bound<'a> {
    fn new(environment: &'a Environment, serial: &'static str) -> Self {
        let token = environment.device_add(serial).unwrap();
        let bound = Self(environment, serial, token);
        assert_eq!(bound.show_a_new_key().status, 201);
        bound
    }

    fn show_a_new_key(&self) -> Response {
        let csr = Key::new().unwrap().csr().unwrap();
        self.0.vend(self.1, &self.2, &csr).unwrap()
    }

    fn alarm(&self) -> Response {
        let refused = self.show_a_new_key();
        assert_eq!((refused.status, refused.slug().as_str()), (409, "already-issued"));
        refused
    }
}

fn wait_for_received(receiver: &Receiver, count: usize) -> Vec<Received> {
    wait_for("webhooks", WITHIN, || {
        Ok(Some(receiver.received()).filter(|received| received.len() >= count))
    })
    .unwrap()
}

fn wait_for_log(environment: &Environment, words: &str) {
    wait_for(words, WITHIN, || Ok(environment.log().contains(words).then_some(()))).unwrap();
}

fn serials(received: &[Received]) -> Vec<String> {
    let serial =
        |it: &Received| it.json().unwrap()["data"]["serialNumber"].as_str().map(str::to_owned);
    received.iter().map(|it| serial(it).unwrap_or_default()).collect()
}

fn verify(environment: &Environment, secret_file: &str, received: &Received) {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let fields: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(received.field(name)))).collect();
    let path = environment.scratch().join("received.json");
    std::fs::write(&path, json!({"body": received.body, "fields": fields}).to_string()).unwrap();
    let secret = environment.data().join(secret_file);
    let output = Command::new(test_python().unwrap())
        .args(["-c", VERIFY])
        .args([secret, path])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_second_key_is_told_once_a_minute_to_every_receiver_and_signed() {
    let (secure, plain) = (Receiver::https().unwrap(), Receiver::http(&[]).unwrap());
    let mut environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    std::fs::write(environment.data().join("receiver.pem"), &secure.root).unwrap();
    let one = notify(&secure.url("/hook?key=1")) + "root_ca = \"receiver.pem\"\n";
    let other = notify(&plain.url("/")) + "secret_file = \"another-secret\"\n";
    configure(&environment, &(one + &other));
    environment.serve().unwrap();

    let device = Bound::new(&environment, "SN-1");
    let refused = device.alarm();
    for _ in 0..3 {
        device.alarm();
    }
    Bound::new(&environment, "SN-2").alarm();
    // They come in their order: behind the second device's there is nothing more of the first's.
    for (receiver, secret) in [(&secure, "notify-secret"), (&plain, "another-secret")] {
        let received = wait_for_received(receiver, 2);
        assert_eq!(serials(&received), ["SN-1", "SN-2"]);
        assert_ne!(received[0].field("webhook-id"), received[1].field("webhook-id"));
        received.iter().for_each(|it| verify(&environment, secret, it));
    }
    let (first, same) = (&secure.received()[0], &plain.received()[0]);
    assert_eq!(first.field("webhook-id"), same.field("webhook-id"));
    assert_eq!((first.line.as_str(), same.line.as_str()), ("POST /hook?key=1", "POST /"));
    assert_eq!(first.field("content-type"), "application/json");

    let journal = environment.operate("GET", "/v1/journal", None).unwrap().json().unwrap();
    let rows = journal["items"].as_array().unwrap();
    let row = rows.iter().find(|row| row["class"] == "alarm").unwrap();
    let said = first.json().unwrap();
    assert_eq!(
        (&said["type"], &said["timestamp"]),
        (&json!("alarm.another-key-refused"), &row["at"])
    );
    assert_eq!(said["data"]["attempt"], refused.text("attempt"));
    for name in ["kind", "serialNumber", "certificateId", "attempt", "actor", "detail", "at"] {
        assert_eq!(said["data"][name], row[name], "{name}");
    }
    assert_eq!(said["data"].as_object().unwrap().len(), 7);
}

#[test]
fn a_receiver_that_is_not_who_it_should_be_is_sent_nothing() {
    let receiver = Receiver::https().unwrap();
    // Our own root, which did not sign the receiver's certificate.
    let environment = environment(&(notify(&receiver.url("/")) + "root_ca = \"root-ca.pem\"\n"));
    Bound::new(&environment, "SN-1").alarm();
    wait_for_log(&environment, "an alarm was not delivered yet");
    assert!(environment.log().contains("UnknownIssuer"), "{}", environment.log());
    assert!(receiver.received().is_empty());
}

#[test]
fn a_receiver_that_is_down_gets_it_once_it_is_up() {
    // Free, and where no other test takes it meanwhile.
    let address = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let environment = environment(&notify(&format!("http://{address}/")));
    Bound::new(&environment, "SN-1").alarm();
    wait_for_log(&environment, "an alarm was not delivered yet");
    let receiver = Receiver::http_at(address).unwrap();
    let received = wait_for_received(&receiver, 1);
    assert_eq!(serials(&received), ["SN-1"]);
    verify(&environment, "notify-secret", &received[0]);
}

#[test]
fn a_receiver_that_cannot_now_is_asked_again_and_a_redirect_is_not_followed() {
    let elsewhere = Receiver::http(&[]).unwrap();
    let replies = [Reply::Status(503), Reply::Redirect(elsewhere.url("/"))];
    let receiver = Receiver::http(&replies).unwrap();
    let environment = environment(&notify(&receiver.url("/")));
    Bound::new(&environment, "SN-1").alarm();
    let received = wait_for_received(&receiver, 3);
    let first = received[0].field("webhook-id");
    assert!(received.iter().all(|it| it.field("webhook-id") == first), "a repeat is known by it");
    assert!(received.iter().all(|it| it.body == received[0].body));
    verify(&environment, "notify-secret", &received[2]);
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_receiver_that_never_answers_delays_no_device_no_other_receiver_and_no_end() {
    let dead = Receiver::http(&[Reply::Never, Reply::Never]).unwrap();
    let healthy = Receiver::http(&[]).unwrap();
    let mut environment = environment(&(notify(&dead.url("/")) + &notify(&healthy.url("/"))));
    Bound::new(&environment, "SN-1").alarm();
    wait_for("the receiver to hold", WITHIN, || Ok((dead.holding() == 1).then_some(()))).unwrap();
    Bound::new(&environment, "SN-2").alarm();
    assert_eq!(serials(&wait_for_received(&healthy, 2)), ["SN-1", "SN-2"]);
    assert_eq!(dead.holding(), 1, "all this while it held the first");

    let began = Instant::now();
    assert_eq!(environment.terminate().unwrap(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let lost = environment.log().matches("an alarm was not delivered receiver=").count();
    assert_eq!(lost, 2, "what is lost is told: {}", environment.log());
}

#[test]
fn what_waits_at_the_end_is_sent_once_more() {
    let receiver = Receiver::http(&[Reply::Status(503), Reply::Status(503)]).unwrap();
    let mut environment = environment(&notify(&receiver.url("/")));
    Bound::new(&environment, "SN-1").alarm();
    wait_for_received(&receiver, 2);
    assert_eq!(environment.terminate().unwrap(), Some(0));
    assert_eq!(receiver.received().len(), 3);
    let log = environment.log();
    assert!(!log.contains("an alarm was not delivered receiver="), "{log}");
}

#[test]
fn what_cannot_be_sent_by_is_told_before_anything_listens() {
    let environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let path = environment.data().join("cvm.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let hook = "[[notify]]\nurl = \"https://localhost/hunter2\"\nroot_ca = ";
    let cases = [
        ("\"missing.pem\"\n", "[notify.1] root_ca = \"missing.pem\""),
        ("\"cvm.toml\"\n", "there is no certificate in it"),
        ("\"root-ca.pem\"\nsecret_file = \"root-ca.pem\"\n", "root-ca.pem holds no webhook secret"),
    ];
    for (rest, wanted) in cases {
        std::fs::write(&path, format!("{good}\n{hook}{rest}")).unwrap();
        let (code, _, stderr) = environment.run(&["serve"]).unwrap();
        assert!(code == 1 && stderr.contains(wanted), "{rest}: {code} {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}
