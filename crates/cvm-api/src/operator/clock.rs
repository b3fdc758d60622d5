//! `/v1/clock`: what the server's clock says, why it is not believed, and to believe it.

use cvm_wire::operator::{Clock, ClockAccepted};
use http::StatusCode;

use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;

/// `GET /v1/clock`.
pub(crate) async fn show(api: &Api) -> Result<Answer, Refused> {
    let shown = api.provisioning().clock_show().await?;
    let status = shown.status;
    let clock = Clock {
        now: status.system.to_string(),
        believed: status.now.to_string(),
        mark: shown.mark.map(|mark| mark.to_string()),
        trusted: status.doubt.is_none(),
        reason: status.doubt.map(|doubt| doubt.as_str().to_owned()),
    };
    Answer::json(StatusCode::OK, &clock)
}

/// `POST /v1/clock:accept`: has no body.
pub(crate) async fn accept(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let actor = call.principal.operator()?.actor();
    let accepted = api.provisioning().clock_accept(actor).await?;
    let accepted = ClockAccepted {
        now: accepted.now.to_string(),
        mark_before: accepted.mark_before.map(|mark| mark.to_string()),
    };
    Answer::json(StatusCode::OK, &accepted)
}
