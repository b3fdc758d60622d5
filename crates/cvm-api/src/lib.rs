//! The HTTP API of CVM: the device listener, the operator listener, and one without TLS for CRLs.
//!
//! Bind a socket, make an [`Api`] over the use cases, and give both to [`serve_device`],
//! [`serve_operator`] or [`serve_plain`]; each returns a [`Serving`] to be drained at the end.
//! `ROUTES` is the complete list of what there is and who may use it; everything else is 404.
//!
//! axum routes by the raw path: a serial number may hold `/` and `:`, and an action is what follows
//! the last colon that is not percent-encoded, which is told before anything is decoded.

mod after;
mod answer;
mod api;
mod auth;
mod body;
mod connection;
mod crl;
mod device;
mod direct;
mod json;
mod jws;
mod limit;
mod listener;
mod observer;
mod operator;
mod pem;
mod possession;
mod problem;
mod proxy;
mod router;
mod settings;
mod stream;
mod tls;

pub use api::{Api, Peer};
pub use direct::Direct;
pub use limit::{Limits, Network, NetworkError};
pub use listener::{ServeError, Serving, serve_device, serve_operator, serve_plain};
pub use observer::{Answered, Limit, Notice, Observer};
pub use settings::Settings;
pub use tls::{ServerIdentity, TlsError};

use cvm_core::operator::Permission as To;

use router::Endpoint::*;
use router::Listener::{Both, Device, DeviceAndPlain, Operator};
use router::Verb::{Delete, Get, Post, Put};
use router::Who::{Anyone, HolderOfCertificate, HolderOfToken, Operator as May};
use router::route;

pub use router::Side;

/// The slugs of all problems that there are.
pub fn problems() -> impl Iterator<Item = &'static str> {
    problem::Slug::ALL.iter().map(|slug| slug.as_str())
}

/// Every route: method, path, on which listener, who may, and what it does.
///
/// Variables stand at the end of a path; what stands behind the last one after a colon is an
/// action. `May(To::Read)` is an operator whose role has the permission to read.
pub(crate) const ROUTES: &[router::Route] = &[
    route(Post, "/v1/certificates", Device, HolderOfToken, CertificateVend),
    route(Post, "/v1/certificates/confirm", Device, HolderOfCertificate, CertificateConfirm),
    route(Post, "/v1/certificates/renew", Device, HolderOfCertificate, CertificateRenew),
    route(Get, "/v1/nonce", Device, Anyone, NonceShow),
    route(Get, "/v1/crl/{issuer}/{shard}.crl", DeviceAndPlain, Anyone, CrlShow),
    route(Get, "/v1/ca/{issuer}.cer", DeviceAndPlain, Anyone, CaShow),
    route(Get, "/v1/trust-bundle", Both, Anyone, TrustBundleShow),
    route(Get, "/healthz", Both, Anyone, HealthShow),
    route(Get, "/readyz", Both, Anyone, ReadinessShow),
    route(Post, "/v1/devices", Operator, May(To::DeviceRegister), DeviceRegister),
    route(Post, "/v1/devices:import", Operator, May(To::DeviceRegister), DeviceImport),
    route(Get, "/v1/devices", Operator, May(To::Read), DeviceList),
    route(Get, "/v1/devices/{serialNumber}", Operator, May(To::Read), DeviceShow),
    route(Delete, "/v1/devices/{serialNumber}", Operator, May(To::DeviceManage), DeviceDelete),
    route(
        Post,
        "/v1/devices/{serialNumber}:disable",
        Operator,
        May(To::DeviceManage),
        DeviceDisable,
    ),
    route(Post, "/v1/devices/{serialNumber}:enable", Operator, May(To::DeviceManage), DeviceEnable),
    route(
        Post,
        "/v1/devices/{serialNumber}:new-token",
        Operator,
        May(To::TokenRenewUnissued),
        DeviceNewToken,
    ),
    route(Get, "/v1/certificates", Operator, May(To::Read), CertificateList),
    route(Get, "/v1/certificates/{certificateId}", Operator, May(To::Read), CertificateShow),
    route(
        Post,
        "/v1/certificates/{certificateId}:revoke",
        Operator,
        May(To::CertificateRevoke),
        CertificateRevoke,
    ),
    route(Get, "/v1/reviews", Operator, May(To::Read), ReviewList),
    route(Get, "/v1/reviews/{id}", Operator, May(To::Read), ReviewShow),
    route(Post, "/v1/reviews/{id}:approve", Operator, May(To::ReviewDecide), ReviewApprove),
    route(Post, "/v1/reviews/{id}:deny", Operator, May(To::ReviewDecide), ReviewDeny),
    route(Get, "/v1/policies", Operator, May(To::Read), PolicyList),
    route(Get, "/v1/policies/{name}", Operator, May(To::Read), PolicyShow),
    route(Put, "/v1/policies/{name}", Operator, May(To::PolicyPut), PolicyPut),
    route(Get, "/v1/attempts", Operator, May(To::Read), AttemptList),
    route(Get, "/v1/journal", Operator, May(To::JournalRead), JournalList),
    route(Post, "/v1/admin-tokens", Operator, May(To::AdminTokenManage), AdminTokenCreate),
    route(Get, "/v1/admin-tokens", Operator, May(To::AdminTokenManage), AdminTokenList),
    route(
        Post,
        "/v1/admin-tokens/{id}:revoke",
        Operator,
        May(To::AdminTokenManage),
        AdminTokenRevoke,
    ),
    route(Get, "/v1/clock", Operator, May(To::Read), ClockShow),
    route(Post, "/v1/clock:accept", Operator, May(To::ClockAccept), ClockAccept),
    route(Get, "/v1/openapi.json", Operator, Anyone, OpenApiShow),
    route(Get, "/problems/{slug}", Both, Anyone, ProblemShow),
];
