//! From method and raw path to a route, before anything is decoded.

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

/// The route that a request asks for, and the decoded variable of its path.
///
/// A route of the other listener is 404 like any other that is not here; 405 is said only where
/// the path is here with another method.
pub(crate) fn find(
    scope: Scope,
    method: &http::Method,
    path: &str,
) -> Result<(&'static Route, Option<String>), Refused> {
    let verb = Verb::of(method);
    let mut allowed = Vec::new();
    let mut is_elsewhere = false;
    for route in &ROUTES {
        let Some(variable) = matched(route.path, path) else { continue };
        if !scope.has(route) {
            // What is here by its own name is not elsewhere by a variable's.
            is_elsewhere |= Some(route.verb) == verb && variable.is_none();
        } else if Some(route.verb) == verb {
            return Ok((route, variable));
        } else {
            allowed.push(route.verb);
        }
    }
    if allowed.is_empty() || is_elsewhere {
        let detail = "there is no such route; in a serial number encode `/` as %2F, `:` as %3A";
        return Err(Refused::not_found(detail));
    }
    let names = allowed.iter().map(|verb| match verb {
        Verb::Get => "GET, HEAD",
        Verb::Post | Verb::Put => verb.as_str(),
    });
    Err(Refused::method_not_allowed(names.collect::<Vec<_>>().join(", ")))
}

/// `None` where the path is not of the pattern; else its decoded variable, if it has one.
#[expect(clippy::option_option, reason = "whether it matches, and whether it holds a variable")]
fn matched(pattern: &str, path: &str) -> Option<Option<String>> {
    let mut variable = None;
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(variable),
            (Some(name), Some(raw)) if name.starts_with('{') => variable = Some(decoded(raw)?),
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(_) | None, _) => return None,
        }
    }
}

/// The text of a path's segment; `None` where it is empty or badly encoded, and where it asks for
/// an action: what follows the last colon that is not encoded. No route has one yet.
fn decoded(raw: &str) -> Option<String> {
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
