//! Metrics as Prometheus reads them, by a parser that others wrote; and nothing secret in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use cvm_e2e::{Environment, Key, test_python, wait_for};
use serde_json::{Value, json};

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

/// A family as the document has it, and its type and labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = include_str!("../../../../docs/METRICS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let in_quotes = |cell: &str| -> Vec<String> {
        // What stands in parentheses are a label's values.
        let outside: String = cell
            .split('(')
            .enumerate()
            .map(|(place, part)| match place {
                0 => part,
                _ => part.split_once(')').map_or("", |(_, after)| after),
            })
            .collect();
        outside.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = in_quotes(cells[1]).concat();
        (name, (cells[2].to_owned(), in_quotes(cells[3]).into_iter().collect()))
    })
    .collect()
}

/// A family's name without what the samples of a histogram add to it.
fn family_of(sample: &str, types: &Value) -> String {
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| sample.strip_suffix(end));
    match base.filter(|base| types[*base] == "histogram") {
        Some(base) => base.to_owned(),
        None => sample.to_owned(),
    }
}

#[test]
fn the_document_lists_every_family_and_names_none_that_is_not_there() {
    let environment = Environment::start(&[("issuance.server_keys", "true")]).unwrap();
    let token = environment.device_add("SN-0815").unwrap();
    let vended = environment.vend("SN-0815", &token, &Key::new().unwrap().csr().unwrap()).unwrap();
    assert_eq!(vended.status, 201);
    assert_eq!(environment.vend("SN-0816", "x", "x").unwrap().status, 403);
    let metrics = wait_for("the attempt", Duration::from_secs(60), || {
        let metrics = Metrics::parse(&scrape(&environment));
        let issued = json!({"act": "vend", "outcome": "issued", "reason": ""});
        Ok(Some(metrics).filter(|it| it.value("cvm_attempts_total", issued) == Some(1.0)))
    })
    .unwrap();
    let types = &metrics.0["types"];
    let mut served: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for sample in metrics.samples() {
        let family = family_of(sample[0].as_str().unwrap(), types);
        let kind = &types[family.strip_suffix("_total").unwrap_or(&family)];
        let labels = sample[1].as_object().unwrap().keys().filter(|label| *label != "le").cloned();
        let (_, all) = served
            .entry(family)
            .or_insert_with(|| (kind.as_str().unwrap().to_owned(), BTreeSet::new()));
        all.extend(labels);
    }
    let documented = documented();
    let names = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<BTreeSet<_>>();
    let (told, there) = (names(&documented), names(&served));
    assert_eq!(&there - &told, BTreeSet::new(), "served and not in docs/METRICS.md");
    assert_eq!(&told - &there, BTreeSet::new(), "in docs/METRICS.md and not served");
    assert_eq!(served, documented, "types and labels");
}

#[test]
fn what_happens_is_in_the_store_s_and_the_door_s_numbers() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-0815").unwrap();
    let before = Metrics::parse(&scrape(&environment));
    let key = Key::new().unwrap();
    let vended = environment.vend("SN-0815", &token, &key.csr().unwrap()).unwrap();
    let chain = [vended.text("certificate"), vended.text("chain")].concat();
    let client = environment.certificate_client(&chain, &key).unwrap();
    assert_eq!(client.request("POST", "/v1/certificates/confirm", &[], None).unwrap().status, 204);
    assert_eq!(environment.vend("SN-4711", &token, &key.csr().unwrap()).unwrap().status, 403);
    let mut raw = TcpStream::connect(environment.ready("http")).unwrap();
    raw.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _alert = raw.read(&mut [0; 64]);
    let none = || json!({});
    let after = wait_for("all of it", Duration::from_secs(60), || {
        let after = Metrics::parse(&scrape(&environment));
        let failed = after.value("cvm_handshakes_failed_total", json!({"listener": "device"}));
        let unknown = after.value("cvm_unknown_callers_total", none());
        Ok(Some(after).filter(|_| (failed, unknown) == (Some(1.0), Some(1.0))))
    })
    .unwrap();
    let rows = |metrics: &Metrics, kind: &str| {
        metrics.value("cvm_journal_rows_total", json!({"kind": kind})).unwrap()
    };
    for kind in ["device-registered", "certificate-issued", "certificate-confirmed"] {
        assert_eq!(rows(&after, kind), 1.0, "{kind}");
    }
    let grew =
        |name: &str| after.value(name, none()).unwrap() - before.value(name, none()).unwrap();
    // At most a commit for the certificate, one for its confirmation, and one of the clock's mark.
    assert!((2.0..=3.0).contains(&grew("cvm_store_commits_total")));
    assert_eq!(grew("cvm_store_commits_total"), grew("cvm_store_commit_writes_count"));
    assert_eq!(grew("cvm_store_commits_total"), grew("cvm_store_commit_duration_seconds_count"));
    assert!(grew("cvm_store_commit_duration_seconds_sum") > 0.0);
    assert_eq!(after.value("cvm_store_up", none()), Some(1.0));
    let size = |file: &str| after.value("cvm_store_file_bytes", json!({"file": file})).unwrap();
    assert!(size("registry") > 0.0 && size("attempts") > 0.0);
    let denied = json!({"problem": "access-denied"});
    assert_eq!(after.value("cvm_refusals_total", denied), Some(1.0));
    let ends = |name: &str| {
        let labels = json!({"certificate": name});
        after.value("cvm_certificate_not_after_timestamp_seconds", labels).unwrap()
    };
    assert!(ends("server") < ends("devices-ca") && ends("devices-ca") <= ends("root"));
}

/// Each rule's expression parsed by a parser that others wrote; prints the metrics it names.
const RULES: &str = "
import json, sys, yaml, promql_parser
def names(node, found):
    if isinstance(node, promql_parser.VectorSelector):
        found.add(node.name)
    for field in ('args', 'lhs', 'rhs', 'expr', 'vector_selector', 'param'):
        child = getattr(node, field, None)
        for one in (child if isinstance(child, list) else [child]):
            if one is not None and not isinstance(one, (str, int, float)):
                names(one, found)
    return found
rules = [rule for group in yaml.safe_load(sys.stdin)['groups'] for rule in group['rules']]
for rule in rules:
    assert rule['annotations']['summary'] and rule['labels']['severity'] in ('page', 'ticket'), rule
    for_ = rule.get('for', '1m')
    assert for_[:-1].isdigit() and for_[-1] in 'smhd', for_
    print(json.dumps([rule['alert'], sorted(names(promql_parser.parse(rule['expr']), set()))]))
";

#[test]
fn every_alert_can_be_parsed_and_asks_for_families_that_there_are() {
    let file = std::fs::File::open("../../packaging/prometheus/alerts.yml").unwrap();
    let output = Command::new(test_python().unwrap()).args(["-c", RULES]).stdin(file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let alerts: Vec<(String, Vec<String>)> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(alerts.len() > 20, "{told}");
    let documented = documented();
    for (alert, names) in alerts {
        assert!(!names.is_empty(), "{alert} asks for nothing");
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(documented.contains_key(family), "{alert} asks for {name}, which is not there");
        }
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
