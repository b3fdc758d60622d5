//! Every route and who may use it, role by role. The list is held to the `OpenAPI` document twice:
//! by the test here, and by `cargo xtask tidy`, which looks for the literals.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use cvm_e2e::{Environment, Key, Response, wait_for};
use serde_json::{Value, json};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    /// Anyone, on both listeners.
    Anyone,
    /// Anyone, on the device listener only.
    AnyoneAtDevices,
    /// Anyone, on the operator listener only.
    AnyoneAtOperators,
    /// A device, by the token in the body, on the device listener only.
    Token,
    /// A device, by its certificate, on the device listener only.
    Certificate,
    /// Operators with one of these roles, on the operator listener only.
    Operators(&'static [&'static str]),
}

const ROLES: [&str; 5] = ["viewer", "registrar", "operator", "security", "owner"];
const READERS: Who = Who::Operators(&ROLES);
const REGISTRARS: Who = Who::Operators(&["registrar", "operator", "owner"]);
const OPERATORS: Who = Who::Operators(&["operator", "owner"]);
const SECURITY: Who = Who::Operators(&["security", "owner"]);

const NO_CERTIFICATE: &str =
    "/v1/certificates/0000000000000000000000000000000000000000000000000000000000000000";

const NO_CERTIFICATE_REVOKE: &str =
    "/v1/certificates/0000000000000000000000000000000000000000000000000000000000000000:revoke";

/// Every operation of the API, and a path of it at which nothing is harmed.
const OPERATIONS: &[(&str, &str, Who)] = &[
    ("POST /v1/certificates", "/v1/certificates", Who::Token),
    ("POST /v1/certificates/confirm", "/v1/certificates/confirm", Who::Certificate),
    ("POST /v1/certificates/renew", "/v1/certificates/renew", Who::Certificate),
    ("GET /v1/crl/{issuer}/{shard}.crl", "/v1/crl/{issuer}/5a.crl", Who::AnyoneAtDevices),
    ("GET /v1/ca/{issuer}.cer", "/v1/ca/{issuer}.cer", Who::AnyoneAtDevices),
    ("GET /v1/nonce", "/v1/nonce", Who::AnyoneAtDevices),
    ("GET /v1/trust-bundle", "/v1/trust-bundle", Who::Anyone),
    ("GET /healthz", "/healthz", Who::Anyone),
    ("GET /readyz", "/readyz", Who::Anyone),
    ("GET /problems/{slug}", "/problems/access-denied", Who::Anyone),
    ("GET /v1/openapi.json", "/v1/openapi.json", Who::AnyoneAtOperators),
    ("POST /v1/devices", "/v1/devices", REGISTRARS),
    ("POST /v1/devices:import", "/v1/devices:import", REGISTRARS),
    ("GET /v1/devices", "/v1/devices", READERS),
    ("GET /v1/devices/{serialNumber}", "/v1/devices/SN-1", READERS),
    ("DELETE /v1/devices/{serialNumber}", "/v1/devices/none", OPERATORS),
    ("POST /v1/devices/{serialNumber}:disable", "/v1/devices/none:disable", OPERATORS),
    ("POST /v1/devices/{serialNumber}:enable", "/v1/devices/none:enable", OPERATORS),
    // SN-1 has obtained nothing yet: what registrars may renew.
    ("POST /v1/devices/{serialNumber}:new-token", "/v1/devices/SN-1:new-token", REGISTRARS),
    ("GET /v1/certificates", "/v1/certificates", READERS),
    ("GET /v1/certificates/{certificateId}", NO_CERTIFICATE, READERS),
    ("POST /v1/certificates/{certificateId}:revoke", NO_CERTIFICATE_REVOKE, SECURITY),
    ("GET /v1/reviews", "/v1/reviews", READERS),
    ("GET /v1/reviews/{id}", "/v1/reviews/none", READERS),
    ("POST /v1/reviews/{id}:approve", "/v1/reviews/none:approve", OPERATORS),
    ("POST /v1/reviews/{id}:deny", "/v1/reviews/none:deny", OPERATORS),
    ("GET /v1/policies", "/v1/policies", READERS),
    ("GET /v1/policies/{name}", "/v1/policies/cvm-default", READERS),
    ("PUT /v1/policies/{name}", "/v1/policies/other", OPERATORS),
    ("GET /v1/attempts", "/v1/attempts?serialNumber=SN-1", READERS),
    ("GET /v1/journal", "/v1/journal", SECURITY),
    ("GET /v1/clock", "/v1/clock", READERS),
    ("POST /v1/clock:accept", "/v1/clock:accept", Who::Operators(&["owner"])),
    ("POST /v1/admin-tokens", "/v1/admin-tokens", SECURITY),
    ("GET /v1/admin-tokens", "/v1/admin-tokens", SECURITY),
    ("POST /v1/admin-tokens/{id}:revoke", "/v1/admin-tokens/none:revoke", SECURITY),
];

