//! `cvm doctor`: is everything as it should be? One line for each check, with the cause and what to
//! do where something is not.
//!
//! It changes nothing (but for `--accept-time`), and takes nothing from a server that runs: it asks
//! that one over the operator API, and looks at the files of the data directory. Without a server
//! it says so, and looks at the files and the addresses alone.

mod accept;
mod audit;
mod check;
mod clock;
mod configuration;
mod expiry;
mod keys;
mod listeners;
mod machine;
mod modes;
mod outside;
mod reach;
mod registry;
mod report;
mod store;
mod tls;

use std::path::PathBuf;

use cvm_agent::client::{Client, Trust};
use cvm_store::Survey;
use serde_json::Value;

use super::remote::{self, Whereabouts};
use crate::cli::Doctor;
use crate::config::Config;
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::output;
use report::Report;

/// What the checks look at.
struct Patient<'a> {
    args: &'a Doctor,
    layout: Layout,
    /// `None` where it has faults.
    config: Option<Config>,
    /// What the store says of itself; `None` where it cannot be read.
    survey: Option<Survey>,
}

/// The server, as far as it is there.
enum Server {
    /// It answers.
    Up(Box<Client>),
    /// It runs and does not answer as it should, or proves not to be ours.
    Mute(Failure),
    /// None runs.
    Down(String),
}

/// Checks everything; exit code 1 if anything fails.
pub(crate) fn run(args: &Doctor) -> Done {
    let layout = Layout::new(&args.server.data.data_dir);
    if args.accept_time {
        accept::run(args, &layout)?;
    }
    let report = examine(args, layout);
    output::result(args.server.output.output, &report, Report::write)?;
    match report.failed() {
        0 => Ok(()),
        failed => {
            let what = format!("{failed} of {} checks failed", report.checks.len());
            Err(Failure::new(Exit::Failed, what))
        }
    }
}

fn examine(args: &Doctor, layout: Layout) -> Report {
    let mut report = Report::default();
    let server = find_server(args, &layout);
    // A server elsewhere is asked; what lies here is not its own.
    let is_elsewhere = args.server.server.is_some() && !layout.root.exists();
    if !is_elsewhere && !modes::check(&layout, &mut report) {
        return report;
    }
    let config = match is_elsewhere {
        true => None,
        false => configuration::check(args, &layout, &mut report),
    };
    let mut patient = Patient { args, layout, config, survey: None };
    if is_elsewhere {
        clock::check(&patient, &server, &mut report);
        listeners::check(&patient, &server, &mut report);
        if args.keys {
            audit::nothing(&mut report);
        }
        return report;
    }
    // Before anything opens the store.
    machine::check(&patient, &mut report);
    keys::check(&patient, &mut report);
    patient.survey = store::check(&patient, &server, &mut report);
    let now = clock::check(&patient, &server, &mut report);
    registry::check(&patient, &server, now, &mut report);
    expiry::check(&patient, &server, now, &mut report);
    reach::check(&patient, &server, &mut report);
    listeners::check(&patient, &server, &mut report);
    tls::check(&patient, &server, &mut report);
    outside::check(&patient, &server, &mut report);
    if args.keys {
        audit::check(&patient, &mut report);
    }
    report
}

fn find_server(args: &Doctor, layout: &Layout) -> Server {
    match remote::locate(&args.server, layout) {
        Whereabouts::Nowhere(why) => Server::Down(why),
        Whereabouts::At(_) => match remote::connect(&args.server) {
            Ok(client) => Server::Up(Box::new(client)),
            Err(failure) => Server::Mute(mute(failure)),
        },
    }
}

/// The failure of a server that cannot be asked. Where its certificate is judged by a clock that is
/// wrong, or that is right when the server's is not, there is a way that needs no connection.
fn mute(failure: Failure) -> Failure {
    match failure.exit {
        Exit::NotPinned if failure.cure.is_empty() => failure.cure(
            "look at this machine's clock and at --root-ca; where the clock is right and the \
             server's certificate is old, stop it, run `cvm doctor --accept-time` beside its data \
             directory, and start it again",
        ),
        Exit::NotPinned
        | Exit::Configuration
        | Exit::Failed
        | Exit::Files
        | Exit::Later
        | Exit::Usage => failure,
    }
}

impl Patient<'_> {
    /// What the server that runs here says of its listeners.
    fn ready(&self) -> Option<Value> {
        if self.args.server.server.is_some() {
            return None;
        }
        remote::ready(&self.layout).ok()
    }

    /// A file below the data directory, or one that the configuration names from there.
    fn file(&self, name: &str) -> PathBuf {
        self.layout.root.join(name)
    }

    fn trust(&self) -> Result<Trust, Failure> {
        remote::trust(&self.args.server, &self.layout)
    }
}
