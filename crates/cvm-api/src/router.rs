//! From method and raw path to a route: the table as axum's routers, one for each listener.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::any;
use cvm_core::attempt::Act;
use cvm_core::operator::Permission;

use crate::ROUTES;
use crate::problem::Refused;

/// On which listener a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one for devices.
    Device,
    /// The one for operators.
    Operator,
    /// The one without TLS, for CRLs and CA certificates.
    Plain,
}

/// On which listener a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// The device and the operator listener.
    Both,
    Device,
    /// The device listener and the one without TLS.
    DeviceAndPlain,
    /// Also on the device listener where the settings say so.
    Operator,
}

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Delete,
    Get,
    Post,
    Put,
}

impl Verb {
    /// HEAD is GET without the body.
    pub(crate) fn of(method: &http::Method) -> Option<Self> {
        match method.as_str() {
            "DELETE" => Some(Self::Delete),
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    /// As `Allow` has it.
    fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Delete | Self::Post | Self::Put => self.as_str(),
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    /// With a device's certificate that the registry lets in; the use case asks.
    HolderOfCertificate,
    /// With a device's token; the use case asks.
    HolderOfToken,
    /// With an admin token whose role has this permission.
    Operator(Permission),
}

impl Who {
    /// Whether refusals count against the address they came from (protocol, section 10).
    pub(crate) fn is_counted(self) -> bool {
        match self {
            Self::Anyone | Self::Operator(_) => false,
            Self::HolderOfCertificate | Self::HolderOfToken => true,
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    AdminTokenCreate,
    AdminTokenList,
    AdminTokenRevoke,
    AttemptList,
    CaShow,
    CertificateConfirm,
    CertificateList,
    CertificateRenew,
    CertificateRevoke,
    CertificateShow,
    CertificateVend,
    ClockAccept,
    ClockShow,
    CrlShow,
    DeviceDelete,
    DeviceDisable,
    DeviceEnable,
    DeviceImport,
    DeviceList,
    DeviceNewToken,
    DeviceRegister,
    DeviceShow,
    HealthShow,
    JournalList,
    NonceShow,
    OpenApiShow,
    PolicyList,
    PolicyPut,
    PolicyShow,
    ProblemShow,
    ReadinessShow,
    ReviewApprove,
    ReviewDeny,
    ReviewList,
    ReviewShow,
    TrustBundleShow,
}

/// What body a route reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// JSON.
    Json,
    /// JSON, and a request without one is as good as one with an empty object.
    JsonOrNothing,
    /// Lines of JSON, which its handler reads while it answers.
    Lines,
    /// None.
    Nothing,
    /// JSON, or a signed request around it.
    SignedOrJson,
    /// A signed request, or nothing.
    SignedOrNothing,
}

impl Endpoint {
    /// As an attempt names what was asked for.
    pub(crate) fn act(self) -> Act {
        const ACTS: [(Endpoint, Act); 3] = [
            (Endpoint::CertificateConfirm, Act::Confirm),
            (Endpoint::CertificateRenew, Act::Renew),
            (Endpoint::CertificateVend, Act::Vend),
        ];
        ACTS.iter().find(|(endpoint, _)| *endpoint == self).map_or(Act::Other, |(_, act)| *act)
    }

    pub(crate) fn takes(self) -> Takes {
        let takes_json = matches!(
            self,
            Self::AdminTokenCreate | Self::CertificateVend | Self::DeviceRegister | Self::PolicyPut
        );
        if takes_json {
            Takes::Json
        } else if matches!(self, Self::CertificateRevoke | Self::DeviceNewToken) {
            Takes::JsonOrNothing
        } else if self == Self::CertificateConfirm {
            Takes::SignedOrNothing
        } else if self == Self::CertificateRenew {
            Takes::SignedOrJson
        } else if self == Self::DeviceImport {
            Takes::Lines
        } else {
            Takes::Nothing
        }
    }
}

/// A line of the list of routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    pub(crate) listener: Listener,
    pub(crate) who: Who,
    pub(crate) endpoint: Endpoint,
}

pub(crate) const fn route(
    verb: Verb,
    path: &'static str,
    listener: Listener,
    who: Who,
    endpoint: Endpoint,
) -> Route {
    Route { verb, path, listener, who, endpoint }
}

/// Which of the routes this server has on a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) side: Side,
    pub(crate) has_operator_routes: bool,
}

impl Scope {
    fn has(self, route: &Route) -> bool {
        match (route.listener, self.side) {
            (Listener::Both, Side::Device | Side::Operator)
            | (Listener::Device, Side::Device)
            | (Listener::DeviceAndPlain, Side::Device | Side::Plain)
            | (Listener::Operator, Side::Operator) => true,
            (Listener::Operator, Side::Device) => self.has_operator_routes,
            (Listener::Device | Listener::DeviceAndPlain, Side::Operator)
            | (Listener::Both | Listener::Device | Listener::Operator, Side::Plain) => false,
        }
    }
}

/// The routes of a listener. `answer` gets each request, with its route and the decoded variable
/// of its path, or with what is refused before there is a route.
///
/// A route of the other listener is 404 like any other that is not here; 405 is said only where
/// the path is here with another method.
pub(crate) fn router<A, F>(scope: Scope, answer: A) -> Router
where
    A: Fn(Result<(&'static Route, String), Refused>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: IntoResponse> + Send + 'static,
{
    // axum matches paths without their actions, which it cannot tell from a variable.
    let to = |path: &'static str| {
        let routes = ROUTES.iter().filter(|route| split_action(route.path).0 == path);
        let routes: Arc<[&'static Route]> = routes.collect();
        let answer = answer.clone();
        move |request: Request| {
            let found = aimed(scope, path, &routes, request.method(), request.uri().path());
            answer(found, request)
        }
    };
    let mut router = Router::new().fallback(to(""));
    for path in ROUTES.iter().map(|route| split_action(route.path).0).collect::<BTreeSet<_>>() {
        // `any` keeps axum from an `Allow` of its own, also on what is 404.
        router = router.route(path, any(to(path)));
    }
    router
}

/// The route that a request is for, of `routes`, which have the path `pattern` without actions.
fn aimed(
    scope: Scope,
    pattern: &'static str,
    routes: &[&'static Route],
    method: &http::Method,
    path: &str,
) -> Result<(&'static Route, String), Refused> {
    let Some((variable, action)) = variable(pattern, path) else { return Err(nothing()) };
    let routes = || routes.iter().filter(|route| split_action(route.path).1 == action);
    let verb = Verb::of(method);
    match routes().find(|route| Some(route.verb) == verb) {
        Some(route) if scope.has(route) => Ok((route, variable)),
        Some(_) => Err(nothing()),
        None => {
            let here = routes().filter(|route| scope.has(route));
            let allowed = here.map(|route| route.verb.allowed()).collect::<Vec<_>>().join(", ");
            if allowed.is_empty() {
                Err(nothing())
            } else {
                Err(Refused::method_not_allowed(allowed))
            }
        }
    }
}

fn nothing() -> Refused {
    let detail = "this listener has no such route: devices use [http] listen, operators \
                  [operator] listen; in a serial number encode `/` as %2F, `:` as %3A";
    Refused::not_found(detail)
}

/// A route's path up to the end of its last variable, and the action behind that.
fn split_action(path: &'static str) -> (&'static str, Option<&'static str>) {
    match path.rsplit_once('}') {
        Some((_, behind)) => {
            let variable_ends = path.len() - behind.len();
            (path.get(..variable_ends).unwrap_or(path), behind.strip_prefix(':'))
        }
        None => (path, None),
    }
}

/// The variable of a path, which is everything from where its pattern's first one stands, and the
/// action behind it; empty where there is no variable.
///
/// The action is what follows the last colon that is not encoded. `None` where the variable is
/// empty or badly encoded.
fn variable<'a>(pattern: &str, path: &'a str) -> Option<(String, Option<&'a str>)> {
    let Some(begin) = pattern.find('{') else { return Some((String::new(), None)) };
    // Raw, as axum has matched it: its own decoding would lose where the action begins.
    let raw = path.get(begin..)?;
    let (raw, action) = match raw.rsplit_once(':') {
        Some((raw, action)) => (raw, Some(action)),
        None => (raw, None),
    };
    let variable = percent_decoded(raw).filter(|variable| !variable.is_empty())?;
    Some((variable, action))
}

/// RFC 3986 §2.1; a plus sign is a plus sign.
pub(crate) fn percent_decoded(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
