//! Who reaches what: whether devices are told an address that they reach, by a name that the
//! certificate has; and what others reach who should not.

use std::net::SocketAddr;

use cvm_core::error::chain_of;
use cvm_core::limit::Rate;
use cvm_pki::{host_is_named, inventory, server_names};

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::compose;
use crate::config::{Config, HostName, WebhookUrl};

/// Looks at addresses and names.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    let addresses = Finding::ok(Check::Addresses, "devices are told an address that they reach");
    report.add_all(unreachable(config), addresses);
    report.add(names(patient, config, server));
    report.add_all(
        exposed(config),
        Finding::ok(Check::Exposure, "nothing is open to others without need"),
    );
}

/// The host of a URL.
fn host_of(url: &str) -> Option<String> {
    let url: WebhookUrl = url.parse().ok()?;
    url.uri().host().map(|host| host.trim_matches(['[', ']']).to_owned())
}

/// What devices reach the server by.
fn told_host(config: &Config) -> String {
    let configured = config.http.public_url.as_deref().and_then(host_of);
    let first = config.http.hostnames.first().map(|HostName(name)| name.clone());
    configured.or(first).unwrap_or_else(|| String::from("localhost"))
}

fn is_here_only(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback())
}

/// Addresses that only this machine reaches, where others are let in.
fn unreachable(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let host = told_host(config);
    if is_here_only(&host) && !config.http.listen.ip().is_loopback() {
        let what = format!(
            "devices are told to come to {host}, which only this machine reaches, and [http] \
             listen = \"{}\" lets others in",
            config.http.listen
        );
        let cure = "name this server as devices reach it: [http] hostnames, or public_url";
        found.push(Finding::warning(Check::Addresses, what, cure));
    }
    let crl_host = config.http.crl_url.as_deref().and_then(host_of);
    let plain = config.http.plain_listen.unwrap_or(config.http.listen);
    if crl_host.is_some_and(|host| is_here_only(&host)) && !plain.ip().is_loopback() {
        let what = "certificates say that their CRL is on the machine that reads them";
        let cure = "name this server in [http] crl_url as relying parties reach it; certificates \
                    that were issued keep what they say";
        found.push(Finding::warning(Check::Addresses, what, cure));
    }
    found
}

/// Whether the certificate that devices are shown has the name by which they come.
fn names(patient: &Patient<'_>, config: &Config, server: &Server) -> Finding {
    let host = told_host(config);
    let hostnames: Vec<String> =
        config.http.hostnames.iter().map(|HostName(name)| name.clone()).collect();
    let to_be = compose::certificate_names(&hostnames);
    let [.., (_, ours)] = inventory();
    let shown = match (&config.http.brought, server) {
        (Some((certificate, _)), _) => server_names(&patient.file(certificate)),
        // One is issued at the start, by the names of the configuration.
        (None, Server::Down(_)) => Ok(to_be.clone()),
        (None, Server::Mute(_) | Server::Up(_)) => server_names(&patient.layout.root.join(ours)),
    };
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => {
            let cure = "name a PEM file with the server's certificate in [http] certificate";
            return Finding::failed(Check::Names, chain_of(&error), cure);
        }
    };
    if host_is_named(&shown, &host) {
        return Finding::ok(Check::Names, format!("the server's certificate is for {host}"));
    }
    let what = format!(
        "devices come to {host}, and the server's certificate is for {}: they refuse it",
        shown.join(", ")
    );
    let cure = match (&config.http.brought, host_is_named(&to_be, &host)) {
        (Some(_), _) => format!("bring a certificate for {host}, or set [http] public_url right"),
        (None, true) => String::from("start the server again: it then has a new certificate"),
        (None, false) => format!(
            "add \"{host}\" to [http] hostnames and start the server again, or set public_url right"
        ),
    };
    Finding::failed(Check::Names, what, cure)
}

/// What is there for this machine, or is for others with a limit that is off.
fn exposed(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_open = |address: &SocketAddr| !address.ip().is_loopback();
    if let Some(address) = config.metrics_listen.filter(is_open) {
        let what = format!("[metrics] listen = \"{address}\": who reaches it reads the metrics");
        let cure = "listen on 127.0.0.1, or let only who collects them through the firewall";
        found.push(Finding::warning(Check::Exposure, what, cure));
    }
    if config.limits.refusals_per_address == Rate::OFF && is_open(&config.http.listen) {
        let what = "[limits] refusals_per_address = \"off\": nobody who guesses has to wait";
        found.push(Finding::warning(Check::Exposure, what, "take it out: the default is 60/1m"));
    }
    found
}
