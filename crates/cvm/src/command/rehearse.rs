//! `cvm rehearse`: a virtual fleet against a running server, and what it found.

mod progress;
mod table;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cvm_core::ports::Entropy as _;
use cvm_pki::SystemEntropy;
use cvm_rehearse::plan::{Afterwards, Connections, KeyExchange, Plan, Then};
use cvm_rehearse::report::Report;
use cvm_rehearse::site::{Endpoint, Site};
use cvm_rehearse::{Failure as Trouble, Rehearsed, clean, has_other_devices, rehearse};
use serde_json::json;
use tokio::sync::watch;

use self::progress::Shown;
use super::enroll::algorithm;
use super::remote;
use super::serve::{End, runtime};
use crate::cli::{Output, Rehearse, RehearseKeyExchange};
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::output;
use crate::serve::clock::system_unix_ms;

/// Holds a rehearsal, or cleans up after earlier ones.
pub(crate) fn run(args: &Rehearse) -> Done {
    let device = device_server(args)?;
    let access = remote::access(&args.server)?;
    runtime()?.block_on(async {
        let site = Site {
            device: look_up(&device).await?,
            operator: look_up(&access.server).await?,
            admin_token: access.token,
            roots: Arc::new(access.roots),
            unix_ms: system_unix_ms,
        };
        if args.clean {
            return clean_up(args, &site).await;
        }
        if !args.yes && has_other_devices(&site).await.map_err(|error| failure(&error, None))? {
            let what = "the server has devices that are none of a rehearsal's; nothing was done";
            let cure = "rehearse on a server of its own; or say --yes: devices called \
                        rehearse-SEED-NUMBER are registered beside them and deleted again, and \
                        the load is real";
            return Err(Failure::new(Exit::Failed, what).cure(cure));
        }
        hold(args, site).await
    })
}

async fn hold(args: &Rehearse, site: Site) -> Done {
    let mut end = End::listen()?;
    let plan = plan(args);
    let seed = plan.seed;
    output::note(format!("seed {seed}: {} devices at {site:?}", plan.devices));
    let shown = Arc::new(Shown::new(args.phases));
    let (stop, stopped) = watch::channel(false);
    let mut rehearsing = pin!(rehearse(site, plan, shown, stopped));
    let Rehearsed { result, left, uncleaned } = loop {
        tokio::select! {
            rehearsed = &mut rehearsing => break rehearsed,
            () = end.asked() => {
                if *stop.borrow() {
                    let what = "ended at the second signal; devices may be left";
                    return Err(Failure::new(Exit::Failed, what).cure(how_to_clean(seed)));
                }
                output::note("ending: the devices are deleted; a second signal ends at once");
                // Who listens no longer has come to its end.
                let _heard = stop.send(true);
            }
        }
    };
    let report = result.map_err(|error| failure(&error, Some((seed, left))))?;
    output::result(args.server.output.output, &report, table::write)?;
    if left > 0 && args.keep {
        output::note(format!("{left} devices are left; {}", how_to_clean(seed)));
    }
    verdict(&report, args)?;
    match uncleaned {
        None => Ok(()),
        Some(error) => Err(failure(&error, Some((seed, left)))),
    }
}

async fn clean_up(args: &Rehearse, site: &Site) -> Done {
    let shown = Shown::new(false);
    let deleted = clean(site, args.seed, &shown).await.map_err(|error| failure(&error, None))?;
    output::result(args.server.output.output, &json!({"deleted": deleted}), |_, text| {
        text.line(format!("{deleted} devices of rehearsals were deleted."));
    })
}

/// What the exit code says.
fn verdict(report: &Report, args: &Rehearse) -> Done {
    if report.audit.broken > 0 {
        if args.server.output.output == Output::Json {
            report.audit.findings.iter().take(1).for_each(|it| output::note(table::finding(it)));
        }
        let what = format!("{} times an invariant broke", report.audit.broken);
        let cure = "run it again with the same --seed and --keep, and look at a device: \
                    cvm device show SERIAL, cvm explain SERIAL";
        return Err(Failure::new(Exit::Failed, what).cure(cure));
    }
    let Some(first) = report.unfinished.first() else { return Ok(()) };
    let what = format!(
        "no invariant broke, but {} of {} devices did not get there; the first: {} gave up at \
         {}: {}",
        report.unfinished_devices, report.devices, first.serial_number, first.act, first.last
    );
    let cure = if report.unfinished.iter().any(|unfinished| unfinished.is_limited) {
        "a limit of the server was in the way: raise [limits] issues_per_serial (each device's \
         own) or refusals_per_address, or list this machine in trusted_networks; or wait an hour, \
         take another --seed, or lose less"
    } else {
        "look at the server's log, or wait longer with --patience"
    };
    Err(Failure::new(Exit::Failed, what).cure(cure))
}

fn plan(args: &Rehearse) -> Plan {
    let mut then = Vec::new();
    then.extend(args.confirm.then_some(Then::Confirm));
    then.extend(args.renew.then_some(Then::Renew));
    Plan {
        devices: args.devices,
        concurrency: args.concurrency.min(args.devices),
        loss: args.loss,
        seed: args.seed.unwrap_or_else(any_seed),
        then,
        key_algorithm: algorithm(args.key_algorithm),
        connections: if args.keep_alive { Connections::Kept } else { Connections::Each },
        key_exchange: match args.key_exchange {
            RehearseKeyExchange::Hybrid => KeyExchange::Hybrid,
            RehearseKeyExchange::X25519 => KeyExchange::X25519,
        },
        patience: Duration::from_secs(u64::try_from(args.patience.0).unwrap_or_default()),
        afterwards: if args.keep { Afterwards::Keep } else { Afterwards::Clean },
    }
}

/// Short enough to be typed again.
fn any_seed() -> u64 {
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    u64::from(u32::from_le_bytes(random))
}

fn device_server(args: &Rehearse) -> Result<String, Failure> {
    if let Some(server) = &args.device_server {
        return Ok(server.clone());
    }
    let found = match &args.server.server {
        Some(_) => Err(String::from("--server names the operator API alone")),
        None => {
            let layout = Layout::new(&args.server.data.data_dir);
            remote::ready(&layout).and_then(|it| remote::address_of(&it, "http", &layout))
        }
    };
    found.map_err(|what| {
        Failure::new(Exit::Failed, what)
            .cure("start the server with `cvm serve`, or give --device-server URL")
    })
}

async fn look_up(url: &str) -> Result<Endpoint, Failure> {
    // As `--server` of every command: the scheme may be left out.
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    Endpoint::look_up(&url)
        .await
        .map_err(|error| Failure::new(Exit::Usage, cvm_core::error::chain_of(&error)))
}

/// Why there was no rehearsal, and how to clean up where devices are left.
fn failure(error: &Trouble, left: Option<(u64, usize)>) -> Failure {
    let failure = Failure::new(Exit::Failed, cvm_core::error::chain_of(error));
    match (error, left) {
        (_, Some((seed, left @ 1..))) => {
            let what = format!("{}; {left} devices may be left", failure.what);
            Failure::new(Exit::Failed, what).cure(how_to_clean(seed))
        }
        (Trouble::LeftOver(_), Some((seed, _))) => failure.cure(how_to_clean(seed)),
        (Trouble::NoProfile, _) => failure.cure("it is older than this `cvm`: update it"),
        (Trouble::NoAnswer { .. }, _) => {
            failure.cure("is it running? `cvm doctor` looks at its listeners")
        }
        (_, _) => failure,
    }
}

fn how_to_clean(seed: u64) -> String {
    format!("cvm rehearse --clean --seed {seed} deletes them")
}
