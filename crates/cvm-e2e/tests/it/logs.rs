//! Whatever is logged while a request is worked on carries the code that its answer has, is one line,
//! and repeats nothing of what was sent.

mod lines;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Environment, Kept, Key, Response, test_python, wait_for};
use serde_json::json;

use lines::{Form, Line};

const WITHIN: Duration = Duration::from_secs(60);

/// Where a serial number or a field could pretend to be a line of its own, or move a cursor.
const FORGED: &str = "SN\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\r\u{9b}31m\u{202e}";

/// What came of requests: each answer's code, with its route and its status.
#[derive(Default)]
struct Answers(BTreeMap<String, (&'static str, u16)>);

impl Answers {
    fn add(&mut self, route: &'static str, answer: &Response) {
        let code = answer.text("attempt");
        assert!(!code.is_empty(), "{answer:?}");
        assert_eq!(self.0.insert(code, (route, answer.status)), None);
    }
}

const VEND: &str = "/v1/certificates";

/// Vends, renewals, refusals and mistakes, each on a connection of its own and on one that is kept.
fn drive(environment: &Environment, number: usize, answers: &mut Answers) {
    let serial = format!("SN-{number}");
    let token = environment.device_add(&serial).unwrap();
    let key = Key::new().unwrap();
    let vended = environment.vend(&serial, &token, &key.csr().unwrap()).unwrap();
    assert_eq!(vended.status, 201);
    answers.add(VEND, &vended);
    answers.add(VEND, &environment.vend(&serial, &token, &key.csr().unwrap()).unwrap());
    let chain = [vended.text("certificate"), vended.text("chain")].concat();
    let mut kept = Kept::new(environment.certificate_client(&chain, &key).unwrap());
    let confirmed = kept.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(confirmed.status, 204);
    let next = json!({"csr": Key::new().unwrap().csr().unwrap()});
    let renewed = kept.request("POST", "/v1/certificates/renew", &[], Some(&next)).unwrap();
    assert_eq!(renewed.status, 201);
    answers.add("/v1/certificates/renew", &renewed);
    let ask = |serial: &str, csr: &str| json!({"serialNumber": serial, "token": token, "csr": csr});
    let other = ask(&serial, &Key::new().unwrap().csr().unwrap());
    let bodies = [other, ask("SN-nobody", "x"), ask(FORGED, FORGED), json!({"no": "vend"})];
    for body in bodies {
        let fields = ["X-Forged: \u{e9}\u{ff} [2J", "User-Agent: forged"];
        let refused = kept.request("POST", VEND, &fields, Some(&body)).unwrap();
        assert!((400..500).contains(&refused.status), "{refused:?}");
        answers.add(VEND, &refused);
    }
    for path in ["/forged%0a%1b[2J", "/v1/devices/forged"] {
        answers.add("none", &kept.request("GET", path, &[], None).unwrap());
    }
    answers.add("none", &kept.request("DELETE", VEND, &[], None).unwrap());
}

/// Many at once over one connection of HTTP/2, by a client that others wrote.
fn drive_multiplexed(environment: &Environment, answers: &mut Answers) {
    let root = environment.data().join("root-ca.pem");
    let body = json!({"serialNumber": "SN-nobody", "token": "x", "csr": "x"}).to_string();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http2", "--parallel", "--parallel-max", "8", "--cacert"]).arg(&root);
    curl.args(["-w", "%{http_version}\n", "--json", &body]);
    let answer = |number: u32| -> PathBuf { environment.scratch().join(format!("h2-{number}")) };
    for number in 0..16 {
        curl.arg("-o").arg(answer(number)).arg(format!("{}{VEND}", environment.device_url()));
    }
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("2\n"));
    for number in 0..16 {
        let body = std::fs::read_to_string(answer(number)).unwrap();
        let answer = Response { status: 403, head: String::new(), body };
        answers.add(VEND, &answer);
    }
}

/// Vends while another program holds the database, until one is told that the store cannot.
fn drive_into_a_fault(environment: &Environment, answers: &mut Answers) {
    const HOLD: &str = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                        c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()";
    let token = environment.device_add("SN-fault").unwrap();
    let mut holder = Command::new(test_python().unwrap())
        .args(["-c", HOLD])
        .arg(environment.data().join("cvm.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = holder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let failed = environment.vend("SN-fault", &token, &csr).unwrap();
    assert_eq!(failed.status, 503, "{failed:?}");
    answers.add(VEND, &failed);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    wait_for("the store to recover", WITHIN, || {
        let vended = environment.vend("SN-fault", &token, &csr)?;
        answers.add(VEND, &vended);
        Ok((vended.status == 201).then_some(()))
    })
    .unwrap();
}

/// Routes whose successes have no code in their bodies.
fn has_code(line: &Line) -> bool {
    let is_success = line.status.is_some_and(|status| status < 300);
    let is_device = [VEND, "/v1/certificates/renew"].contains(&line.route.as_str());
    !is_success || is_device && line.method == "POST"
}

fn judge(log: &str, form: Form, answers: &Answers) {
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log:?}");
    for told in ["forged\u{1b}", "X-Forged", "SN-nobody", "\u{202e}", "[2J", "User-Agent"] {
        assert!(!log.contains(told), "{told}");
    }
    let lines: Vec<Line> = log.lines().map(|line| form.parse(line)).collect();
    let of_requests: Vec<&Line> = lines.iter().filter(|line| !line.is_of_no_request()).collect();
    for line in &of_requests {
        assert_eq!(line.attempt.len(), 11, "without a code: {line:?}");
        assert!(["POST", "GET", "DELETE", "PUT"].contains(&line.method.as_str()), "{line:?}");
        assert!(line.route == "none" || line.route.starts_with("/v1/"), "{line:?}");
        assert_eq!(line.peer, "127.0.0.1", "{line:?}");
    }
    let answered = || of_requests.iter().filter(|line| line.message == "answered");
    for line in answered().filter(|line| has_code(line)) {
        assert!(answers.0.contains_key(&line.attempt), "nobody had this code: {line:?}");
    }
    for (code, (route, status)) in &answers.0 {
        let own: Vec<_> = answered().filter(|line| line.attempt == *code).collect();
        assert_eq!(own.len(), 1, "{code} {route} {status}");
        assert_eq!((own[0].route.as_str(), own[0].status), (*route, Some(*status)));
    }
    let codes = |message: &str| -> Vec<&str> {
        let found = lines.iter().filter(|line| line.message.starts_with(message));
        found.map(|line| line.attempt.as_str()).collect()
    };
    let status_of = |code: &str| answers.0.get(code).map(|(_, status)| *status);
    // What is written on the store's thread, and after the answer has left, too.
    for (message, status) in [("the store failed", 503), ("request failed", 503)] {
        let codes = codes(message);
        assert!(!codes.is_empty(), "{message}");
        assert!(codes.iter().all(|code| status_of(code) == Some(status)), "{message}: {codes:?}");
    }
    let alarms = codes("alarm raised");
    assert_eq!(alarms.len(), DEVICES);
    assert!(alarms.iter().all(|code| status_of(code) == Some(403)), "{alarms:?}");
}

const DEVICES: usize = 4;

fn check(form: Form) {
    let settings = [("log.level", "debug"), ("log.format", form.setting())];
    let environment = Environment::start(&settings).unwrap();
    let before = environment.log().len();
    let mut answers = Answers::default();
    std::thread::scope(|scope| {
        let devices = (0..DEVICES).map(|number| {
            let environment = &environment;
            scope.spawn(move || {
                let mut answers = Answers::default();
                drive(environment, number, &mut answers);
                answers
            })
        });
        let devices: Vec<_> = devices.collect();
        drive_multiplexed(&environment, &mut answers);
        for device in devices {
            answers.0.extend(device.join().unwrap().0);
        }
    });
    drive_into_a_fault(&environment, &mut answers);
    // The alarm's line comes after its answer.
    let log = wait_for("the last lines", WITHIN, || {
        let log = environment.log();
        let alarms = log.matches("alarm raised").count();
        let told = answers.0.keys().all(|code| log.contains(code.as_str()));
        Ok(Some(log).filter(|_| alarms == DEVICES && told))
    })
    .unwrap();
    judge(&log[before..], form, &answers);
}

#[test]
fn every_line_of_text_carries_the_code_of_its_requests_answer() {
    check(Form::Text);
}

#[test]
fn every_line_of_json_carries_the_code_of_its_requests_answer() {
    check(Form::Json);
}
