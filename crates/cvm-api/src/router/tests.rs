//! Which request reaches which route.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Extension;
use axum::body::Body;
use cvm_wire::signed::MEDIA_TYPE;
use tower::ServiceExt as _;

use super::*;
use crate::body::NDJSON;
use crate::problem::Slug;

const DEVICE: Scope = Scope { side: Side::Device, has_operator_routes: false };
const OPERATOR: Scope = Scope { side: Side::Operator, has_operator_routes: true };
const PLAIN: Scope = Scope { side: Side::Plain, has_operator_routes: true };
const BOTH: Scope = Scope { side: Side::Device, has_operator_routes: true };

/// What `router` makes of a request: its endpoint and variable, or the refusal with its `Allow`.
type Found = Result<(Endpoint, String), (Slug, Option<String>)>;

fn found(scope: Scope, method: &str, path: &str) -> Found {
    let answer = |found: Result<(&'static Route, String), Refused>, _: Request| async {
        let found: Found = found
            .map(|(route, variable)| (route.endpoint, variable))
            .map_err(|refused| (refused.slug, refused.allow));
        Extension(found)
    };
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let mut asking = pin!(router(scope, answer).oneshot(request));
    let polled = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(answered)) = polled else { panic!("{polled:?}") };
    assert_eq!(answered.headers().get("allow"), None, "axum's own");
    answered.extensions().get::<Found>().unwrap().clone()
}

const NOT_FOUND: Found = Err((Slug::NotFound, None));

#[test]
fn every_route_is_found_where_it_is_and_404_where_it_is_not() {
    for route in ROUTES {
        let begin = route.path.find('{').unwrap_or(route.path.len());
        let path = filled(route.path);
        let variable = path[begin..].split(':').next().unwrap();
        for scope in [DEVICE, OPERATOR, BOTH, PLAIN] {
            let here = Ok((route.endpoint, variable.to_owned()));
            let expected = if scope.has(route) { here } else { NOT_FOUND };
            assert_eq!(found(scope, route.verb.as_str(), &path), expected, "{scope:?} {route:?}");
        }
    }
}

/// The pattern with `x` for each variable.
fn filled(pattern: &str) -> String {
    let (before, behind) = pattern.split_once('{').unwrap_or((pattern, ""));
    match behind.split_once('}') {
        Some((_, behind)) => format!("{before}x{}", filled(behind)),
        None => before.to_owned(),
    }
}

#[test]
fn without_tls_there_are_lists_and_cas_and_nothing_else() {
    let here: Vec<&str> =
        ROUTES.iter().filter(|route| PLAIN.has(route)).map(|route| route.path).collect();
    assert_eq!(here, ["/v1/crl/{issuer}/{shard}.crl", "/v1/ca/{issuer}.cer"]);
    let crl = |path: &str| found(PLAIN, "GET", &format!("/v1/crl/{path}"));
    assert_eq!(crl("aa/5a.crl"), Ok((Endpoint::CrlShow, String::from("aa/5a.crl"))));
    for nothing in ["", "aa", "aa/", "aa/5a.crl/", "aa/bb/5a.crl", "aa%2F5a.crl", "aa/5a.crl:x"] {
        assert_eq!(crl(nothing), NOT_FOUND, "{nothing}");
    }
}

#[test]
fn a_serial_number_is_decoded_after_its_action_was_split_off() {
    let show = |path: &str| found(OPERATOR, "GET", &format!("/v1/devices/{path}"));
    let shown = |serial: &str| Ok((Endpoint::DeviceShow, serial.to_owned()));
    assert_eq!(show("SN-1"), shown("SN-1"));
    assert_eq!(show("a%2Fb%3Ac%3adisable"), shown("a/b:c:disable"));
    assert_eq!(show("a+b%2B"), shown("a+b+"));
    assert_eq!(show("%C3%A9"), shown("é"));
    for nothing in
        ["", "a/b", "SN-1:nothing", "a%3Ab:nothing", "a:", ":", "%", "%4", "%zz", "%FF", "%+1"]
    {
        assert_eq!(show(nothing), NOT_FOUND, "{nothing}");
    }
}

#[test]
fn an_action_is_what_follows_the_last_colon_that_is_not_encoded() {
    let act = |path: &str| found(OPERATOR, "POST", &format!("/v1/admin-tokens/{path}"));
    let revoked = |id: &str| Ok((Endpoint::AdminTokenRevoke, id.to_owned()));
    assert_eq!(act("a:revoke"), revoked("a"));
    assert_eq!(act("a%3Arevoke:revoke"), revoked("a:revoke"));
    assert_eq!(act("a%2Fb:revoke"), revoked("a/b"));
    assert_eq!(act("a:b:revoke"), revoked("a:b"));
    for nothing in ["a", "a%3Arevoke", ":revoke", "a:revoke:", "a:revoke:b", "a:Revoke", "a:re"] {
        assert_eq!(act(nothing), NOT_FOUND, "{nothing}");
    }
    assert_eq!(act("a:revoke%64"), NOT_FOUND);
    assert_eq!(found(DEVICE, "POST", "/v1/admin-tokens/a:revoke"), NOT_FOUND);
}

#[test]
fn a_path_is_here_byte_for_byte_or_not_at_all() {
    for path in [
        "host:443",
        "/",
        "*",
        "/v1",
        "/v1/",
        "/v1/certificates/",
        "//v1/certificates",
        "/V1/certificates",
    ] {
        assert_eq!(found(DEVICE, "POST", path), NOT_FOUND, "{path}");
    }
}

