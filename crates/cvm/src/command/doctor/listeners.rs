//! The listeners: whether they answer, or without a server, whether their addresses are free.

use std::net::TcpListener;
use std::time::Duration;

use cvm_agent::client::Client;

use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::command::remote;
use crate::failure::Failure;

const CHECK: &str = "listeners";

/// How long a listener may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the listeners.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) {
    match server {
        Server::Down(why) => {
            let cure = "start it with `cvm serve`, or name one with --server URL";
            report.add(Finding::warning("server", why.clone(), cure));
            free(patient, report);
        }
        Server::Mute(failure) => report.add(Finding::failure("server", failure)),
        Server::Up(_) => answering(patient, report),
    }
}

/// Whether the addresses that `serve` would take are to be had.
fn free(patient: &Patient<'_>, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    let addresses =
        [("[http] listen", config.http.listen), ("[operator] listen", config.operator_listen)];
    let taken = addresses.into_iter().filter_map(|(key, address)| {
        let error = TcpListener::bind(address).err()?;
        let cure = "stop what has the address, or choose another in the configuration";
        Some(Finding::failed(CHECK, format!("{key} = \"{address}\": {error}"), cure))
    });
    let taken: Vec<Finding> = taken.collect();
    report.add_all(taken, Finding::ok(CHECK, "the addresses of both APIs are free"));
}

/// Whether devices are answered; that operators are, was seen.
fn answering(patient: &Patient<'_>, report: &mut Report) {
    let Some(ready) = patient.ready() else {
        return report.add(Finding::ok(CHECK, "the operator API answers"));
    };
    let has_ours = patient.config.as_ref().is_none_or(|config| config.http.brought.is_none());
    if !has_ours {
        let what = "the operator API answers; devices are shown the certificate that you bring, \
                    which is yours to verify";
        return report.add(Finding::ok(CHECK, what));
    }
    let asked = remote::address_of(&ready, "http", &patient.layout)
        .map_err(|what| Failure::new(crate::failure::Exit::Failed, what))
        .and_then(|url| ask(patient, &url));
    report.add(match asked {
        Ok(()) => Finding::ok(CHECK, "both APIs answer"),
        Err(failure) => Finding::failure(CHECK, &failure),
    });
}

fn ask(patient: &Patient<'_>, url: &str) -> Result<(), Failure> {
    let client = Client::builder(url).trust(patient.trust()?).timeout(ANSWER_WITHIN);
    let client = client.build().map_err(remote::operator_failure)?;
    let answer = client.get("/healthz").send().map_err(remote::operator_failure)?;
    match answer.status() {
        200 => Ok(()),
        status => {
            let what = format!("{url}/healthz answered {status}");
            Err(Failure::new(crate::failure::Exit::Failed, what).cure("look at the server's log"))
        }
    }
}
