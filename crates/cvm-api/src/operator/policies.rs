//! `/v1/policies`: what devices may do, as AWS IoT policy documents.

use cvm_core::id::Name;
use cvm_core::policy::{self, document_parse};
use cvm_wire::operator::Policy;
use http::StatusCode;
use serde_json::Value;

use super::query;
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::json;
use crate::problem::Refused;

/// `GET /v1/policies`.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let policies = &api.provisioning().ports().policies;
    let page = policies.policy_page(&query::page(call.query.as_deref())?).await?;
    super::list(page, |policy| wire_policy(&policy))
}

/// `GET /v1/policies/{name}`.
pub(crate) async fn show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let unknown = || Refused::not_found("there is no policy with this name");
    let name: Name = call.variable.parse().map_err(|_| unknown())?;
    let found = api.provisioning().ports().policies.policy_find(&name).await?;
    Answer::json(StatusCode::OK, &wire_policy(&found.ok_or_else(unknown)?))
}

/// `PUT /v1/policies/{name}`: the body is the document itself.
pub(crate) async fn put(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let actor = call.principal.operator()?.actor();
    let invalid = |error: &dyn std::fmt::Display| Refused::invalid(error.to_string());
    let name: Name = call.variable.parse().map_err(|error| invalid(&error))?;
    // A doubled key is read in one way by us and in another by somebody else.
    json::check(&call.body)?;
    let text = std::str::from_utf8(&call.body).map_err(|error| invalid(&error))?;
    let document = document_parse(text).map_err(|error| invalid(&error))?;
    let (policy, is_new) = api.provisioning().policy_put(name, document, actor).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Answer::json(status, &wire_policy(&policy))
}

fn wire_policy(policy: &policy::Policy) -> Policy {
    Policy {
        name: policy.name.to_string(),
        document: serde_json::from_str(&policy.document).unwrap_or(Value::Null),
        updated_at: policy.updated_at.to_string(),
    }
}