#[test]
fn another_method_is_405_with_the_methods_there_are() {
    for (scope, method, path, allow) in [
        (DEVICE, "PUT", "/v1/certificates", "POST"),
        (OPERATOR, "DELETE", "/v1/policies/p", "GET, HEAD, PUT"),
        (BOTH, "PATCH", "/v1/certificates", "POST, GET, HEAD"),
        (BOTH, "GET", "/v1/certificates/confirm", "POST"),
        (OPERATOR, "OPTIONS", "/healthz", "GET, HEAD"),
        (OPERATOR, "GET", "/v1/admin-tokens/a:revoke", "POST"),
        (OPERATOR, "DELETE", "/v1/admin-tokens/a:revoke", "POST"),
        (DEVICE, "BREW", "/healthz", "GET, HEAD"),
    ] {
        let expected = Err((Slug::MethodNotAllowed, Some(allow.to_owned())));
        assert_eq!(found(scope, method, path), expected, "{method} {path}");
    }
}

#[test]
fn head_is_get() {
    assert_eq!(found(DEVICE, "HEAD", "/healthz"), Ok((Endpoint::HealthShow, String::new())));
}

mod document {
    //! The document and the list of routes say the same.

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(include_str!("../../openapi.json")).unwrap()
    }

    #[test]
    fn every_route_is_an_operation_and_every_operation_a_route() {
        let document = document();
        let mut operations = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            operations
                .extend(item.as_object().unwrap().keys().map(|verb| format!("{verb} {path}")));
        }
        let form = |route: &Route| format!("{} {}", route.verb.as_str().to_lowercase(), route.path);
        assert_eq!(ROUTES.iter().map(form).collect::<BTreeSet<_>>(), operations);
    }

    #[test]
    fn an_operation_says_who_may_and_on_which_listener() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.verb.as_str().to_lowercase()];
            let (scheme, is_counted) = match route.who {
                Who::Operator(_) => (Some("adminToken"), false),
                Who::Anyone => (None, false),
                Who::HolderOfCertificate => (Some("deviceCertificate"), true),
                Who::HolderOfToken => (None, true),
            };
            let security = operation["security"].as_array().unwrap();
            let said =
                security.first().map(|said| said.as_object().unwrap().keys().next().unwrap());
            assert_eq!(said.map(String::as_str), scheme, "{route:?}");
            // Of imports each operator has a few at once.
            let is_bounded = is_counted || route.endpoint == Endpoint::DeviceImport;
            assert_eq!(operation["responses"].get("429").is_some(), is_bounded, "{route:?}");
            let tag = match route.listener {
                Listener::Both => "probes",
                Listener::Device | Listener::DeviceAndPlain => "device",
                Listener::Operator => "operator",
            };
            assert_eq!(operation["tags"][0], tag, "{route:?}");
            let content = &operation["requestBody"]["content"];
            let is_signed = content.get(MEDIA_TYPE).is_some();
            let takes = match operation.pointer("/requestBody/required") {
                None => Takes::Nothing,
                Some(required) if is_signed && required == false => Takes::SignedOrNothing,
                Some(_) if is_signed => Takes::SignedOrJson,
                Some(required) if required == false => Takes::JsonOrNothing,
                Some(_) if content.get(NDJSON).is_some() => Takes::Lines,
                Some(_) => Takes::Json,
            };
            assert_eq!(takes, route.endpoint.takes(), "{}", route.path);
        }
    }

    #[test]
    fn an_operators_operation_names_the_roles_that_may_and_refuses_the_others() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.verb.as_str().to_lowercase()];
            let Who::Operator(permission) = route.who else { continue };
            let roles: Vec<_> = permission.roles().iter().map(|role| role.as_str()).collect();
            let description = operation["description"].as_str().unwrap();
            let named = description.strip_prefix("Roles: ").unwrap();
            let named = named.split(['.', ';']).next().unwrap();
            assert_eq!(named, roles.join(", "), "{route:?}");
            for (status, response) in [("401", "Unauthenticated"), ("403", "RoleRequired")] {
                let expected = format!("#/components/responses/{response}");
                assert_eq!(operation["responses"][status]["$ref"], expected, "{route:?}");
            }
        }
    }

    #[test]
    fn every_slug_is_in_the_document_under_its_status_and_no_other() {
        let document = document();
        let responses = document["components"]["responses"].as_object().unwrap();
        let mut documented = BTreeSet::new();
        for (name, response) in responses {
            let slugs = response["x-problems"].as_array().unwrap();
            documented.extend(slugs.iter().map(|slug| slug.as_str().unwrap().to_owned()));
            assert!(!name.is_empty());
        }
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let response = match response["$ref"].as_str() {
                        Some(reference) => document.pointer(&reference[1..]).unwrap(),
                        None => response,
                    };
                    for slug in response["x-problems"].as_array().into_iter().flatten() {
                        let slug = slug.as_str().unwrap();
                        let known = Slug::ALL.iter().find(|known| known.as_str() == slug);
                        assert_eq!(known.unwrap().status().to_string(), *status, "{slug}");
                        documented.insert(slug.to_owned());
                    }
                }
            }
        }
        let ours: BTreeSet<_> = Slug::ALL.iter().map(|slug| slug.as_str().to_owned()).collect();
        assert_eq!(documented, ours);
    }
}
