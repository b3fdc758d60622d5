//! The HTTP API of CVM: the device listener and the operator listener.
//!
//! Bind a socket, make an [`Api`] over the use cases, and give both to [`serve_device`] or
//! [`serve_operator`]; each returns a [`Serving`] to be drained at the end. `ROUTES` is the
//! complete list of what there is and who may use it; everything else is 404.
//!
//! axum routes by the raw path: a serial number may hold `/` and `:`, and an action is what follows
//! the last colon that is not percent-encoded, which is told before anything is decoded.

mod after;
mod answer;
mod api;
mod auth;
mod body;
mod connection;
mod device;
mod json;
mod limit;
mod listener;
mod operator;
mod pem;
mod possession;
mod problem;
mod router;
mod tls;

pub use api::{Api, Peer, Settings};
pub use limit::{Limits, Network, NetworkError};
pub use listener::{ServeError, Serving, serve_device, serve_operator};
pub use tls::{ServerIdentity, TlsError};

use router::Endpoint::*;
use router::Listener::{Both, Device, Operator};
use router::Verb::{Get, Post, Put};
use router::Who::{AnOperator, Anyone, HolderOfCertificate, HolderOfToken};
use router::route;

pub use router::Side;

/// Every route: method, path, on which listener, who may, and what it does.
pub(crate) const ROUTES: [router::Route; 17] = [
    route(Post, "/v1/certificates", Device, HolderOfToken, CertificateVend),
    route(Post, "/v1/certificates/confirm", Device, HolderOfCertificate, CertificateConfirm),
    route(Get, "/v1/trust-bundle", Both, Anyone, TrustBundleShow),
    route(Get, "/healthz", Both, Anyone, HealthShow),
    route(Get, "/readyz", Both, Anyone, ReadinessShow),
    route(Post, "/v1/devices", Operator, AnOperator, DeviceRegister),
    route(Get, "/v1/devices", Operator, AnOperator, DeviceList),
    route(Get, "/v1/devices/{serialNumber}", Operator, AnOperator, DeviceShow),
    route(Get, "/v1/certificates", Operator, AnOperator, CertificateList),
    route(Get, "/v1/certificates/{certificateId}", Operator, AnOperator, CertificateShow),
    route(Get, "/v1/policies", Operator, AnOperator, PolicyList),
    route(Get, "/v1/policies/{name}", Operator, AnOperator, PolicyShow),
    route(Put, "/v1/policies/{name}", Operator, AnOperator, PolicyPut),
    route(Get, "/v1/attempts", Operator, AnOperator, AttemptList),
    route(Get, "/v1/journal", Operator, AnOperator, JournalList),
    route(Get, "/v1/openapi.json", Operator, Anyone, OpenApiShow),
    route(Get, "/problems/{slug}", Both, Anyone, ProblemShow),
];
