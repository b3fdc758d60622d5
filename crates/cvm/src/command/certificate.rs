//! `cvm certificate list|show`.

use cvm_wire::operator::{Certificate, List};

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

/// Shows a certificate.
pub(crate) fn show(id: &str, server: &ServerArgs) -> Done {
    let id: cvm_core::id::CertificateId = id
        .parse()
        .map_err(|_| Failure::new(Exit::Usage, "a certificate id is 64 hexadecimal digits"))?;
    let path = format!("/v1/certificates/{id}");
    let certificate: Certificate =
        remote::connect(server)?.get(&path).fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &certificate, |certificate, text| {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| String::from("-"));
        text.facts(&[
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
        ]);
        text.raw(&certificate.certificate);
    })
}
