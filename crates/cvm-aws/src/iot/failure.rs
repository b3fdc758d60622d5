//! What goes wrong with IoT Core: whether it took effect, and whether asking again helps.

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::config::interceptors::InterceptorContext;
use aws_sdk_iot::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_iot::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use cvm_core::ports::IotError;

/// The SDK's error about the call named `call`; `noun` is what it is about.
pub(super) fn of<E>(call: &str, noun: &'static str, error: SdkError<E, HttpResponse>) -> IotError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default().to_owned();
    let status = error.raw_response().map(|response| response.status().as_u16());
    let is_service = matches!(error, SdkError::ServiceError(_));
    let is_ours = matches!(error, SdkError::ConstructionFailure(_));
    let what = format!("{call}: {}", DisplayErrorContext(error));
    if is_ours {
        return IotError::Refused(what);
    }
    if !is_service {
        return IotError::Unknown(what);
    }
    match code.as_str() {
        "ResourceNotFoundException" => IotError::NotFound(noun),
        "CertificateConflictException"
        | "CertificateStateException"
        | "DeleteConflictException"
        | "ResourceAlreadyExistsException" => IotError::Conflict(what),
        "CertificateValidationException"
        | "InvalidRequestException"
        | "MalformedPolicyException" => IotError::Refused(what),
        // Throttled, not allowed, over a quota: it was not carried out, and may be later.
        _ if status.is_some_and(|status| (400..500).contains(&status)) => IotError::NotNow(what),
        _ => IotError::Unknown(what),
    }
}

/// What is not there need not be removed.
pub(super) fn unless_absent<T>(told: Result<T, IotError>) -> Result<(), IotError> {
    match told {
        Ok(_) | Err(IotError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An answer without what it has to have.
pub(super) fn silent(call: &str) -> IotError {
    IotError::Unknown(format!("{call}: the answer says nothing"))
}

/// Forbids to try again what may have taken effect: all but a call that was throttled.
#[derive(Debug)]
pub(super) struct OnceUnlessThrottled;

impl ClassifyRetry for OnceUnlessThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_throttled = context.response().is_some_and(|response| {
            let kind = response.headers().get("x-amzn-errortype").unwrap_or_default();
            response.status().as_u16() == 429 || kind.starts_with("ThrottlingException")
        });
        if is_throttled { RetryAction::NoActionIndicated } else { RetryAction::RetryForbidden }
    }

    fn name(&self) -> &'static str {
        "once unless throttled"
    }
}
