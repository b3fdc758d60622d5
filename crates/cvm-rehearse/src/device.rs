//! One virtual device: its key is kept before it asks, it asks again after a lost answer, uses what
//! it got, and renews before it gives up what works.

use std::collections::BTreeSet;
use std::sync::Arc;

use cvm_agent::fingerprint::Fingerprint;
use cvm_agent::keys::DeviceKey;
use cvm_wire::SecretText;
use cvm_wire::device::{RenewRequest, VendRequest, Vended};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::audit::{Finding, Kind};
use crate::client::{Answer, Request};
use crate::tally::Act;
use crate::worker::{Asked, Setback, Worker};

const CONFIRM: &str = "/v1/certificates/confirm";
const RENEW: &str = "/v1/certificates/renew";

/// A key that nothing was asked for yet, with its request.
pub(crate) struct Fresh {
    pub(crate) key: DeviceKey,
    pub(crate) csr: String,
}

/// A certificate with its key.
struct Identity {
    id: String,
    leaf: CertificateDer<'static>,
    chain: String,
    key: DeviceKey,
    tls: Option<Arc<ClientConfig>>,
}

/// How far a device came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    #[default]
    Nothing,
    Vended,
    Confirmed,
    Renewed,
}

/// A certificate that a device was given, kept or forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) act: Act,
}

/// What the audit has to know of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) serial: String,
    pub(crate) is_registered: bool,
    pub(crate) reached: Reached,
    /// Everything that arrived whole.
    pub(crate) given: Vec<Given>,
    /// The certificate that it works with.
    pub(crate) holds: Option<String>,
    /// The next one, which it has not used yet.
    pub(crate) candidate: Option<String>,
    /// Certificates from before this rehearsal.
    pub(crate) earlier: BTreeSet<String>,
    /// What it saw itself that must not be.
    pub(crate) noticed: Vec<Finding>,
}

/// A virtual device.
pub(crate) struct Device {
    pub(crate) number: u32,
    pub(crate) token: SecretText,
    pub(crate) account: Account,
    pub(crate) setback: Option<Setback>,
    fresh: Vec<Fresh>,
    identity: Option<Identity>,
}

impl Device {
    pub(crate) fn new(number: u32, serial: String, token: SecretText, fresh: Vec<Fresh>) -> Self {
        let account = Account { serial, ..Account::default() };
        Self { number, token, account, setback: None, fresh, identity: None }
    }

    /// The first certificate.
    pub(crate) async fn vend(&mut self, worker: &mut Worker) -> Result<(), Setback> {
        let fresh = self.fresh.pop().ok_or(Setback::Interrupted)?;
        let request = worker.vend_request(&VendRequest {
            serial_number: self.account.serial.clone(),
            token: self.token.clone(),
            csr: Some(fresh.csr.clone()),
            key_algorithm: None,
        });
        let identity = self.obtain(worker, (Act::Vend, None), fresh, &request).await?;
        self.account.holds = Some(identity.id.clone());
        self.account.reached = Reached::Vended;
        self.identity = Some(identity);
        Ok(())
    }

    /// That what was given fits the key; costs time that is not the server's.
    pub(crate) fn check(&mut self, worker: &mut Worker) -> Result<(), Setback> {
        let Some(mut identity) = self.identity.take() else { return Ok(()) };
        self.fit(worker, Act::Vend, &mut identity)?;
        self.identity = Some(identity);
        Ok(())
    }

    /// The first use.
    pub(crate) async fn confirm(&mut self, worker: &mut Worker) -> Result<(), Setback> {
        let tls = self.identity.as_ref().and_then(|identity| identity.tls.clone());
        self.prove(worker, Act::Confirm, &tls.ok_or(Setback::Interrupted)?).await?;
        self.account.reached = Reached::Confirmed;
        Ok(())
    }

    /// The next certificate, and its first use; until then the old one is kept.
    pub(crate) async fn renew(&mut self, worker: &mut Worker) -> Result<(), Setback> {
        let tls = self.identity.as_ref().and_then(|identity| identity.tls.clone());
        let tls = tls.ok_or(Setback::Interrupted)?;
        let fresh = self.fresh.pop().ok_or(Setback::Interrupted)?;
        let body = RenewRequest { csr: Some(fresh.csr.clone()) };
        let request = worker.shown_request(RENEW, Some(&body));
        let mut next = self.obtain(worker, (Act::Renew, Some(&tls)), fresh, &request).await?;
        // A renewal is a use of what it was asked for with.
        self.account.reached = Reached::Confirmed;
        self.account.candidate = Some(next.id.clone());
        let tls = self.fit(worker, Act::Renew, &mut next)?;
        self.prove(worker, Act::Prove, &tls).await?;
        self.account.reached = Reached::Renewed;
        self.account.holds = self.account.candidate.take();
        self.identity = Some(next);
        Ok(())
    }

