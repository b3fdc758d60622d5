//! `cvm certificate list|show|revoke`.

use cvm_core::certificate::{Reason, ReasonError};
use cvm_core::id::CertificateId;
use cvm_wire::operator::{Certificate, List, Revocation};

use super::device::more;
use super::remote;
use crate::cli::{ListArgs, ServerArgs};
use crate::failure::{Done, Exit, Failure};
use crate::output;

/// Lists certificates.
pub(crate) fn list(args: &ListArgs) -> Done {
    let certificates: List<Certificate> = remote::page(args, "/v1/certificates")?;
    output::result(args.server.output.output, &certificates, |certificates, text| {
        let rows: Vec<Vec<String>> = certificates
            .items
            .iter()
            .map(|certificate| {
                vec![
                    certificate.certificate_id.clone(),
                    certificate.serial_number.clone(),
                    certificate.state.clone(),
                    certificate.not_after.clone(),
                ]
            })
            .collect();
        text.table(&["CERTIFICATE", "SERIAL", "STATE", "NOT AFTER"], &rows);
        more(certificates.cursor.as_deref());
    })
}

/// Revokes a certificate.
pub(crate) fn revoke(id: &str, reason: &str, server: &ServerArgs) -> Done {
    let id = parsed(id)?;
    // Said here too, so that a slip of the pen needs no server.
    let reason: Reason = reason
        .parse()
        .map_err(|error: ReasonError| Failure::new(Exit::Usage, format!("--reason: {error}")))?;
    let path = format!("/v1/certificates/{id}:revoke");
    let body = Revocation { reason: Some(reason.as_str().to_owned()) };
    let client = remote::connect(server)?;
    let certificate: Certificate =
        client.post(&path).json(&body).fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &certificate, |certificate, text| {
        text.facts(&facts(certificate));
    })?;
    output::note(format!(
        "Revoked, and its token is burnt; give the device another: cvm device new-token {}",
        certificate.serial_number
    ));
    Ok(())
}

fn parsed(id: &str) -> Result<CertificateId, Failure> {
    id.parse().map_err(|_| Failure::new(Exit::Usage, "a certificate id is 64 hexadecimal digits"))
}

/// Shows a certificate.
pub(crate) fn show(id: &str, server: &ServerArgs) -> Done {
    let id = parsed(id)?;
    let path = format!("/v1/certificates/{id}");
    let certificate: Certificate =
        remote::connect(server)?.get(&path).fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &certificate, |certificate, text| {
        text.facts(&facts(certificate));
        text.raw(&certificate.certificate);
    })
}

fn facts(certificate: &Certificate) -> [(&'static str, String); 11] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| String::from("-"));
    [
        ("certificate", certificate.certificate_id.clone()),
        ("X.509 serial", certificate.certificate_serial.clone()),
        ("device", certificate.serial_number.clone()),
        ("thing", certificate.thing_name.clone()),
        ("state", certificate.state.clone()),
        ("origin", certificate.origin.clone()),
        ("not before", certificate.not_before.clone()),
        ("not after", certificate.not_after.clone()),
        ("confirmed", or_dash(&certificate.confirmed_at)),
        ("ended", or_dash(&certificate.revoked_at)),
        ("reason", or_dash(&certificate.reason)),
    ]
}
