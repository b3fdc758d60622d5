//! `/v1/journal`: what happened, row by row.

use cvm_core::journal;
use cvm_wire::operator::JournalRow;

use super::query;
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::problem::Refused;

/// `GET /v1/journal`: in order of writer and number.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let journal = &api.provisioning().ports().journal;
    let page = journal.journal_page(&query::page(call.query.as_deref())?).await?;
    super::list(page, wire_row)
}

fn wire_row(row: journal::JournalRow) -> JournalRow {
    JournalRow {
        writer: row.writer.to_string(),
        number: row.number,
        at: row.at.to_string(),
        class: row.class,
        kind: row.kind,
        serial_number: row.serial_number,
        certificate_id: row.certificate.map(|id| id.to_string()),
        attempt: row.attempt.map(|code| code.to_string()),
        actor: row.actor,
        detail: row.detail,
    }
}
