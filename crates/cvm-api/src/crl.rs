//! What relying parties ask for, on the device listener and on the one without TLS: CRLs (RFC 5280
//! §5) and the certificates of the CAs that sign devices.

use cvm_core::certificate::{IssuerId, shard_from_hex};
use cvm_core::time::Span;

use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;

/// How long caches may keep a CRL: what is revoked meanwhile is not in it.
const CRL_CACHED_MAX: Span = Span(5 * 60);

/// `GET /v1/crl/{issuer}/{shard}.crl`, as RFC 2585 §4.2 names the type.
pub(crate) async fn show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let nothing = || {
        let detail = "there is no CRL here: its path is in the certificates that it is for";
        Refused::not_found(detail)
    };
    let (issuer, shard) = crl_of(&call.variable).ok_or_else(nothing)?;
    let crl = api.provisioning().crl(&issuer, shard).await?.ok_or_else(nothing)?;
    let max_age = Some(crl.valid_for.min(CRL_CACHED_MAX));
    Ok(Answer {
        max_age,
        ..Answer::text("application/pkix-crl", bytes::Bytes::from_owner(crl.der))
    })
}

/// `GET /v1/ca/{issuer}.cer`, as RFC 2585 §4.1 names the type.
pub(crate) fn ca_show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let issuer = call.variable.strip_suffix(".cer").and_then(IssuerId::from_hex);
    let found = issuer.and_then(|issuer| api.provisioning().ports().issuer.ca_certificate(&issuer));
    let der = found.ok_or_else(|| Refused::not_found("there is no CA with this key identifier"))?;
    // Another certificate of the same name and key would do as well.
    let max_age = Some(Span::DAY);
    Ok(Answer { max_age, ..Answer::text("application/pkix-cert", bytes::Bytes::from_owner(der)) })
}

fn crl_of(variable: &str) -> Option<(IssuerId, u8)> {
    let (issuer, shard) = variable.strip_suffix(".crl")?.split_once('/')?;
    Some((IssuerId::from_hex(issuer)?, shard_from_hex(shard)?))
}
