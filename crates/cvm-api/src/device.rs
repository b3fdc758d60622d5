//! What devices ask for: a certificate, its confirmation, the roots; and what probes ask for.

use std::str::FromStr as _;

use cvm_core::attempt;
use cvm_core::key::KeyAlgorithm;
use cvm_core::provisioning::{self, Ask, Confirmed, Shown};
use cvm_core::token::Token;
use cvm_wire::SecretText;
use cvm_wire::device::{Endpoints, RenewRequest, VendRequest, Vended};
use cvm_wire::signed::FreshNonce;
use http::StatusCode;

use crate::answer::{Answer, Outcome};
use crate::api::{Api, Call};
use crate::jws::Jws;
use crate::problem::{Refused, Slug};
use crate::{json, jws, pem};

const TEXT: &str = "text/plain; charset=utf-8";

/// `POST /v1/certificates`.
pub(crate) async fn certificate_vend(api: &Api, call: &Call) -> Outcome {
    let request = match vend_request(&call.body) {
        Ok(request) => request,
        Err(refused) => return refused.into(),
    };
    let (result, follow_up) = api.provisioning().vend(request, &call.caller).await;
    let answer = match result {
        Ok(vended) => vended_answer(api, call, &vended),
        Err(refusal) => Err(refusal.into()),
    };
    Outcome::followed((answer, follow_up))
}

/// `POST /v1/certificates/confirm`.
pub(crate) async fn certificate_confirm(api: &Api, call: &Call) -> Outcome {
    let signed = match signed_request(api, call) {
        Ok(signed) => signed,
        Err(refused) => return refused.into(),
    };
    let shown = shown(call, signed.as_ref());
    let (result, follow_up) = api.provisioning().confirm(shown, &call.caller).await;
    let answer = match result {
        Ok(Confirmed { .. }) => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        Err(refusal) => Err(refusal.into()),
    };
    Outcome::followed((answer, follow_up))
}

/// `POST /v1/certificates/renew`.
pub(crate) async fn certificate_renew(api: &Api, call: &Call) -> Outcome {
    let (signed, RenewRequest { csr }) = match renew_request(api, call) {
        Ok(request) => request,
        Err(refused) => return refused.into(),
    };
    let shown = shown(call, signed.as_ref());
    let provisioning = api.provisioning();
    let (result, follow_up) = provisioning.renew(shown, csr.as_deref(), &call.caller).await;
    let answer = match result {
        Ok(vended) => vended_answer(api, call, &vended),
        Err(refusal) => Err(refusal.into()),
    };
    Outcome::followed((answer, follow_up))
}

/// `GET /v1/nonce`.
pub(crate) fn nonce_show(api: &Api) -> Result<Answer, Refused> {
    Answer::json(StatusCode::OK, &FreshNonce { nonce: api.provisioning().nonce_give() })
}

/// `GET /v1/trust-bundle`, as RFC 8555 §9.1 names the type.
pub(crate) fn trust_bundle_show(api: &Api) -> Answer {
    let bundle = api.provisioning().ports().issuer.trust_bundle();
    Answer::text("application/pem-certificate-chain", bundle.as_bytes().to_vec())
}

/// `GET /healthz`: the process answers.
pub(crate) fn health_show() -> Answer {
    Answer::text(TEXT, "ok\n")
}

/// `GET /readyz`: the store can be written to.
pub(crate) async fn readiness_show(api: &Api) -> Result<Answer, Refused> {
    api.provisioning().ports().store.ready().await?;
    Ok(Answer::text(TEXT, "ready\n"))
}

/// `GET /problems/{slug}`: what a problem's type stands for.
pub(crate) fn problem_show(call: &Call) -> Result<Answer, Refused> {
    let slug = Slug::ALL.iter().find(|slug| slug.as_str() == call.variable);
    let slug = slug.ok_or_else(|| Refused::not_found("there is no such problem"))?;
    let mut text = format!("{} ({})\n", slug.title(), slug.status());
    if let Some(explanation) = attempt::explain(slug.as_str(), "") {
        text.push_str(&format!("\n{}\n{}\n", explanation.meaning, explanation.cure));
    }
    Ok(Answer::text(TEXT, text))
}

fn vend_request(body: &[u8]) -> Result<provisioning::VendRequest, Refused> {
    let VendRequest { serial_number, token, csr, key_algorithm } = json::parse(body)?;
    let algorithm = match key_algorithm {
        Some(name) => KeyAlgorithm::from_str(&name).map_err(|e| Refused::invalid(e.to_string()))?,
        None => KeyAlgorithm::default(),
    };
    let ask = match csr {
        Some(pem) => Ask::Csr(pem),
        None => Ask::ServerKey(algorithm),
    };
    Ok(provisioning::VendRequest {
        serial_number,
        token: Token::unchecked(token.into_inner()),
        ask,
    })
}

/// The request that this one has signed, where it says that it has.
fn signed_request(api: &Api, call: &Call) -> Result<Option<Jws>, Refused> {
    if !jws::is_announced(&call.fields) {
        return Ok(None);
    }
    let url = format!("{}{}", api.settings().public_url, call.path);
    Jws::read(&call.body, &url).map(Some)
}

fn renew_request(api: &Api, call: &Call) -> Result<(Option<Jws>, RenewRequest), Refused> {
    let signed = signed_request(api, call)?;
    let body = signed.as_ref().map_or(&call.body, |signed| &signed.payload);
    let request = json::parse(body)?;
    Ok((signed, request))
}

/// Who signs means that; a certificate of the connection may be the TLS stack's own idea.
fn shown<'a>(call: &Call, signed: Option<&'a Jws>) -> Shown<'a> {
    signed.map_or_else(|| call.certificate.into(), |signed| Shown::Signed(signed))
}

fn vended_answer(api: &Api, call: &Call, vended: &provisioning::Vended) -> Result<Answer, Refused> {
    let certificate = &vended.certificate;
    let settings = api.settings();
    let private_key =
        vended.private_key.as_ref().map(|key| SecretText::new(pem::encode("PRIVATE KEY", &key.0)));
    let status = if vended.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let wire = Vended {
        certificate_id: certificate.id.to_string(),
        certificate: pem::encode("CERTIFICATE", &certificate.der).to_string(),
        chain: vended.chain.intermediate.clone(),
        root_ca: vended.chain.root.clone(),
        private_key,
        thing_name: certificate.thing_name.to_string(),
        not_before: certificate.not_before.to_string(),
        not_after: certificate.not_after.to_string(),
        renew_after: vended.renew_after.to_string(),
        server_time: api.provisioning().ports().clock.read().now.to_string(),
        endpoints: Endpoints {
            mqtt: settings.mqtt_endpoint.clone(),
            https: Some(settings.public_url.clone()),
        },
        attempt: call.caller.attempt.to_string(),
    };
    Answer::json(status, &wire)
}
