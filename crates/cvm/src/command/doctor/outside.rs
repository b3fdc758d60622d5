//! Who is outside: the place that certificates name for their CRL, and the receivers of alarms. None
//! is sent anything that it would take for an alarm.

use cvm_core::error::chain_of;
use ureq::http::Uri;
use ureq::http::uri::PathAndQuery;

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::config::{Config, Notify, WebhookUrl};
use crate::failure::{Exit, Failure};
use crate::serve::outgoing::{Receiver, words};

/// More than a certificate has.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

const DER_SEQUENCE: u8 = 0x30;

/// Asks them.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    if let (Server::Up(_), Some(url)) = (server, &config.http.crl_url) {
        report.add(crl(patient, url));
    }
    webhooks(patient, config, report);
}

/// Fetches from there what costs the server nothing: the certificate of the CA that signs the CRLs.
fn crl(patient: &Patient<'_>, base: &str) -> Finding {
    let told = |what: String| {
        let what = format!("[http] crl_url = \"{base}\": {what}; this is how it looks from here");
        let cure = "let it lead to [http] plain_listen, or set crl_url right; certificates that \
                    were issued keep what they say";
        Finding::warning(Check::CrlUrl, what, cure)
    };
    let issuer = match cvm_pki::devices_issuer(&patient.layout.root) {
        Ok(issuer) => issuer,
        Err(error) => return told(chain_of(&error)),
    };
    match fetch(patient, &format!("{base}/v1/ca/{issuer}.cer")) {
        Ok(body) if body.first() == Some(&DER_SEQUENCE) => {
            Finding::ok(Check::CrlUrl, format!("{base} leads to this server"))
        }
        Ok(_) => told(String::from("something else answers there")),
        Err(what) => told(what),
    }
}

fn fetch(patient: &Patient<'_>, url: &str) -> Result<Vec<u8>, String> {
    let url: WebhookUrl = url.parse()?;
    // It may be this server itself, under our root.
    let roots: &[Option<&str>] =
        if url.is_https() { &[Some("root-ca.pem"), None] } else { &[None] };
    let mut said = String::new();
    for root_ca in roots {
        let receiver = Receiver { section: "http", url: &url, root_ca: *root_ca };
        let agent = receiver.agent(&patient.layout, 0).map_err(|failure| failure.what)?;
        match agent.get(url.uri()).call() {
            Ok(answer) if answer.status() != 200 => {
                return Err(format!("it answered {}", answer.status().as_u16()));
            }
            Ok(mut answer) => {
                let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
                return body.map_err(|error| words(&error));
            }
            Err(error) => said = format!("no answer: {}", words(&error)),
        }
    }
    Err(said)
}

fn webhooks(patient: &Patient<'_>, config: &Config, report: &mut Report) {
    if config.notify.is_empty() {
        return;
    }
    let wrong = config.notify.iter().filter_map(|notify| {
        let failure = knock(patient, notify).err()?;
        Some(Finding::failure(Check::Webhooks, &failure))
    });
    let wrong: Vec<Finding> = wrong.collect();
    report.add_all(wrong, Finding::ok(Check::Webhooks, "every receiver of alarms answers"));
}

/// Connects to a receiver, TLS included, and asks it for nothing: the path, which may be a secret,
/// is not sent, and any answer is one.
fn knock(patient: &Patient<'_>, notify: &Notify) -> Result<(), Failure> {
    let (section, root_ca) = (notify.name.as_str(), notify.root_ca.as_deref());
    let agent = Receiver { section, url: &notify.url, root_ca }.agent(&patient.layout, 0)?;
    let failed = |what: String| {
        let what = format!("[{section}] {}: {what}", notify.url.receiver());
        Failure::new(Exit::Failed, what)
            .cure("start the receiver, or set `url` and `root_ca` right; meanwhile alarms are lost")
    };
    let mut parts = notify.url.uri().clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    let root = Uri::from_parts(parts).map_err(|error| failed(error.to_string()))?;
    match agent.head(root).call() {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(format!("no answer: {}", words(&error)))),
    }
}
