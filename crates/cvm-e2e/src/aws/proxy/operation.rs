//! Which operation of which service a request asks for.

use super::http::Request;

/// IoT's operations by method and path; `*` is one segment.
const IOT: &[(&str, &str, &str)] = &[
    ("POST", "certificates", "CreateCertificateFromCsr"),
    ("GET", "certificates", "ListCertificates"),
    ("GET", "certificates/*", "DescribeCertificate"),
    ("PUT", "certificates/*", "UpdateCertificate"),
    ("DELETE", "certificates/*", "DeleteCertificate"),
    ("POST", "certificate/register", "RegisterCertificate"),
    ("POST", "certificate/register-no-ca", "RegisterCertificateWithoutCA"),
    ("POST", "cacertificate", "RegisterCACertificate"),
    ("GET", "cacertificate/*", "DescribeCACertificate"),
    ("POST", "things/*", "CreateThing"),
    ("GET", "things/*", "DescribeThing"),
    ("PATCH", "things/*", "UpdateThing"),
    ("DELETE", "things/*", "DeleteThing"),
    ("PUT", "things/*/principals", "AttachThingPrincipal"),
    ("DELETE", "things/*/principals", "DetachThingPrincipal"),
    ("GET", "things/*/principals", "ListThingPrincipals"),
    ("GET", "things/*/principals-v2", "ListThingPrincipalsV2"),
    ("GET", "principals/things", "ListPrincipalThings"),
    ("PUT", "target-policies/*", "AttachPolicy"),
    ("POST", "target-policies/*", "DetachPolicy"),
    ("POST", "attached-policies/*", "ListAttachedPolicies"),
    ("POST", "policies/*", "CreatePolicy"),
    ("GET", "policies/*", "GetPolicy"),
    ("DELETE", "policies/*", "DeletePolicy"),
    ("GET", "endpoint", "DescribeEndpoint"),
    ("DELETE", "connections/*", "DeleteConnection"),
    ("GET", "things/*/shadow", "GetThingShadow"),
    ("POST", "things/*/shadow", "UpdateThingShadow"),
    ("DELETE", "things/*/shadow", "DeleteThingShadow"),
];

/// The service that a request is signed for; empty where it is not signed.
pub(super) fn service(request: &Request) -> &str {
    // Signature Version 4: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    let scope = request.field("authorization").and_then(|value| value.split("Credential=").nth(1));
    scope.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default()
}

/// The name of the operation, or method and path where it has none here.
pub(super) fn operation(request: &Request) -> String {
    if let Some(target) = request.field("x-amz-target") {
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let path = request.target.split('?').next().unwrap_or_default().trim_matches('/');
    let known = IOT.iter().find(|(method, pattern, _)| {
        *method == request.method && path.split('/').count() == pattern.split('/').count() && {
            let mut pairs = path.split('/').zip(pattern.split('/'));
            pairs.all(|(segment, wanted)| wanted == "*" || wanted == segment)
        }
    });
    match known {
        Some((.., name)) if service(request).starts_with("iot") => (*name).to_owned(),
        _ => format!("{} /{path}", request.method),
    }
}
