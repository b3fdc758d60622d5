//! From method and raw path to a route: the table as axum's routers, one for each listener.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, any};

use crate::ROUTES;
use crate::problem::Refused;

/// On which listener a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one for devices.
    Device,
    /// The one for operators.
    Operator,
}

/// On which listener a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Both,
    Device,
    /// Also on the device listener where the settings say so.
    Operator,
}

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
}

impl Verb {
    /// HEAD is GET without the body.
    pub(crate) fn of(method: &http::Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    /// As `Allow` has it.
    fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post | Self::Put => self.as_str(),
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// With an admin token.
    AnOperator,
    Anyone,
    /// With a device's certificate that the registry lets in; the use case asks.
    HolderOfCertificate,
    /// With a device's token; the use case asks.
    HolderOfToken,
}

impl Who {
    /// Whether refusals count against the address they came from (protocol, section 10).
    pub(crate) fn is_counted(self) -> bool {
        match self {
            Self::AnOperator | Self::Anyone => false,
            Self::HolderOfCertificate | Self::HolderOfToken => true,
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    AttemptList,
    CertificateConfirm,
    CertificateList,
    CertificateShow,
    CertificateVend,
    DeviceList,
    DeviceRegister,
    DeviceShow,
    HealthShow,
    JournalList,
    OpenApiShow,
    PolicyList,
    PolicyPut,
    PolicyShow,
    ProblemShow,
    ReadinessShow,
    TrustBundleShow,
}

impl Endpoint {
    /// Whether it reads a body, which is JSON then.
    pub(crate) fn takes_json(self) -> bool {
        matches!(self, Self::CertificateVend | Self::DeviceRegister | Self::PolicyPut)
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
            (Listener::Both, _)
            | (Listener::Device, Side::Device)
            | (Listener::Operator, Side::Operator) => true,
            (Listener::Operator, Side::Device) => self.has_operator_routes,
            (Listener::Device, Side::Operator) => false,
        }
    }
}

/// What a path and a method lead to.
#[derive(Clone)]
enum Aim {
    Route(&'static Route),
    Nothing,
    /// The path is here with other methods, which these are.
    OtherMethods(String),
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
    let to = |path: &'static str, aim: Aim| {
        let answer = answer.clone();
        move |request: Request| answer(aimed(path, aim, request.uri().path()), request)
    };
    let mut router = Router::new().fallback(to("", Aim::Nothing));
    for path in ROUTES.iter().map(|route| route.path).collect::<BTreeSet<_>>() {
        let routes = || ROUTES.iter().filter(|route| route.path == path);
        let here = routes().filter(|route| scope.has(route));
        let allowed = here.map(|route| route.verb.allowed()).collect::<Vec<_>>().join(", ");
        let otherwise = if allowed.is_empty() { Aim::Nothing } else { Aim::OtherMethods(allowed) };
        // `any` keeps axum from an `Allow` of its own, also on what is 404.
        let mut methods = any(to(path, otherwise));
        for route in routes() {
            let aim = if scope.has(route) { Aim::Route(route) } else { Aim::Nothing };
            methods = methods.on(route.verb.filter(), to(path, aim));
        }
        router = router.route(path, methods);
    }
    router
}

fn aimed(pattern: &str, aim: Aim, path: &str) -> Result<(&'static Route, String), Refused> {
    match (aim, variable(pattern, path)) {
        (Aim::Route(route), Some(variable)) => Ok((route, variable)),
        (Aim::OtherMethods(allowed), Some(_)) => Err(Refused::method_not_allowed(allowed)),
        (Aim::Nothing, _) | (_, None) => {
            let detail = "this listener has no such route: devices use [http] listen, operators \
                          [operator] listen; in a serial number encode `/` as %2F, `:` as %3A";
            Err(Refused::not_found(detail))
        }
    }
}

/// The variable of a path, which is the last segment of its pattern; empty where there is none.
///
/// `None` where it is empty or badly encoded, and where it asks for an action: what follows the
/// last colon that is not encoded. No route has one yet.
fn variable(pattern: &str, path: &str) -> Option<String> {
    if !pattern.ends_with('}') {
        return Some(String::new());
    }
    // Raw, as axum has matched it: its own decoding would lose where the action begins.
    let (_, raw) = path.rsplit_once('/')?;
    let has_action = raw.contains(':');
    if raw.is_empty() || has_action { None } else { percent_decoded(raw) }
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
