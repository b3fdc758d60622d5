//! The server's clock (protocol, section 11), with the real binary under `faketime`: a clock that
//! jumps, falls back, starts in 1970, and lives through the dates at which others break.

mod accept;
mod dates;
mod steps;

use cvm_core::time::{Span, Timestamp};
use cvm_e2e::{Environment, Key, Response};
use serde_json::json;

const HOUR: Span = Span(60 * Span::MINUTE.0);

fn days(count: i64) -> Span {
    Span(count * Span::DAY.0)
}

/// A server that is made and run at the present, by a clock that can be set.
fn started() -> Environment {
    let mut environment = Environment::new(&[]).unwrap();
    environment.set_clock(environment.now()).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    environment
}

/// Sets the clock by so much, forward or back.
fn step(environment: &mut Environment, by: Span) {
    environment.set_clock(environment.now().plus(by)).unwrap();
}

/// A device that has asked for nothing yet.
struct Asker {
    serial: String,
    token: String,
    key: Key,
}

impl Asker {
    fn new(environment: &Environment, serial: &str) -> Self {
        let token = environment.device_add(serial).unwrap();
        Self { serial: serial.to_owned(), token, key: Key::new().unwrap() }
    }

    fn vend(&self, environment: &Environment) -> Response {
        environment.vend(&self.serial, &self.token, &self.key.csr().unwrap()).unwrap()
    }

    fn confirm(&self, environment: &Environment, answer: &Response) -> Response {
        let chain = format!("{}{}", answer.text("certificate"), answer.text("chain"));
        let client = environment.certificate_client(&chain, &self.key).unwrap();
        client.request("POST", "/v1/certificates/confirm", &[], None).unwrap()
    }
}

/// Nothing is issued, and everything else goes on.
fn assert_issues_nothing(environment: &Environment, reason: &str) {
    let asker = Asker::new(environment, &format!("new-{reason}-{}", environment.now().0));
    let refused = asker.vend(environment);
    assert_eq!((refused.status, refused.slug().as_str()), (503, "unavailable"), "{refused:?}");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    let told = environment.succeed(&["explain", &refused.text("attempt")]).unwrap();
    assert!(told.contains("clock") && told.contains("cvm doctor"), "{told}");

    let wrong = environment.vend(&asker.serial, "no token of this device", "no CSR").unwrap();
    assert_eq!((wrong.status, wrong.slug().as_str()), (403, "access-denied"));
    let clock = environment.operate("GET", "/v1/clock", None).unwrap().json().unwrap();
    assert_eq!((&clock["trusted"], &clock["reason"]), (&json!(false), &json!(reason)));
    let (code, report, stderr) = environment.run(&["doctor"]).unwrap();
    assert_eq!(code, 1, "{report}{stderr}");
    let line = report.lines().find(|line| line.starts_with("FAILED   clock")).unwrap_or(&report);
    assert!(line.contains("nothing is issued") && line.contains("--accept-time"), "{report}");
}

fn assert_issues(environment: &Environment) {
    let now = environment.now();
    let issued = Asker::new(environment, &format!("good-{}", now.0)).vend(environment);
    assert_eq!(issued.status, 201, "{issued:?}");
    let since: Timestamp = issued.text("serverTime").parse().unwrap();
    assert!((-1..60).contains(&since.since(now).0), "{since} at {now}");
    let (code, report, _) = environment.run(&["doctor"]).unwrap();
    assert_eq!(code, 0, "{report}");
    assert!(report.contains("ok       clock"), "{report}");
}
