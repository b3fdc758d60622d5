//! `POST /v1/devices:import`: a line for each line.

use serde::{Deserialize, Serialize};

use crate::SecretText;

/// What became of one line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportResult {
    /// Which line of the body it is about; the first is 1, and empty ones count.
    pub line: u64,
    /// As `POST /v1/devices` would have answered: 201, 200 or a refusal's.
    pub status: u16,
    /// The serial number, where the line has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// The token, only where the server made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// Why the line is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ImportProblem>,
}

/// Why one line is refused: a problem document without a code of its own, as the request has one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ImportProblem {
    /// `/problems/<slug>`: stable, to be compared.
    #[serde(rename = "type")]
    pub kind: String,
    /// The slug in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
}
