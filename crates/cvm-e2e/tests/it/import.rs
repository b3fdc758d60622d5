//! `POST /v1/devices:import` by `curl`: many lines over both protocols; clients and servers that are
//! killed on their way, and peers that stall.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Environment, wait_for};
use serde_json::{Value, json};

const LINES: usize = 10_000;
const LONG: Duration = Duration::from_secs(60);

/// A body that registers so many devices with tokens of their own.
fn rows(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let row = json!({"serialNumber": format!("SN-{number}"), "token": token(number)});
        writeln!(text, "{row}").unwrap();
        text
    })
}

fn token(number: usize) -> String {
    format!("the token of number {number}")
}

/// `curl` on its way with a body; what it is answered goes to a file.
struct Curl {
    child: Child,
    answer: PathBuf,
}

impl Curl {
    fn start(environment: &Environment, body: &str, more: &[&str]) -> Self {
        let sent = environment.scratch().join("import.ndjson");
        let answer = environment.scratch().join("results.ndjson");
        std::fs::write(&sent, body).unwrap();
        std::fs::write(&answer, "").unwrap();
        let port = environment.ready("operator").rsplit(':').next().unwrap().to_owned();
        let child = Command::new("curl")
            .args(["--silent", "--show-error", "--no-buffer", "--fail-with-body"])
            .arg("--cacert")
            .arg(environment.data().join("root-ca.pem"))
            .args(["-H", "Content-Type: application/x-ndjson", "-H"])
            .arg(format!("Authorization: Bearer {}", environment.admin_token().unwrap()))
            .arg("--data-binary")
            .arg(format!("@{}", sent.display()))
            .arg("--output")
            .arg(&answer)
            .args(more)
            .arg(format!("https://localhost:{port}/v1/devices:import"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, answer }
    }

    /// The results that are there in whole.
    fn results(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.answer).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wait_for_results(&self, count: usize) {
        wait_for("results of the import", LONG, || {
            Ok((self.results().len() >= count).then_some(()))
        })
        .unwrap();
    }

    /// The results, and whether all went well.
    fn finish(mut self) -> (Vec<Value>, bool, String) {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.results(), status.success(), said)
    }
}

/// The results of an import that has to succeed.
fn imported(environment: &Environment, body: &str, more: &[&str]) -> Vec<Value> {
    let (results, is_fine, said) = Curl::start(environment, body, more).finish();
    assert!(is_fine, "{said}; log: {}", environment.log());
    results
}

/// How many of the results have each status; they are in the order of their lines.
fn statuses(results: &[Value]) -> BTreeMap<u64, usize> {
    assert!((1..).zip(results).all(|(line, result): (u64, _)| result["line"] == line));
    results.iter().fold(BTreeMap::new(), |mut counts, result| {
        *counts.entry(result["status"].as_u64().unwrap()).or_default() += 1;
        counts
    })
}

/// All items of a list, page by page.
fn all(environment: &Environment, list: &str) -> Vec<Value> {
    let (mut items, mut path) = (Vec::new(), format!("{list}?limit=1000"));
    loop {
        let page = environment.operate("GET", &path, None).unwrap().json().unwrap();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("{list}?limit=1000&cursor={cursor}"),
            None => return items,
        }
    }
}

/// That there are so many devices, each registered once.
fn check_registered_once(environment: &Environment, count: usize) {
    let devices = all(environment, "/v1/devices");
    assert_eq!(devices.len(), count);
    assert!(devices.iter().all(|device| device["version"] == 1 && device["state"] == "registered"));
    let rows = all(environment, "/v1/journal");
    let rows: Vec<_> = rows.iter().filter(|row| row["kind"] == "device-registered").collect();
    let serials: BTreeSet<_> = rows.iter().map(|row| row["serialNumber"].to_string()).collect();
    assert_eq!((rows.len(), serials.len()), (count, count), "one row for each");
    assert!(rows.iter().all(|row| row["actor"].as_str().unwrap().starts_with("operator ")));
}

#[test]
fn curl_imports_many_lines_over_both_protocols_and_the_same_again_changes_nothing() {
    let environment = Environment::start(&[]).unwrap();
    let first = imported(&environment, &rows(LINES), &["--http1.1"]);
    assert_eq!(statuses(&first), BTreeMap::from([(201, LINES)]));
    assert!(first.iter().zip(0..).all(|(it, n)| it["serialNumber"] == format!("SN-{n}")));
    let more = imported(&environment, &rows(2 * LINES), &["--http2"]);
    assert_eq!(statuses(&more), BTreeMap::from([(200, LINES), (201, LINES)]));
    check_registered_once(&environment, 2 * LINES);
    let csr = cvm_e2e::Key::new().unwrap().csr().unwrap();
    let vended = environment.vend("SN-19999", &token(19_999), &csr).unwrap();
    assert_eq!(vended.status, 201, "{vended:?}");
}

