//! Every route and who may use it. `cargo xtask tidy` compares the list with the `OpenAPI` document:
//! a route without a line here is a finding.

use cvm_e2e::{Environment, Response};
use serde_json::json;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    /// Anyone, on both listeners.
    Anyone,
    /// Anyone, on the operator listener only.
    AnyoneAtOperators,
    /// A device, by the token in the body, on the device listener only.
    Token,
    /// A device, by its certificate, on the device listener only.
    Certificate,
    /// An operator, on the operator listener only.
    Operator,
}

/// Every operation of the API.
const OPERATIONS: [(&str, &str, Who); 17] = [
    ("POST /v1/certificates", "/v1/certificates", Who::Token),
    ("POST /v1/certificates/confirm", "/v1/certificates/confirm", Who::Certificate),
    ("GET /v1/trust-bundle", "/v1/trust-bundle", Who::Anyone),
    ("GET /healthz", "/healthz", Who::Anyone),
    ("GET /readyz", "/readyz", Who::Anyone),
    ("GET /problems/{slug}", "/problems/access-denied", Who::Anyone),
    ("GET /v1/openapi.json", "/v1/openapi.json", Who::AnyoneAtOperators),
    ("POST /v1/devices", "/v1/devices", Who::Operator),
    ("GET /v1/devices", "/v1/devices", Who::Operator),
    ("GET /v1/devices/{serialNumber}", "/v1/devices/SN-1", Who::Operator),
    ("GET /v1/certificates", "/v1/certificates", Who::Operator),
    (
        "GET /v1/certificates/{certificateId}",
        "/v1/certificates/0000000000000000000000000000000000000000000000000000000000000000",
        Who::Operator,
    ),
    ("GET /v1/policies", "/v1/policies", Who::Operator),
    ("GET /v1/policies/{name}", "/v1/policies/cvm-default", Who::Operator),
    ("PUT /v1/policies/{name}", "/v1/policies/other", Who::Operator),
    ("GET /v1/attempts", "/v1/attempts?serialNumber=SN-1", Who::Operator),
    ("GET /v1/journal", "/v1/journal", Who::Operator),
];

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let environment = Environment::start(&[]).unwrap();
    let devices = environment.device_client().unwrap();
    let operators = environment.operator_client().unwrap();
    let wrong = "Authorization: Bearer cvm1-00000000000000000000000000AAAA";
    for (operation, path, who) in OPERATIONS {
        let method = operation.split(' ').next().unwrap();
        let body = json!({"serialNumber": "SN-1", "token": "no token of this device"});
        let body = (method != "GET" && who != Who::Certificate).then_some(&body);
        let at_devices = devices.request(method, path, &[], body).unwrap();
        let at_operators = operators.request(method, path, &[], body).unwrap();
        let with_wrong_token = operators.request(method, path, &[wrong], body).unwrap();
        let seen = (said(&at_devices), said(&at_operators), said(&with_wrong_token));
        let not_found = (404, String::from("not-found"));
        let unauthenticated = (401, String::from("unauthenticated"));
        match who {
            Who::Anyone => {
                assert_eq!((seen.0.0, seen.1.0), (200, 200), "{operation}");
            }
            Who::AnyoneAtOperators => {
                assert_eq!((seen.0, seen.1.0), (not_found, 200), "{operation}");
            }
            Who::Token => {
                assert_eq!(seen.0, (403, String::from("access-denied")), "{operation}");
                assert!([404, 405].contains(&seen.1.0), "{operation}: {:?}", seen.1);
            }
            Who::Certificate => {
                assert_eq!(seen.0, (401, String::from("certificate-required")), "{operation}");
                assert_eq!(seen.1, not_found, "{operation}");
            }
            Who::Operator => {
                assert!([404, 405].contains(&seen.0.0), "{operation}: {:?}", seen.0);
                assert_eq!(seen.1, unauthenticated, "{operation}");
                assert_eq!(seen.2, unauthenticated, "{operation}");
                let right = environment.operate(method, path, body).unwrap();
                assert_ne!(right.status, 401, "{operation}: {right:?}");
            }
        }
    }
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
