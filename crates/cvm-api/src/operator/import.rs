//! `POST /v1/devices:import`: devices in, a line each, and what became of them out, at once.
//!
//! One task reads lines into batches, another registers a batch and hands its results to the
//! answer's body. Between them is room for a batch or two and no more: where nobody reads the
//! results, nobody reads the lines. An answer that is not whole is cut off, so that its reader
//! knows; what it has said is durable.

mod lines;
mod places;
mod read;
mod results;
mod rows;

use std::sync::Arc;

use bytes::Bytes;
use cvm_core::operator::{Operator, Permission};
use cvm_core::time::Span as Seconds;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::devices::idempotency_key;
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::auth;
use crate::body::{NDJSON, Unread};
use crate::connection::InFlight;
use crate::problem::Refused;
use crate::stream::{Content, Part};
use places::ImportPlace;
pub(crate) use places::Imports;
use read::{Batch, Incoming, Reader};
use results::Results;
use rows::Row;

/// When to ask again whose places are all taken.
const COME_AGAIN: Seconds = Seconds(5);

/// Begins to answer; the rest happens while the answer is sent.
pub(crate) fn start(api: &Api, call: Call, unread: Option<Unread>) -> Result<Answer, Refused> {
    let Some(unread) = unread else {
        return Err(Refused::internal("an import came without its body"));
    };
    let place = api.imports().begin(&call.principal.operator()?.id);
    let place = place.ok_or_else(|| Refused::slow_down(COME_AGAIN))?;
    let leaving = call.in_flight.as_ref().map(|it| it.leaving()).unwrap_or_default();
    let (batches, incoming) = mpsc::channel(1);
    let (parts, sent) = mpsc::channel(1);
    let key = idempotency_key(&call.fields)?;
    let reader = Reader::new(unread, key, api.limits(), batches);
    let import = Import {
        api: api.clone(),
        fields: call.fields,
        parts,
        leaving: leaving.clone(),
        _in_flight: call.in_flight,
        _place: place,
    };
    let tasks = &api.aftermath().tasks;
    let _reading = tasks.spawn(reader.run(leaving).instrument(Span::current()));
    let _registering = tasks.spawn(import.run(incoming).instrument(Span::current()));
    let (status, media_type) = (StatusCode::OK, Some(NDJSON));
    Ok(Answer { status, media_type, body: Content::Stream(sent), max_age: None })
}

struct Import {
    api: Api,
    fields: HeaderMap,
    parts: mpsc::Sender<Part>,
    leaving: CancellationToken,
    /// Its place among the requests at once, which hanging up does not free.
    _in_flight: Option<Arc<InFlight>>,
    /// Its place among the imports of its operator, which hanging up does not free either.
    _place: ImportPlace,
}

/// Why an import goes no further.
enum Stop {
    /// Nobody wants the results any more.
    Abandoned,
    /// Whoever imports may not any more.
    Refused(Refused),
}

impl Import {
    async fn run(self, mut incoming: mpsc::Receiver<Incoming>) {
        let mut results = Results::default();
        let mut ending = "cut off";
        while let Some(batch) = incoming.recv().await {
            match batch {
                Incoming::Batch(batch) => match self.take(batch, &mut results).await {
                    Ok(()) => {}
                    Err(Stop::Abandoned) => break,
                    Err(Stop::Refused(refused)) => {
                        tracing::info!(problem = refused.slug.as_str(), "import stopped");
                        break;
                    }
                },
                Incoming::End => {
                    if self.parts.send(Part::End).await.is_ok() {
                        ending = "complete";
                    }
                    break;
                }
            }
        }
        let (registered, again, refused) = results.counts();
        let is_leaving = self.leaving.is_cancelled();
        tracing::info!(ending, registered, again, refused, is_leaving, "import ended");
    }

    /// Registers a batch and hands its results on.
    async fn take(&self, batch: Batch, results: &mut Results) -> Result<(), Stop> {
        let operator = self.operator().await.map_err(Stop::Refused)?;
        let (mut new, mut places) = (Vec::new(), Vec::with_capacity(batch.rows.len()));
        for Row { number, serial_number, new: asked } in batch.rows {
            let refused = match asked {
                Ok(device) => {
                    new.push(device);
                    None
                }
                Err(refused) => Some(refused),
            };
            places.push((number, serial_number, refused));
        }
        let place = self.api.imports().batch().await;
        let registered = self.api.provisioning().devices_register(new, &operator.id).await;
        drop(place);
        let mut registered = registered.into_iter();
        for (number, serial_number, refused) in places {
            let outcome = match refused {
                Some(refused) => Err(refused),
                None => registered.next().map_or_else(|| Err(unanswered()), |it| Ok(it?)),
            };
            if let Some(part) = results.push(number, serial_number, outcome) {
                self.send(part).await?;
            }
        }
        match results.take() {
            Some(part) => self.send(part).await,
            None => Ok(()),
        }
    }

    async fn send(&self, part: Bytes) -> Result<(), Stop> {
        self.parts.send(Part::Data(part)).await.map_err(|_| Stop::Abandoned)
    }

    /// Who imports. A long import asks again and again, as their token may have been revoked.
    async fn operator(&self) -> Result<Operator, Refused> {
        let ports = self.api.provisioning().ports();
        let permission = Permission::DeviceRegister;
        auth::operator(ports, &self.fields, permission).await?.operator().cloned()
    }
}

fn unanswered() -> Refused {
    Refused::internal("a line of an import was left without an answer")
}
