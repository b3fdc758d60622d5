//! The certificate that devices are shown: whether it is the one on the disk. Nothing is verified
//! here and nothing is sent; whether the server is ours was seen before.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use cvm_agent::client::AnyCertificate;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::check::Check;
use super::listeners::{self, ANSWER_WITHIN};
use super::report::{Finding, Report};
use super::{Patient, Server};

/// Compares what is shown with what lies here.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) {
    let (Server::Up(_), Some(config), Some(ready)) = (server, &patient.config, patient.ready())
    else {
        return;
    };
    let Some(address) = listeners::address(&ready, "http") else { return };
    let file = config.http.brought.as_ref().map_or("server/cert.pem", |(file, _)| file.as_str());
    let there = CertificateDer::from_pem_file(patient.file(file));
    report.add(match (shown(address), there) {
        (Err(error), _) => {
            let what = format!("no TLS with the device listener: {error}");
            Finding::failed(Check::Tls, what, "look at the server's log")
        }
        (_, Err(error)) => {
            let cure = "restore it from a backup; or for one of ours, start the server again, \
                        which makes another";
            Finding::failed(Check::Tls, format!("{file}: {error}"), cure)
        }
        (Ok((leaf, version)), Ok(there)) if leaf == there => {
            Finding::ok(Check::Tls, format!("{version}, and devices are shown {file}"))
        }
        (Ok(_), Ok(_)) => {
            let what = format!("devices are shown another certificate than {file}");
            Finding::failed(Check::Tls, what, "start the server again: it then shows this one")
        }
    });
}

/// The leaf that the listener shows, and the version of TLS.
fn shown(address: std::net::SocketAddr) -> io::Result<(CertificateDer<'static>, String)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream: TcpStream = listeners::reach(address)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    connection.complete_io(&mut stream)?;
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| io::Error::other("it shows no certificate"))?;
    let version = connection.protocol_version().map(|version| format!("{version:?}"));
    Ok((leaf.clone().into_owned(), version.unwrap_or_default()))
}
