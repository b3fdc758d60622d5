//! `/v1/admin-tokens`: making, listing and revoking the credentials of operators.

use cvm_core::operator;
use cvm_core::provisioning;
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use cvm_wire::SecretText;
use cvm_wire::operator::{AdminToken, NewAdminToken};
use http::StatusCode;
use zeroize::Zeroizing;

use super::{parsed, query};
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::json;
use crate::problem::Refused;

/// `POST /v1/admin-tokens`: the answer is the only place where the token is ever seen.
pub(crate) async fn create(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let NewAdminToken { name, role, expires } = json::parse(&call.body)?;
    let new = provisioning::NewAdminToken {
        name: parsed("name", &name)?,
        role: parsed("role", &role)?,
        expires_at: expires.map(|text| parsed("expires", &text)).transpose()?,
    };
    let (token, secret) = api.provisioning().admin_token_create(new, operator).await?;
    Answer::json(StatusCode::CREATED, &wire_token(&token, token.created_at, Some(&secret)))
}

/// `GET /v1/admin-tokens`.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let ports = api.provisioning().ports();
    let page = ports.operators.admin_token_page(&query::page(call.query.as_deref())?).await?;
    let now = ports.clock.read().now;
    super::list(page, |token| wire_token(&token, now, None))
}

/// `POST /v1/admin-tokens/{id}:revoke`.
pub(crate) async fn revoke(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let token = api.provisioning().admin_token_revoke(&call.variable, operator).await?;
    let now = api.provisioning().ports().clock.read().now;
    Answer::json(StatusCode::OK, &wire_token(&token, now, None))
}

fn wire_token(token: &operator::AdminToken, now: Timestamp, secret: Option<&Token>) -> AdminToken {
    AdminToken {
        id: token.id.clone(),
        name: token.name.to_string(),
        role: token.role.as_str().to_owned(),
        state: token.state_at(now).as_str().to_owned(),
        created_at: token.created_at.to_string(),
        expires: token.expires_at.map(|at| at.to_string()),
        revoked_at: token.revoked_at.map(|at| at.to_string()),
        token: secret.map(|secret| SecretText::new(Zeroizing::new(secret.expose().to_owned()))),
    }
}