/// Somebody who comes to the operator API.
struct Caller {
    name: &'static str,
    /// The role of a token that is live.
    role: Option<&'static str>,
    token: Option<String>,
}

/// One with a live token of each role, and all who have none.
fn callers(environment: &Environment) -> Vec<Caller> {
    let make = |name: &str, role: &str, more: &[&str]| {
        let create = ["admin", "token", "create", name, "--role", role, "--output", "json"];
        let made = environment.succeed(&[&create[..], more].concat()).unwrap();
        serde_json::from_str::<Value>(&made).unwrap()
    };
    let token = |made: &Value| Some(made["token"].as_str().unwrap().to_owned());
    let mut callers: Vec<Caller> = ROLES
        .into_iter()
        .map(|role| Caller { name: role, role: Some(role), token: token(&make(role, role, &[])) })
        .collect();
    let expired = token(&make("expired", "owner", &["--expires", "5s"]));
    wait_for("the token to expire", Duration::from_secs(60), || {
        let answer = ask(environment, "GET", "/v1/policies", expired.as_deref(), None);
        Ok((answer.status == 401).then_some(()))
    })
    .unwrap();
    let revoked = make("revoked", "owner", &[]);
    let id = revoked["id"].as_str().unwrap();
    environment.succeed(&["admin", "token", "revoke", id]).unwrap();
    let unknown = Some(String::from("cvm1-00000000000000000000000000AAAA"));
    for (name, token) in [
        ("no token", None),
        ("a garbled token", Some(String::from("garbage"))),
        ("an unknown token", unknown),
        ("an expired token", expired),
        ("a revoked token", token(&revoked)),
    ] {
        callers.push(Caller { name, role: None, token });
    }
    callers
}

