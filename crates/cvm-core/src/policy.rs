//! Policies: what a device may do, as AWS IoT policy documents.
//!
//! Kept and shown here; deciding by them comes with the MQTT platform.

use serde_json::Value;
use thiserror::Error;

use crate::id::Name;
use crate::time::Timestamp;

/// The most bytes a policy document may have without white space.
/// AWS IoT Core quotas, read 2026-11-25: "Maximum policy document size 2048 characters".
pub const DOCUMENT_BYTES_MAX: usize = 2_048;

/// The policy that `init` makes and devices get unless their operator chooses another.
pub const DEFAULT_POLICY: &str = "cvm-default";

/// Connect as its own thing, publish and subscribe below it, nothing else.
pub const DEFAULT_DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"},{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":"arn:aws:iot:*:*:topic/${iot:Connection.Thing.ThingName}/*"},{"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:*:*:topicfilter/${iot:Connection.Thing.ThingName}/*"}]}"#;

/// A policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// Its document, without white space.
    pub document: String,
    /// When it was last put.
    pub updated_at: Timestamp,
}

/// Why a text is not a policy document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// Not JSON.
    #[error("the policy is not JSON: line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Not the shape of an AWS IoT policy.
    #[error("{0}")]
    Shape(&'static str),
    /// Too long.
    #[error("the policy has {0} bytes without white space; at most {DOCUMENT_BYTES_MAX} fit")]
    TooLong(usize),
}

/// The document without white space, if it has the shape of an AWS IoT policy.
///
/// # Errors
/// [`PolicyError`] says what is wrong and where.
pub fn document_parse(text: &str) -> Result<String, PolicyError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|e| PolicyError::Json { line: e.line(), column: e.column() })?;
    let version = value.get("Version").and_then(Value::as_str);
    if !matches!(version, Some("2012-10-17" | "2008-10-17")) {
        return Err(PolicyError::Shape("a policy has \"Version\": \"2012-10-17\""));
    }
    let statements = match value.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return Err(PolicyError::Shape("a policy has a \"Statement\" list")),
    };
    if statements.is_empty() {
        return Err(PolicyError::Shape("a policy has at least one statement"));
    }
    for statement in statements {
        check_statement(statement)?;
    }
    let compact = value.to_string();
    if compact.len() > DOCUMENT_BYTES_MAX {
        return Err(PolicyError::TooLong(compact.len()));
    }
    Ok(compact)
}

fn check_statement(statement: &Value) -> Result<(), PolicyError> {
    if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Err(PolicyError::Shape("each statement has \"Effect\": \"Allow\" or \"Deny\""));
    }
    let is_texts = |value: Option<&Value>| match value {
        Some(Value::String(_)) => true,
        Some(Value::Array(texts)) => !texts.is_empty() && texts.iter().all(Value::is_string),
        _ => false,
    };
    if !is_texts(statement.get("Action")) {
        return Err(PolicyError::Shape("each statement has \"Action\": a text or a list of texts"));
    }
    if !is_texts(statement.get("Resource")) {
        return Err(PolicyError::Shape(
            "each statement has \"Resource\": a text or a list of texts",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_document_is_a_policy_and_already_compact() {
        let compact = document_parse(DEFAULT_DOCUMENT).unwrap();
        assert_eq!(compact.len(), DEFAULT_DOCUMENT.len());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let statement = |text: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{text}]}}"#);
        for (text, wanted) in [
            (String::from("{"), "line 1"),
            (String::from("{}"), "Version"),
            (String::from(r#"{"Version":"2012-10-17"}"#), "Statement"),
            (statement(""), "at least one"),
            (statement(r#"{"Effect":"allow"}"#), "Effect"),
            (statement(r#"{"Effect":"Allow","Action":[]}"#), "Action"),
            (statement(r#"{"Effect":"Allow","Action":"iot:*"}"#), "Resource"),
        ] {
            let error = document_parse(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_document_fits_at_2048_bytes_and_not_past_it() {
        let document = |length: usize| {
            let frame = r#"{"Statement":{"Action":"","Effect":"Deny","Resource":"*"},"Version":"2012-10-17"}"#;
            frame.replace("\"\"", &format!("\"{}\"", "a".repeat(length - frame.len())))
        };
        assert!(document_parse(&document(2_048)).is_ok());
        assert_eq!(document_parse(&document(2_049)), Err(PolicyError::TooLong(2_049)));
    }
}
