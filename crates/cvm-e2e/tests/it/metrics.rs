//! Metrics as Prometheus reads them, by a parser that others wrote; and nothing secret in them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Environment, Key, test_python, wait_for};
use serde_json::Value;

/// Reads the text format and prints each sample as `[name, labels, value]`, and each family's type.
const PARSE: &str = r"
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
samples = [[s.name, s.labels, s.value] for family in families for s in family.samples]
types = {family.name: family.type for family in families}
json.dump({'samples': samples, 'types': types}, sys.stdout)
";

struct Metrics(Value);

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut python = Command::new(test_python().unwrap())
            .args(["-c", PARSE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{text}");
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn samples(&self) -> &Vec<Value> {
        self.0["samples"].as_array().unwrap()
    }

    /// The value of a sample by its name and labels.
    fn value(&self, name: &str, labels: Value) -> Option<f64> {
        let found = self.samples().iter().find(|it| it[0] == name && it[1] == labels);
        found.and_then(|sample| sample[2].as_f64())
    }
}

fn curl(arguments: &[&str], environment: &Environment, path: &str) -> String {
    let url = format!("http://{}{path}", environment.ready("metrics"));
    let output = Command::new("curl").arg("-sS").args(arguments).arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn scrape(environment: &Environment) -> String {
    curl(&[], environment, "/metrics")
}

#[test]
fn metrics_tell_what_happened_and_name_no_device_and_no_secret() {
    let environment = Environment::start(&[]).unwrap();
    let nothing = Metrics::parse(&scrape(&environment));
    for kind in [
        "another-key-issued",
        "another-key-pending",
        "another-key-refused",
        "burnt-token-shown",
        "revoked-certificate-used",
    ] {
        let labels = serde_json::json!({"kind": kind});
        assert_eq!(nothing.value("cvm_alarms_total", labels), Some(0.0), "{kind}");
    }

    let token = environment.device_add("SN-0815").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let first = environment.vend("SN-0815", &token, &csr).unwrap();
    assert_eq!(first.status, 201);
    assert_eq!(environment.vend("SN-0815", &token, &csr).unwrap().status, 200);
    let other = Key::new().unwrap().csr().unwrap();
    let refused = [(), ()].map(|()| environment.vend("SN-0815", &token, &other).unwrap());
    assert_eq!(refused[0].status, 409);
    environment.operate("GET", "/v1/devices/SN-0815", None).unwrap();
    let alarm = "cvm_alarms_total{kind=\"another-key-refused\"} 1\n";
    let text = wait_for("the alarm", Duration::from_secs(30), || {
        Ok(Some(scrape(&environment)).filter(|text| text.contains(alarm)))
    })
    .unwrap();

    let metrics = Metrics::parse(&text);
    let vends = |status: &str| {
        let labels = serde_json::json!(
            {"route": "/v1/certificates", "method": "POST", "status": status});
        metrics.value("cvm_requests_total", labels)
    };
    assert_eq!(["201", "200", "409"].map(vends), [Some(1.0), Some(1.0), Some(2.0)]);
    let route = serde_json::json!({"route": "/v1/certificates"});
    assert_eq!(metrics.value("cvm_request_duration_seconds_count", route), Some(4.0));
    let none = || serde_json::json!({});
    assert_eq!(metrics.value("cvm_certificates_issued_total", none()), Some(1.0));
    assert_eq!(metrics.value("cvm_clock_trusted", none()), Some(1.0));
    assert_eq!(metrics.value("cvm_journal_failures_total", none()), Some(0.0));
    let version = serde_json::json!({"version": env!("CARGO_PKG_VERSION")});
    assert_eq!(metrics.value("cvm_build_info", version), Some(1.0));
    let types = &metrics.0["types"];
    assert_eq!(types["cvm_request_duration_seconds"], "histogram");
    assert_eq!(types["cvm_alarms"], "counter");

    let attempt = refused[0].text("attempt");
    let certificate = first.text("certificateId");
    let admin = environment.admin_token().unwrap();
    for secret in ["SN-0815", &token, &admin, &attempt, &certificate] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn paths_that_strangers_make_up_make_no_series() {
    let environment = Environment::start(&[]).unwrap();
    let devices = environment.device_client().unwrap();
    let ask = |path: String| devices.request("GET", &path, &[], None).unwrap();
    let series = || Metrics::parse(&scrape(&environment)).samples().len();
    ask(String::from("/nothing"));
    ask(String::from("/problems/nothing"));
    let before = series();
    for number in 0..20 {
        ask(format!("/nothing/{number}"));
        ask(format!("/problems/{number}"));
    }
    assert_eq!(series(), before);
}

#[test]
fn the_listener_has_metrics_and_nothing_else() {
    let environment = Environment::start(&[]).unwrap();
    let status = |arguments: &[&str], path: &str| {
        let all = [arguments, &["-o", "/dev/null", "-w", "%{http_code} %{content_type}"]].concat();
        curl(&all, &environment, path)
    };
    let kind = "text/plain; version=0.0.4";
    assert_eq!(status(&[], "/metrics"), format!("200 {kind}"));
    assert_eq!(status(&["--head"], "/metrics"), format!("200 {kind}"));
    assert_eq!(status(&["-X", "POST"], "/metrics"), format!("405 {kind}"));
    for path in ["/", "/metrics/x", "/healthz", "/v1/devices"] {
        assert_eq!(status(&[], path), format!("404 {kind}"), "{path}");
    }
}

#[test]
fn who_connects_and_says_nothing_keeps_metrics_from_nobody_for_long() {
    let environment = Environment::start(&[]).unwrap();
    let mut silent: Vec<TcpStream> =
        (0..17).map(|_| TcpStream::connect(environment.ready("metrics")).unwrap()).collect();
    let text = curl(&["--max-time", "60"], &environment, "/metrics");
    assert!(text.contains("cvm_build_info"));
    let first = silent.first_mut().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "it was hung up on");
}

#[test]
fn metrics_may_be_off_and_are_warned_of_where_others_can_read_them() {
    let off = Environment::start(&[("metrics.listen", "")]).unwrap();
    let ready = std::fs::read_to_string(off.data().join("ready.json")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready.get("metrics"), Some(&Value::Null));
    let warning = "metrics are served without TLS";
    assert!(!off.log().contains(warning));

    let open = Environment::start(&[("metrics.listen", "0.0.0.0:0")]).unwrap();
    assert!(open.log().contains(warning), "{}", open.log());
    let local = Environment::start(&[]).unwrap();
    assert!(!local.log().contains(warning));
}