fn ask(
    environment: &Environment,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Response {
    let operators = environment.operator_client().unwrap();
    let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
    let headers: Vec<&str> = bearer.iter().map(String::as_str).collect();
    operators.request(method, path, &headers, body).unwrap()
}

/// The key identifier of the CA that signs devices, as paths have it.
fn devices_ca(environment: &Environment) -> String {
    let certificate = environment.data().join("vault/devices-ca.pem");
    let arguments = ["x509", "-noout", "-ext", "subjectKeyIdentifier", "-in"];
    let shown = Command::new("openssl").args(arguments).arg(certificate).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.lines().last().unwrap().trim().replace(':', "").to_lowercase()
}

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let environment = Environment::start(&[]).unwrap();
    let served = environment.operator_client().unwrap();
    let document = served.request("GET", "/v1/openapi.json", &[], None).unwrap().json().unwrap();
    let listed: BTreeSet<String> =
        OPERATIONS.iter().map(|(operation, _, _)| (*operation).to_owned()).collect();
    assert_eq!(listed, operations(&document), "each operation has one line in OPERATIONS");

    let callers = callers(&environment);
    let issuer = devices_ca(&environment);
    for (operation, path, who) in OPERATIONS {
        let path = &path.replace("{issuer}", &issuer);
        let method = operation.split(' ').next().unwrap();
        let body = json!({"serialNumber": "SN-1", "token": "no token of this device"});
        let body = (method != "GET").then_some(&body);
        let devices = environment.device_client().unwrap();
        let at_devices = said(&devices.request(method, path, &[], body).unwrap());
        let at_operators = said(&ask(&environment, method, path, None, body));
        let not_found = (404, String::from("not-found"));
        match who {
            Who::Anyone => {
                assert_eq!((at_devices.0, at_operators.0), (200, 200), "{operation}");
            }
            Who::AnyoneAtDevices => {
                assert_eq!((at_devices.0, at_operators), (200, not_found), "{operation}");
            }
            Who::AnyoneAtOperators => {
                assert_eq!((at_devices, at_operators.0), (not_found, 200), "{operation}");
            }
            Who::Token => {
                assert_eq!(at_devices, (403, String::from("access-denied")), "{operation}");
                assert!([404, 405].contains(&at_operators.0), "{operation}: {at_operators:?}");
            }
            Who::Certificate => {
                assert_eq!(at_devices, (401, String::from("certificate-required")), "{operation}");
                assert_eq!(at_operators, not_found, "{operation}");
            }
            Who::Operators(roles) => {
                assert!([404, 405].contains(&at_devices.0), "{operation}: {at_devices:?}");
                for caller in &callers {
                    let token = caller.token.as_deref();
                    let answer = ask(&environment, method, path, token, body);
                    check(operation, roles, caller, &answer);
                }
            }
        }
    }
}

/// That who has one of `roles` is let in, and everybody else refused in the one way there is.
fn check(operation: &str, roles: &[&str], caller: &Caller, answer: &Response) {
    let what = format!("{operation} by {}: {answer:?}", caller.name);
    match caller.role {
        None => assert_eq!(said(answer), (401, String::from("unauthenticated")), "{what}"),
        Some(role) if roles.contains(&role) => {
            assert!(![401, 403].contains(&answer.status), "{what}");
            assert!(answer.status < 500, "{what}");
        }
        Some(_) => {
            assert_eq!(said(answer), (403, String::from("role-required")), "{what}");
            assert!(answer.text("detail").contains(&roles.join(" or ")), "{what}");
        }
    }
}

/// The operations of the document, as `METHOD /path`.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let verbs = item.as_object().unwrap().keys();
            verbs.map(move |verb| format!("{} {path}", verb.to_uppercase()))
        })
        .collect()
}

#[test]
fn a_registrar_gives_new_tokens_to_devices_that_have_obtained_nothing() {
    let environment = Environment::start(&[]).unwrap();
    let create = ["admin", "token", "create", "line", "--role", "registrar", "--out", "line"];
    environment.succeed(&create).unwrap();
    let registrar = std::fs::read_to_string(environment.scratch().join("line")).unwrap();
    let path = "/v1/devices/SN-1:new-token";
    let renew = || ask(&environment, "POST", path, Some(registrar.trim()), Some(&json!({})));
    environment.device_add("SN-1").unwrap();
    let renewed = renew();
    assert!(renewed.status < 300, "{renewed:?}");
    let csr = Key::new().unwrap().csr().unwrap();
    let vended = environment.vend("SN-1", &renewed.text("token"), &csr).unwrap();
    assert_eq!(vended.status, 201, "{vended:?}");
    let refused = renew();
    assert_eq!(said(&refused), (403, String::from("role-required")), "{refused:?}");
    let operated = environment.operate("POST", path, Some(&json!({}))).unwrap();
    assert!(operated.status < 300, "{operated:?}");
}

#[test]
fn the_device_listener_has_the_operator_routes_only_where_it_is_told_so() {
    let environment = Environment::start(&[("http.operator", "true")]).unwrap();
    let devices = environment.device_client().unwrap();
    let refused = devices.request("GET", "/v1/devices", &[], None).unwrap();
    assert_eq!(said(&refused), (401, String::from("unauthenticated")));
}

fn said(response: &Response) -> (u16, String) {
    (response.status, response.slug())
}
