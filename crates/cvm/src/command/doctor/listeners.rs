//! The listeners: whether they answer, or without a server, whether their addresses are free.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use cvm_agent::client::Client;
use serde_json::Value;

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::command::remote;
use crate::failure::{Exit, Failure};

const CHECK: Check = Check::Listeners;

/// How long a listener may take to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the listeners.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) {
    match server {
        Server::Down(why) => {
            let cure = "start it with `cvm serve`, or name one with --server URL";
            report.add(Finding::warning(Check::Server, why.clone(), cure));
            free(patient, report);
        }
        Server::Mute(failure) => report.add(Finding::failure(Check::Server, failure)),
        Server::Up(_) => {
            report.add(Finding::ok(Check::Server, "the server answers its operators"));
            answering(patient, report);
        }
    }
}

/// Whether the addresses that `serve` would take are to be had.
fn free(patient: &Patient<'_>, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    let addresses = [
        ("[http] listen", Some(config.http.listen)),
        ("[http] plain_listen", config.http.plain_listen),
        ("[metrics] listen", config.metrics_listen),
        ("[operator] listen", Some(config.operator_listen)),
    ];
    let taken = addresses.into_iter().filter_map(|(key, address)| {
        let address = address?;
        let error = TcpListener::bind(address).err()?;
        let cure = "stop what has the address, or choose another in the configuration";
        Some(Finding::failed(CHECK, format!("{key} = \"{address}\": {error}"), cure))
    });
    let taken: Vec<Finding> = taken.collect();
    report.add_all(taken, Finding::ok(CHECK, "the addresses of all listeners are free"));
}

/// Whether the other listeners answer; that operators are answered, was seen.
fn answering(patient: &Patient<'_>, report: &mut Report) {
    let Some(ready) = patient.ready() else {
        return report.add(Finding::ok(CHECK, "the operator API answers"));
    };
    let mut wrong = Vec::new();
    let has_ours = patient.config.as_ref().is_none_or(|config| config.http.brought.is_none());
    // What an operator brings may chain to a root that only devices know.
    if has_ours && let Err(failure) = ask_as_device(patient, &ready) {
        wrong.push(Finding::failure(CHECK, &failure));
    }
    for name in ["plain", "metrics"] {
        let error = address(&ready, name).and_then(|address| reach(address).err());
        wrong.extend(error.map(|error| {
            let what = format!("the listener `{name}` takes no connection: {error}");
            Finding::failed(CHECK, what, "look at the server's log")
        }));
    }
    report.add_all(wrong, Finding::ok(CHECK, "every listener answers"));
}

fn ask_as_device(patient: &Patient<'_>, ready: &Value) -> Result<(), Failure> {
    let url = remote::address_of(ready, "http", &patient.layout)
        .map_err(|what| Failure::new(Exit::Failed, what))?;
    let client = Client::builder(&url).trust(patient.trust()?).timeout(ANSWER_WITHIN);
    let client = client.build().map_err(remote::operator_failure)?;
    let answer = client.get("/healthz").send().map_err(remote::operator_failure)?;
    match answer.status() {
        200 => Ok(()),
        status => {
            let what = format!("{url}/healthz answered {status}");
            Err(Failure::new(Exit::Failed, what).cure("look at the server's log"))
        }
    }
}

/// Where a listener is, as the server says.
pub(super) fn address(ready: &Value, listener: &str) -> Option<SocketAddr> {
    ready.get(listener)?.as_str()?.parse().ok()
}

/// Connects, from this machine.
pub(super) fn reach(mut address: SocketAddr) -> std::io::Result<TcpStream> {
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        address.set_ip(loopback);
    }
    TcpStream::connect_timeout(&address, ANSWER_WITHIN)
}