#[test]
fn a_line_of_any_length_harms_no_other() {
    let environment = Environment::start(&[]).unwrap();
    for protocol in ["--http1.1", "--http2"] {
        let huge = "x".repeat(3 * 1_024 * 1_024);
        let row = |serial: &str| json!({"serialNumber": serial, "token": token(1)});
        let body = format!("{}\n{{\"serialNumber\": \"{huge}\"}}\n{}", row("SN-1"), row("SN-2"));
        let results = imported(&environment, &body, &[protocol]);
        assert_eq!(results[1]["status"], 413, "{protocol}");
        assert_eq!(results[1]["problem"]["type"], "/problems/too-large");
        assert!(
            results[0]["status"].as_u64() < Some(300) && results[2]["status"].as_u64() < Some(300)
        );
    }
    check_registered_once(&environment, 2);
}

#[test]
fn a_client_that_is_killed_on_its_way_sends_all_again() {
    let environment = Environment::start(&[]).unwrap();
    for protocol in ["--http1.1", "--http2"] {
        // Slowly, so that it is on its way for some time.
        let mut curl = Curl::start(&environment, &rows(LINES), &[protocol, "--limit-rate", "400k"]);
        curl.wait_for_results(1);
        curl.child.kill().unwrap();
        let (answered, ..) = curl.finish();
        for result in &answered {
            let path = format!("/v1/devices/{}", result["serialNumber"].as_str().unwrap());
            if result["line"].as_u64().unwrap() % 500 == 1 {
                assert_eq!(environment.operate("GET", &path, None).unwrap().status, 200);
            }
        }
    }
    let results = imported(&environment, &rows(LINES), &[]);
    let statuses = statuses(&results);
    assert_eq!(statuses.values().sum::<usize>(), LINES);
    assert!(statuses.keys().all(|status| [200, 201].contains(status)), "{statuses:?}");
    check_registered_once(&environment, LINES);
}

#[test]
fn a_server_that_is_killed_on_its_way_has_lost_nothing_that_it_said() {
    let mut environment = Environment::start(&[]).unwrap();
    let mut said: BTreeSet<String> = BTreeSet::new();
    for (kill, protocol) in ["--http1.1", "--http2", "--http1.1"].into_iter().enumerate() {
        let curl = Curl::start(&environment, &rows(LINES), &[protocol, "--limit-rate", "800k"]);
        curl.wait_for_results(1 + 700 * kill);
        environment.kill().unwrap();
        let (answered, ..) = curl.finish();
        environment.serve().unwrap();
        assert!(answered.iter().all(|result| result["status"].as_u64() < Some(300)));
        for result in answered {
            said.insert(result["serialNumber"].as_str().unwrap().to_owned());
        }
        let there: BTreeSet<String> = all(&environment, "/v1/devices")
            .iter()
            .map(|device| device["serialNumber"].as_str().unwrap().to_owned())
            .collect();
        assert!(said.is_subset(&there), "{:?}", said.difference(&there).next());
    }
    let results = imported(&environment, &rows(LINES), &[]);
    for result in &results {
        let was_said = said.contains(result["serialNumber"].as_str().unwrap());
        let status = result["status"].as_u64().unwrap();
        assert!(status == 200 || status == 201 && !was_said, "{result}");
    }
    assert_eq!(results.len(), LINES);
    check_registered_once(&environment, LINES);
}

#[test]
fn a_peer_that_stalls_is_cut_off_and_one_that_has_said_nothing_is_told_so() {
    let environment = Environment::start(&[("limits.request_seconds", "1")]).unwrap();
    let bearer = format!("Authorization: Bearer {}", environment.admin_token().unwrap());
    let head = format!(
        "POST /v1/devices:import HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n"
    );
    let client = environment.operator_client().unwrap();
    let silent = client.exchange(head.as_bytes()).unwrap();
    assert_eq!((silent.status, silent.slug()), (408, String::from("request-timeout")));
    let row = json!({"serialNumber": "SN-1", "token": token(1)});
    let stalled = client.exchange(format!("{head}{row}\n{{").as_bytes()).unwrap();
    assert_eq!(stalled.status, 200);
    assert!(stalled.body.contains("\"line\":1"), "{stalled:?}");
    assert!(!stalled.body.contains("\"line\":2"), "{stalled:?}");
    assert!(!stalled.body.ends_with("0\r\n\r\n"), "not as a whole answer ends: {stalled:?}");
    let idle = client.connect().and_then(|mut stream| Ok(stream.write_all(head.as_bytes())?));
    idle.unwrap();
    check_registered_once(&environment, 1);
}
