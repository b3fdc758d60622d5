//! What goes wrong with DynamoDB, in words for the operator; the SDK's errors are translated here
//! alone.

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use cvm_core::error::chain_of;
use cvm_core::ports::{CommitError, CredentialError, StoreError};
use thiserror::Error;

/// Why something was not read or written; cheap to clone, as a whole group of callers hears it.
#[derive(Clone, Debug, Error)]
pub(super) enum Failure {
    /// What is stored cannot be read; says which and why, without its contents.
    #[error("{0}")]
    Corrupt(String),
    /// DynamoDB cannot now, or does not want to.
    #[error("DynamoDB, {0}")]
    Unavailable(String),
}

impl Failure {
    pub(super) fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned())
    }

    /// The SDK's error about the call named `call`: without its answer, which may hold records.
    pub(super) fn of<E, R>(call: &str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + 'static,
    {
        let cure = match error.code() {
            Some("AccessDeniedException") => ": the role's policy does not allow it",
            Some("ResourceNotFoundException") => ": the table is not there; `cvm init` makes it",
            Some("UnrecognizedClientException" | "InvalidSignatureException") => {
                ": the credentials are not known"
            }
            Some(_) | None => "",
        };
        let text = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => chain_of(&error),
        };
        Self::Unavailable(format!("{call}{cure} ({text})"))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Unavailable(format!("a request was put together wrongly ({error})"))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Corrupt(what) => Self::Corrupt(what),
            Failure::Unavailable(_) => Self::Unavailable(Box::new(failure)),
        }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

impl From<Failure> for CredentialError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

/// What a failed call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// Nothing, because others were in the way: the same again might.
    NoneYet,
    /// Nobody knows.
    Unknown,
}

/// What the call that ended with `error` has done.
pub(super) fn effect_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Effect {
    match error {
        SdkError::ConstructionFailure(_) => Effect::None,
        SdkError::ServiceError(_) => match error.code() {
            Some("TransactionConflictException") => Effect::NoneYet,
            Some(
                "AccessDeniedException"
                | "ConditionalCheckFailedException"
                | "IdempotentParameterMismatchException"
                | "InvalidSignatureException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ResourceNotFoundException"
                | "ThrottlingException"
                | "TransactionCanceledException"
                | "UnrecognizedClientException"
                | "ValidationException",
            ) => Effect::None,
            Some(_) | None => Effect::Unknown,
        },
        SdkError::DispatchFailure(_)
        | SdkError::ResponseError(_)
        | SdkError::TimeoutError(_)
        | _ => Effect::Unknown,
    }
}

/// Whether the call was refused because there were too many.
pub(super) fn is_throttled<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        error.code(),
        Some(
            "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ThrottlingException"
        )
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::get_item::GetItemError;

    use super::*;

    #[test]
    fn an_answer_is_never_told() {
        let error = GetItemError::unhandled("not understood");
        let failure = Failure::of("GetItem", SdkError::service_error(error, "a sealed key"));
        let text = failure.to_string();
        assert!(text.starts_with("DynamoDB, GetItem"), "{text}");
        assert!(!text.contains("sealed"), "{text}");
    }
}
