//! `/v1/certificates`: listing and showing certificates.

use cvm_core::certificate::{CertificateRecord, CertificateState, Reason};
use cvm_core::id::{CertificateId, hex};
use cvm_wire::operator::{Certificate, Revocation};
use http::StatusCode;

use super::{parsed, query};
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;
use crate::{json, pem};

/// `GET /v1/certificates`.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let ports = api.provisioning().ports();
    let page = ports.catalogue.certificate_page(&query::page(call.query.as_deref())?).await?;
    let now = ports.clock.read().now;
    super::list(page, |record| wire_certificate(&record, record.state_at(now)))
}

/// `GET /v1/certificates/{certificateId}`.
pub(crate) async fn show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let unknown = || Refused::not_found("there is no certificate with this id");
    let id: CertificateId = call.variable.parse().map_err(|_| unknown())?;
    let shown = api.provisioning().certificate_show(&id).await?.ok_or_else(unknown)?;
    Answer::json(StatusCode::OK, &wire_certificate(&shown.record, shown.state))
}

/// `POST /v1/certificates/{certificateId}:revoke`.
pub(crate) async fn revoke(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let unknown = || Refused::not_found("there is no certificate with this id");
    let id: CertificateId = call.variable.parse().map_err(|_| unknown())?;
    let Revocation { reason } = json::parse_or_default(&call.body)?;
    let reason: Option<Reason> = reason.map(|text| parsed("reason", &text)).transpose()?;
    let reason = reason.unwrap_or(Reason::Unspecified);
    let shown = api.provisioning().certificate_revoke(&id, reason, &operator.id).await?;
    Answer::json(StatusCode::OK, &wire_certificate(&shown.record, shown.state))
}

fn wire_certificate(record: &CertificateRecord, state: CertificateState) -> Certificate {
    Certificate {
        certificate_id: record.id.to_string(),
        certificate_serial: hex(&record.certificate_serial),
        serial_number: record.serial_number.to_string(),
        thing_name: record.thing_name.to_string(),
        state: state.as_str().to_owned(),
        origin: record.origin.as_str().to_owned(),
        not_before: record.not_before.to_string(),
        not_after: record.not_after.to_string(),
        confirmed_at: record.confirmed_at.map(|at| at.to_string()),
        revoked_at: record.ended_at.map(|at| at.to_string()),
        reason: record.reason.map(|reason| reason.as_str().to_owned()),
        certificate: pem::encode("CERTIFICATE", &record.der).to_string(),
    }
}
