//! CVM as a Lambda function: the same routes as a server's behind REST APIs, HTTP APIs and function
//! URLs, and the same timers once a minute. One `bootstrap`, without a listener of its own.

mod answer;
mod event;

use cvm::function::Function;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use event::{Call, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await?;
    let function = &function;
    lambda_runtime::run(service_fn(move |event| handle(function, event))).await
}

/// Answers one call.
async fn handle(function: &Function, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error> {
    match Event::read(event.payload.get(), function.base_path())? {
        Event::Minute => {
            let ticked = function.tick().await;
            Ok(json!({
                "devices": ticked.devices,
                "crls": ticked.crls,
                "failures": ticked.failures,
            }))
        }
        Event::Request(call) => {
            let Call { form, request, peer } = *call;
            let answer = function.answer(request, peer).await;
            Ok(answer::written(form, answer)?)
        }
    }
}
