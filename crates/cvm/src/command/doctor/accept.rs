//! `cvm doctor --accept-time`: what the clock says becomes the latest time on record.
//!
//! The server does it where one runs, so that its clock is believed from then on. Where none does,
//! it is done here, in the store, under the same hold on the data directory that a server takes.

use cvm_core::error::chain_of;
use cvm_core::journal::Event;
use cvm_core::operator::Actor;
use cvm_core::provisioning::clock_accept_event;
use cvm_core::time::Timestamp;
use cvm_wire::operator::ClockAccepted;

use crate::cli::Doctor;
use crate::command::remote::{self, Whereabouts};
use crate::data_dir::{Layout, hold};
use crate::failure::{Done, Exit, Failure};
use crate::output;
use crate::serve::clock::system_now;

/// Accepts the time, and says what it was before.
pub(super) fn run(args: &Doctor, layout: &Layout) -> Done {
    let (now, before) = match remote::locate(&args.server, layout) {
        Whereabouts::At(_) => by_server(args)?,
        Whereabouts::Nowhere(_) => by_hand(args, layout)?,
    };
    let before = before.unwrap_or_else(|| String::from("none"));
    output::note(format!("The latest time on record was {before} and is now {now}."));
    Ok(())
}

fn by_server(args: &Doctor) -> Result<(String, Option<String>), Failure> {
    let client = remote::connect(&args.server).map_err(super::mute)?;
    let accepted: ClockAccepted = client
        .post("/v1/clock:accept")
        .fetch()
        .map_err(|error| super::mute(remote::operator_failure(error)))?;
    Ok((accepted.now, accepted.mark_before))
}

fn by_hand(args: &Doctor, layout: &Layout) -> Result<(String, Option<String>), Failure> {
    let loaded = crate::command::config::load(args.config.as_deref(), layout)?;
    let failed = |what: String| {
        let what = format!("setting the latest time on record: {what}");
        Failure::new(Exit::Failed, what).cure("name the right data directory with --data-dir")
    };
    let Some(url) = loaded.config.sqlite_url() else {
        let failure = failed(String::from("the registry is not on this machine"));
        return Err(failure.cure("ask the server: --server URL"));
    };
    let _hold = hold(layout)?;
    // Opening makes what is not there, and a registry that is not there has no time on record.
    let before = cvm_store::look(url, &layout.root).map_err(|error| failed(chain_of(&error)))?;
    let stores = cvm_store::open(url, &layout.root).map_err(|error| failed(chain_of(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let now = system_now();
    let set = runtime.block_on(stores.store.mark_set(now, event(before, now)));
    set.map_err(|error| failed(chain_of(&error)))?;
    Ok((now.to_string(), before.map(|before| before.to_string())))
}

fn event(before: Option<Timestamp>, now: Timestamp) -> Event {
    let event = clock_accept_event(before, now, Actor::Server);
    let detail = format!("{}; by `cvm doctor` while no server ran", event.detail);
    Event { detail, ..event }
}
