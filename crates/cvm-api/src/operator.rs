//! What operators ask for, one file for each resource; and what their lists share.

pub(crate) mod admin_tokens;
pub(crate) mod attempts;
pub(crate) mod certificates;
pub(crate) mod clock;
pub(crate) mod devices;
pub(crate) mod import;
pub(crate) mod journal;
pub(crate) mod policies;
mod query;
pub(crate) mod reviews;

use cvm_core::page::Page;
use cvm_wire::operator::List;
use http::StatusCode;
use serde::Serialize;

use crate::answer::Answer;
use crate::problem::Refused;

/// The description of this API; tests hold it to the routes and the bodies.
const OPEN_API: &str = include_str!("../openapi.json");

/// `GET /v1/openapi.json`.
pub(crate) fn open_api_show() -> Answer {
    Answer::text("application/json", OPEN_API)
}

fn list<T, W: Serialize>(page: Page<T>, form: impl Fn(T) -> W) -> Result<Answer, Refused> {
    let items = page.items.into_iter().map(form).collect();
    Answer::json(StatusCode::OK, &List { items, cursor: page.next })
}

/// A field's value, or what is expected of it.
fn parsed<T>(field: &str, text: &str) -> Result<T, Refused>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error| Refused::invalid(format!("{field}: {error}")))
}
