//! What a renewal asks of the server, and what its refusals mean.

use std::path::Path;
use std::sync::Arc;

use cvm_wire::device::{RenewRequest, VendRequest, Vended};
use rustls_pki_types::CertificateDer;

use super::Run;
use super::next::{self, Candidate, Extent};
use crate::answer::{About, CheckedAnswer, not_kept};
use crate::client::{Client, ClientCertificate, Trust};
use crate::clock::parse_seconds;
use crate::enroll::{ROOT_CA_FILE, ask_to_confirm, certificate_request};
use crate::error::Error;
use crate::identity::{self, DeviceRecord, Set};
use crate::keys::DeviceKey;
use crate::pki;
use crate::token::Token;

/// What a device shows of itself.
pub(super) struct Device(Arc<ClientCertificate>);

impl Device {
    /// The certificate that is in use, for the key that is.
    pub(super) fn read(
        directory: &Path,
        record: &DeviceRecord,
        key: DeviceKey,
    ) -> Result<Self, Error> {
        let found = identity::certificate(directory, Set::Current)?;
        let (leaf, chain) = found.map_err(|what| Error::LocalContent { what })?;
        if !pki::is_for(&leaf, &key) {
            let what = format!(
                "the certificate in {} is not for the key in {}: put back what belongs together, \
                 or enroll again",
                directory.display(),
                record.key_path(directory).display()
            );
            return Err(Error::LocalContent { what });
        }
        let shown = std::iter::once(leaf).chain(chain).collect();
        Ok(Self(Arc::new(ClientCertificate::new(shown, key))))
    }
}

impl Run<'_> {
    /// Asks for a certificate of `key`, and writes it beside the one in use; returns the code of
    /// the request.
    pub(super) fn ask(&mut self, device: Device, key: &DeviceKey) -> Result<String, Error> {
        let csr = certificate_request(key)?;
        let client = self.client(self.pinned(), Some(device.0))?;
        self.reporter.step(&format!("asking {} for a new certificate", client.server()));
        let request = RenewRequest { csr: Some(csr.clone()) };
        let asked = self.retries.run(|| {
            client.post_as_holder("/v1/certificates/renew", Some(&request))?.accepted()?.json()
        });
        let vended = match (asked, &self.options.token) {
            (Err(fault), Some(token)) if fault.slug() == "certificate-expired" => {
                let token = token.clone();
                self.reporter.step("the certificate has expired: asking with the token");
                self.ask_with(&token, csr)
            }
            (asked, _) => asked,
        };
        let vended = vended.map_err(|fault| self.explain(fault))?;
        self.keep(vended, &client, key)
    }

    fn ask_with(&mut self, token: &Token, csr: String) -> Result<Vended, Error> {
        let client = self.client(self.pinned(), None)?;
        let request = VendRequest {
            serial_number: self.record.serial_number.clone(),
            token: token.secret().clone(),
            csr: Some(csr),
            key_algorithm: None,
        };
        self.retries.run(|| client.post("/v1/certificates").json(&request).fetch())
    }

    /// What a refusal means for a renewal.
    fn explain(&self, fault: Error) -> Error {
        match fault.slug() {
            "token-pending" => Error::TryLater {
                what: format!(
                    "{fault}; enroll with the new token, or try again once its certificate is \
                     confirmed or dropped"
                ),
                retry_after: None,
                refusal: fault.refusal().cloned().map(Box::new),
            },
            // It will not be taken another time either.
            "key-not-acceptable" | "weak-key" => {
                let thrown_away = next::discard(&self.directory, Extent::WithKey);
                if thrown_away.is_ok() {
                    self.reporter.step("threw the key away: the next run makes another");
                }
                fault
            }
            _ => fault,
        }
    }

    fn keep(&mut self, vended: Vended, client: &Client, key: &DeviceKey) -> Result<String, Error> {
        let roots = self.new_roots(&vended, client)?;
        let pinned = roots.as_deref().unwrap_or_else(|| client.pinned());
        let server = client.server();
        let answer = CheckedAnswer::check(vended, &server, pinned, key, self.clock.now())?;
        self.reporter.step("the certificate is for our key and its chain is whole");
        let record = answer.record(About {
            serial_number: self.record.serial_number.clone(),
            server,
            key_algorithm: key.algorithm_name(),
            key_file: None,
        });
        identity::write(&self.directory, Set::Next, &answer, roots.as_deref(), &record)?;
        Ok(answer.attempt)
    }

    /// What to pin from now on, if that is something else than until now: the bundle of an answer
    /// that came over a connection which the old pins verified, if it verifies the server as well.
    fn new_roots(
        &mut self,
        vended: &Vended,
        client: &Client,
    ) -> Result<Option<Vec<CertificateDer<'static>>>, Error> {
        let server = client.server();
        let bad = |why: String| not_kept(&server, &vended.attempt, &why);
        let roots = pki::certificates(vended.root_ca.as_bytes())
            .map_err(|fault| bad(format!("`rootCa` {fault}")))?;
        if !roots.iter().all(|root| pki::is_ca(root)) {
            return Err(bad("`rootCa` holds a certificate that is no CA's".to_owned()));
        }
        if roots == client.pinned() {
            return Ok(None);
        }
        let trust = Trust::Roots(roots.clone());
        let reached = self.client(trust, None).and_then(|client| {
            self.retries.run(|| client.get("/v1/trust-bundle").send()).map(|_| ())
        });
        match reached {
            Ok(()) => {
                self.reporter.step("the server's roots are new, and verify it");
                Ok(Some(roots))
            }
            Err(Error::NotPinned { .. }) => {
                self.reporter.step("the server's roots are new and do not verify it: not pinned");
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Proves that a certificate works, under what would be pinned with it.
    pub(super) fn prove(&mut self, candidate: &Candidate) -> Result<(), Error> {
        let trust = match &candidate.roots {
            Some(roots) => Trust::Roots(roots.clone()),
            None => self.pinned(),
        };
        self.clock.raise(parse_seconds(&candidate.record.server_time).unwrap_or(0));
        let client = self.client(trust, Some(Arc::clone(&candidate.shown)))?;
        ask_to_confirm(&client, &mut self.retries)?;
        self.reporter.step(&format!("{} confirmed the new certificate", client.server()));
        Ok(())
    }

    fn pinned(&self) -> Trust {
        Trust::RootFile(self.directory.file(ROOT_CA_FILE))
    }

    fn client(&self, trust: Trust, shown: Option<Arc<ClientCertificate>>) -> Result<Client, Error> {
        let server = self.options.server.as_ref().unwrap_or(&self.record.server);
        let builder = Client::builder(server).trust(trust);
        let builder = builder.floored_clock(self.clock.clone());
        match shown {
            Some(shown) => builder.client_certificate(shown).build(),
            None => builder.build(),
        }
    }
}