    async fn prove(
        &self,
        worker: &mut Worker,
        act: Act,
        tls: &Arc<ClientConfig>,
    ) -> Result<(), Setback> {
        let request = worker.shown_request(CONFIRM, None::<&RenewRequest>);
        let (number, shown) = (self.number, Some(tls));
        let asked = Asked { act, number, shown, request: &request };
        worker.until_answered(&asked, &mut Vec::new()).await.map(drop)
    }

    async fn obtain(
        &mut self,
        worker: &mut Worker,
        (act, shown): (Act, Option<&Arc<ClientConfig>>),
        fresh: Fresh,
        request: &Request,
    ) -> Result<Identity, Setback> {
        let asked = Asked { act, number: self.number, shown, request };
        let mut answers = Vec::new();
        let answered = worker.until_answered(&asked, &mut answers).await;
        let setback = answered.map(|answer| answers.push(answer)).err();
        let mut read = None;
        for answer in &answers {
            read = Some(self.account.receive(act, answer)?);
        }
        match (setback, read) {
            (None, Some((id, leaf, chain))) => {
                Ok(Identity { id, leaf, chain, key: fresh.key, tls: None })
            }
            (setback, _) => Err(setback.unwrap_or(Setback::Interrupted)),
        }
    }

    fn fit(
        &self,
        worker: &mut Worker,
        act: Act,
        identity: &mut Identity,
    ) -> Result<Arc<ClientConfig>, Setback> {
        let unusable = |what| Setback::Unusable { act, what };
        let mut chain = worker.chain(&identity.chain).map_err(unusable)?;
        chain.insert(0, identity.leaf.clone());
        let pair = worker.tls.pair(chain, &identity.key.to_pem()).map_err(|fault| {
            unusable(format!("{} is not for the key that was asked for ({fault})", identity.id))
        })?;
        let tls = worker.tls.showing(&Arc::new(pair));
        identity.tls = Some(Arc::clone(&tls));
        Ok(tls)
    }
}

impl Account {
    /// Takes note of a certificate that arrived.
    fn receive(
        &mut self,
        act: Act,
        answer: &Answer,
    ) -> Result<(String, CertificateDer<'static>, String), Setback> {
        let unusable = |what: String| Setback::Unusable { act, what };
        let vended: Vended = serde_json::from_slice(answer.body())
            .map_err(|fault| unusable(format!("the answer cannot be read: {fault}")))?;
        let der = CertificateDer::from_pem_slice(vended.certificate.as_bytes())
            .map_err(|fault| unusable(format!("its certificate cannot be read: {fault}")))?;
        let id = Fingerprint::of(&der).to_string();
        if id != vended.certificate_id {
            let what = format!("the answer calls it {}", vended.certificate_id);
            self.notice(Kind::Lost, &id, what);
        }
        let others = self.given.iter().filter(|given| given.act == act && given.id != id);
        if let Some(other) = others.map(|given| given.id.clone()).next() {
            let what = format!("the same request was answered {other} before");
            self.notice(Kind::Double, &id, what);
        }
        if self.given.iter().all(|given| given.id != id) {
            self.given.push(Given { id: id.clone(), der: der.clone(), act });
        }
        Ok((id, der, vended.chain))
    }

    fn notice(&mut self, kind: Kind, id: &str, what: String) {
        self.noticed.push(Finding::new(kind, &self.serial, Some(id), what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: Option<&str>, der: &[u8]) -> Answer {
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            if der == b"1" { "MQ==" } else { "Mg==" }
        );
        let id = id.map_or_else(|| Fingerprint::of(der).to_string(), str::to_owned);
        let body = serde_json::json!({
            "certificateId": id, "certificate": pem, "chain": "", "rootCa": "", "thingName": "x",
            "notBefore": "", "notAfter": "", "renewAfter": "", "serverTime": "", "endpoints": {},
            "attempt": "",
        });
        Answer::of(200, body.to_string().as_bytes())
    }

    #[test]
    fn the_same_bytes_again_are_one_certificate_and_others_are_a_double() {
        let mut account = Account::default();
        for _ in 0..2 {
            account.receive(Act::Vend, &answer(None, b"1")).unwrap();
        }
        assert_eq!((account.given.len(), account.noticed.len()), (1, 0));
        account.receive(Act::Renew, &answer(None, b"2")).unwrap();
        assert_eq!(account.noticed.len(), 0, "another act obtains another");
        account.receive(Act::Vend, &answer(None, b"2")).unwrap();
        assert_eq!(account.noticed[0].kind, Kind::Double);
    }

    #[test]
    fn a_certificate_that_is_called_otherwise_is_noticed() {
        let mut account = Account::default();
        account.receive(Act::Vend, &answer(Some("00"), b"1")).unwrap();
        assert_eq!(account.noticed[0].kind, Kind::Lost);
        assert!(account.receive(Act::Vend, &Answer::of(200, b"{}")).is_err());
    }
}
