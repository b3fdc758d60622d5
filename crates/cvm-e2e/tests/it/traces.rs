//! OpenTelemetry: the build that has it sends what a vend was made of to a collector that others
//! could have written; the build that has it not says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use cvm_e2e::{Environment, Key, test_python};
use serde_json::Value;

/// `cargo xtask test` builds it with the feature `otel`.
const BUILD: &str = "cvm-otel";

/// How long spans may take to come: they are sent every five seconds.
const WITHIN: Duration = Duration::from_secs(60);

/// Takes OTLP over HTTP and prints each span as a line of JSON, after a line with its own port.
const COLLECTOR: &str = "
import http.server, json
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers['content-length'])))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = MessageToDict(span)
                    told['path'] = self.path
                    told['type'] = self.headers['content-type']
                    told['resource'] = MessageToDict(resource.resource)
                    print(json.dumps(told), flush=True)
        self.send_response(200)
        self.send_header('content-length', '0')
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
";

struct Collector {
    process: Child,
    endpoint: String,
    spans: Receiver<Value>,
}

impl Collector {
    fn start() -> Self {
        let mut process = Command::new(test_python().unwrap())
            .args(["-c", COLLECTOR])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let (sender, spans) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _nobody_reads = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, endpoint: format!("http://127.0.0.1:{port}/v1/traces"), spans }
    }

    /// The spans until there is one called `name` with this attempt's code, and those with it.
    fn until(&self, name: &str, attempt: &str) -> Vec<Value> {
        let deadline = Instant::now() + WITHIN;
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let span = self.spans.recv_timeout(left).unwrap_or_else(|_| panic!("{all:#?}"));
            let is_it = span["name"] == name && attribute(&span, "attempt") == attempt;
            all.push(span);
            if is_it {
                return all;
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ended = self.process.kill();
    }
}

fn attribute(span: &Value, key: &str) -> String {
    let all = span["attributes"].as_array();
    let found = all.and_then(|all| all.iter().find(|it| it["key"] == key));
    found.and_then(|it| it["value"]["stringValue"].as_str()).unwrap_or_default().to_owned()
}

fn is_child(child: &Value, parent: &Value) -> bool {
    child["traceId"] == parent["traceId"] && child["parentSpanId"] == parent["spanId"]
}

fn serve(collector: &Collector) -> Environment {
    // Lines and spans are chosen apart.
    let settings = [("trace.endpoint", collector.endpoint.as_str()), ("log.level", "error")];
    let mut environment = Environment::new(&settings).unwrap();
    environment.set_binary(BUILD);
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    environment
}

#[test]
fn a_vend_is_a_trace_from_its_request_to_its_signature_and_its_commit() {
    let collector = Collector::start();
    let environment = serve(&collector);
    let token = environment.device_add("SN-1").unwrap();
    let vended = environment.vend("SN-1", &token, &Key::new().unwrap().csr().unwrap()).unwrap();
    let attempt = vended.text("attempt");
    let spans = collector.until("request", &attempt);
    let request = spans.last().unwrap();
    assert_eq!(attribute(request, "route"), "/v1/certificates");
    assert_eq!(attribute(request, "method"), "POST");
    assert_eq!(request["parentSpanId"], Value::Null);
    assert_eq!(request["events"][0]["name"], "answered");
    assert_eq!([&request["path"], &request["type"]], ["/v1/traces", "application/x-protobuf"]);
    assert_eq!(attribute(&request["resource"], "service.name"), "cvm");
    let below = |parent: &Value, name: &str| {
        let found = spans.iter().find(|span| is_child(span, parent) && span["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} below it: {spans:#?}")).clone()
    };
    let use_case = below(request, "use_case");
    assert_eq!(attribute(&use_case, "endpoint"), "CertificateVend");
    below(&use_case, "sign");
    below(&use_case, "commit");
    let all = serde_json::to_string(&spans).unwrap();
    for secret in [&token, "SN-1", &environment.admin_token().unwrap(), "BEGIN"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[test]
fn the_context_that_a_caller_sends_changes_nothing() {
    let collector = Collector::start();
    let environment = serve(&collector);
    let theirs = "0af7651916cd43dd8448eb211c80319c";
    // Not sampled, says who asks.
    let field = format!("traceparent: 00-{theirs}-b7ad6b7169203331-00");
    let answer = environment.device_client().unwrap();
    let answer = answer.request("GET", "/nothing", &[&field], None).unwrap();
    let spans = collector.until("request", &answer.text("attempt"));
    let request = spans.last().unwrap();
    assert_eq!(request["parentSpanId"], Value::Null);
    assert_eq!(request["links"], Value::Null);
}

#[test]
fn a_server_that_ends_sends_what_it_has() {
    let collector = Collector::start();
    let mut environment = serve(&collector);
    let answer = environment.device_client().unwrap().request("GET", "/nothing", &[], None);
    let attempt = answer.unwrap().text("attempt");
    assert_eq!(environment.terminate().unwrap(), Some(0), "{}", environment.log());
    collector.until("request", &attempt);
}

#[test]
fn a_collector_that_is_not_there_is_told_of_once_and_delays_nobody() {
    let settings = [("trace.endpoint", "http://127.0.0.1:1/v1/traces")];
    let mut environment = Environment::new(&settings).unwrap();
    environment.set_binary(BUILD);
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    let client = environment.device_client().unwrap();
    assert_eq!(client.request("GET", "/healthz", &[], None).unwrap().status, 200);
    assert_eq!(environment.terminate().unwrap(), Some(0), "{}", environment.log());
    let told = environment.log().matches("traces do not reach their collector").count();
    assert_eq!(told, 1, "{}", environment.log());
}

#[test]
fn a_build_without_traces_refuses_an_endpoint_and_says_which_build_has_them() {
    let settings = [("trace.endpoint", "http://127.0.0.1:4318/v1/traces")];
    let environment = Environment::new(&settings).unwrap();
    let (code, _, stderr) = environment.run(&["config", "check"]).unwrap();
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("CVM_TRACE__ENDPOINT"), "{stderr}");
    assert!(stderr.contains("--features otel"), "{stderr}");
}
