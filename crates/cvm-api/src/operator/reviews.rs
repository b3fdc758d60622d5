//! `/v1/reviews`: what waits for a human, and what the human says.

use cvm_core::device::{Device, ReviewKey, Verdict};
use cvm_core::id::AttemptCode;
use cvm_wire::operator::Review;
use http::StatusCode;

use super::query;
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;

/// `GET /v1/reviews`: those that are open.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let page = api.provisioning().review_page(&query::page(call.query.as_deref())?).await?;
    super::list(page, |device| wire_review(&device))
}

/// `GET /v1/reviews/{id}`.
pub(crate) async fn show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let device = api.provisioning().review_show(id_of(call)?).await?;
    Answer::json(StatusCode::OK, &wire_review(&device))
}

/// `POST /v1/reviews/{id}:approve` and `:deny`.
pub(crate) async fn decide(api: &Api, call: &Call, verdict: Verdict) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let id = id_of(call)?;
    let device = api.provisioning().review_decide(id, verdict, &operator.id).await?;
    Answer::json(StatusCode::OK, &wire_review(&device))
}

fn id_of(call: &Call) -> Result<AttemptCode, Refused> {
    let unknown = || Refused::not_found("there is no review with this id");
    call.variable.parse().map_err(|_| unknown())
}

fn wire_review(device: &Device) -> Option<Review> {
    let review = device.review.as_ref()?;
    let (key, key_algorithm) = match review.key {
        ReviewKey::Device(key) => (Some(key.to_string()), None),
        ReviewKey::Server(algorithm) => (None, Some(algorithm.as_str().to_owned())),
    };
    Some(Review {
        id: review.id.to_string(),
        serial_number: device.serial_number.to_string(),
        thing_name: device.thing_name.to_string(),
        state: review.state.as_str().to_owned(),
        key,
        key_algorithm,
        bound_key: review.bound.map(|key| key.to_string()),
        address: review.address.clone(),
        opened_at: review.opened_at.to_string(),
        approved_until: review.approved_until().map(|until| until.to_string()),
    })
}
