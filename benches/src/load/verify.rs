//! Whether an answer is what was asked for: a certificate for the key, of the CA, never twice.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::Value;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::plan::{Peer, Plan};

/// Verifies the answers of one load.
pub(super) struct Verifier {
    peer: Peer,
    roots: Vec<CertificateDer<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    serials: HashSet<Vec<u8>>,
}

impl Verifier {
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let (roots, intermediates) = match plan.peer {
            Peer::Null => (Vec::new(), Vec::new()),
            Peer::Cfssl | Peer::Cvm { .. } | Peer::StepCa { .. } => {
                (certificates(&plan.roots)?, certificates(&plan.intermediate)?)
            }
        };
        Ok(Self { peer: plan.peer.clone(), roots, intermediates, serials: HashSet::new() })
    }

    pub(super) fn verify(&mut self, body: &[u8], key: &[u8]) -> Result<()> {
        let path: &[&str] = match self.peer {
            Peer::Cfssl => &["result", "certificate"],
            Peer::Cvm { .. } => &["certificate"],
            Peer::Null => return Ok(()),
            Peer::StepCa { .. } => &["crt"],
        };
        let body: Value = serde_json::from_slice(body)?;
        let pem = path.iter().try_fold(&body, |value, name| value.get(name));
        let pem = pem.and_then(Value::as_str).context("no certificate in the answer")?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
        self.verify_chain(&der)?;
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { bail!("unreadable") };
        ensure!(certificate.public_key().subject_public_key.data == key, "another key");
        ensure!(self.serials.insert(certificate.raw_serial().to_vec()), "a serial number twice");
        Ok(())
    }

    fn verify_chain(&self, der: &CertificateDer<'_>) -> Result<()> {
        let anchors = self.roots.iter().map(anchor_from_trusted_cert);
        let anchors = anchors.collect::<Result<Vec<_>, _>>()?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(crate::now()));
        EndEntityCert::try_from(der)?.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &self.intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )?;
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)?.map(|it| Ok(it?)).collect()
}
