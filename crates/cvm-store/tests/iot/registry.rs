//! A registry by AWS's rules, in memory. What AWS leaves open it does to our harm: a revoked
//! certificate may be activated again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::IssuerId;
use cvm_core::id::{CertificateId, KeyIdentity, Name, ThingName};
use cvm_core::ports::{
    Clock as _, IotBindings, IotCertificate, IotCertificates, IotError, IotListed, IotPage,
    IotStatus,
};
use cvm_core::testing::{TestClock, test_key};
use cvm_core::time::{Span, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::stage::{Fault, Stage, staged};

/// AWS's notAfter, 2049-12-31T23:59:59Z.
pub(crate) const ENDS: Timestamp = Timestamp(2_524_607_999);

#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) certificate: IotCertificate,
    pub(crate) created_at: Timestamp,
    pub(crate) things: BTreeSet<String>,
    pub(crate) policies: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) certificates: BTreeMap<CertificateId, Kept>,
    pub(crate) things: BTreeSet<String>,
    pub(crate) foreign_things: BTreeSet<String>,
    pub(crate) policies: BTreeSet<String>,
    pub(crate) disconnected: Vec<String>,
    /// How many were ACTIVE at once, at most.
    pub(crate) active_max: usize,
    /// The calls that fail, whatever they are asked.
    pub(crate) broken: BTreeSet<&'static str>,
    made: u32,
}

pub(crate) struct Registry {
    pub(crate) account: Mutex<Account>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) stage: Arc<Stage>,
}

fn lost<T>() -> Result<T, IotError> {
    Err(IotError::Unknown(String::from("told to")))
}

fn throttled<T>() -> Result<T, IotError> {
    Err(IotError::NotNow(String::from("told to")))
}

impl Account {
    fn works(&self, call: &str) -> Result<(), IotError> {
        if self.broken.contains(call) { throttled() } else { Ok(()) }
    }

    fn of(&mut self, id: &CertificateId) -> Result<&mut Kept, IotError> {
        self.certificates.get_mut(id).ok_or(IotError::NotFound("certificate"))
    }

    /// Puts a certificate, INACTIVE, as others would.
    pub(crate) fn put(&mut self, der: &[u8], key: KeyIdentity, now: Timestamp) -> IotCertificate {
        let certificate = IotCertificate {
            id: CertificateId(Sha256::digest(der).into()),
            der: der.to_vec(),
            key,
            certificate_serial: vec![1],
            issuer: IssuerId([7; 20]),
            not_before: now.minus(Span(120)),
            not_after: ENDS,
            status: IotStatus::Inactive,
        };
        let (things, policies) = (BTreeSet::new(), BTreeSet::new());
        let kept = Kept { certificate: certificate.clone(), created_at: now, things, policies };
        self.certificates.entry(certificate.id).or_insert(kept);
        certificate
    }
}

impl Registry {
    fn create(&self, csr: &[u8]) -> Result<IotCertificate, IotError> {
        let text = String::from_utf8(csr.to_vec()).unwrap();
        let Some(("CSR", name)) = text.split_once(' ') else {
            return Err(IotError::Refused(String::from("not a request")));
        };
        if name == "refused" {
            return Err(IotError::Refused(String::from("told to")));
        }
        let mut account = self.account.lock();
        account.works("certificate_create")?;
        account.made += 1;
        let der = format!("AWS's {} for {name}", account.made);
        Ok(account.put(der.as_bytes(), test_key(name).identity, self.clock.read().now))
    }

    fn register(&self, leaf: &[u8]) -> Result<(), IotError> {
        self.account.lock().put(leaf, KeyIdentity([0; 32]), self.clock.read().now);
        Ok(())
    }

    fn set(&self, id: &CertificateId, status: IotStatus) -> Result<(), IotError> {
        let mut account = self.account.lock();
        account.works("certificate_status_set")?;
        account.of(id)?.certificate.status = status;
        let active = |kept: &&Kept| kept.certificate.status == IotStatus::Active;
        let active = account.certificates.values().filter(active).count();
        account.active_max = account.active_max.max(active);
        Ok(())
    }

    fn delete(&self, id: &CertificateId) -> Result<(), IotError> {
        let mut account = self.account.lock();
        let kept = account.certificates.get(id);
        let is_held =
            |it: &Kept| it.certificate.status == IotStatus::Active || !it.things.is_empty();
        if kept.is_some_and(is_held) {
            return Err(IotError::Conflict(String::from("it is ACTIVE or attached")));
        }
        account.certificates.remove(id);
        Ok(())
    }

    fn page(&self) -> IotPage {
        let account = self.account.lock();
        let listed = |(id, kept): (&CertificateId, &Kept)| IotListed {
            id: *id,
            status: kept.certificate.status,
            created_at: kept.created_at,
        };
        let mut certificates: Vec<_> = account.certificates.iter().map(listed).collect();
        certificates.sort_by_key(|listed| std::cmp::Reverse(listed.created_at));
        IotPage { certificates, next: None }
    }

    fn thing_put(&self, thing: &ThingName) -> Result<(), IotError> {
        let mut account = self.account.lock();
        if account.foreign_things.contains(thing.as_str()) {
            return Err(IotError::Conflict(String::from("another's thing")));
        }
        account.things.insert(thing.to_string());
        Ok(())
    }

    fn thing_remove(&self, thing: &ThingName, detach: &[CertificateId]) -> Result<(), IotError> {
        let mut account = self.account.lock();
        for id in detach {
            if let Some(kept) = account.certificates.get_mut(id) {
                kept.things.remove(thing.as_str());
            }
        }
        if account.certificates.values().any(|kept| kept.things.contains(thing.as_str())) {
            return Err(IotError::Conflict(String::from("others are attached")));
        }
        account.things.remove(thing.as_str());
        Ok(())
    }

    fn thing_bind(&self, thing: &ThingName, id: &CertificateId) -> Result<(), IotError> {
        let mut account = self.account.lock();
        account.works("thing_attach")?;
        if !account.things.contains(thing.as_str()) {
            return Err(IotError::NotFound("thing"));
        }
        account.of(id)?.things.insert(thing.to_string());
        Ok(())
    }

    fn policy_bind(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        let mut account = self.account.lock();
        if !account.policies.contains(policy.as_str()) {
            return Err(IotError::NotFound("policy"));
        }
        account.of(id)?.policies.insert(policy.to_string());
        Ok(())
    }

    fn policy_loosen(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        self.account.lock().of(id)?.policies.remove(policy.as_str());
        Ok(())
    }
}

#[async_trait]
impl IotCertificates for Registry {
    async fn certificate_create(&self, csr: &[u8]) -> Result<IotCertificate, IotError> {
        staged!(self.stage, "certificate_create", self.create(csr), lost(), throttled())
    }

    async fn certificate_register(&self, leaf: &[u8], _: &[u8]) -> Result<(), IotError> {
        staged!(self.stage, "certificate_register", self.register(leaf), lost(), throttled())
    }

    async fn certificate_describe(
        &self,
        id: &CertificateId,
    ) -> Result<Option<IotCertificate>, IotError> {
        let told = || {
            Ok::<_, IotError>(
                self.account.lock().certificates.get(id).map(|it| it.certificate.clone()),
            )
        };
        staged!(self.stage, "certificate_describe", told(), lost(), throttled())
    }

    async fn certificate_status_set(
        &self,
        id: &CertificateId,
        status: IotStatus,
    ) -> Result<(), IotError> {
        staged!(self.stage, "certificate_status_set", self.set(id, status), lost(), throttled())
    }

    async fn certificate_delete(&self, id: &CertificateId) -> Result<(), IotError> {
        staged!(self.stage, "certificate_delete", self.delete(id), lost(), throttled())
    }

    async fn certificate_page(&self, _: Option<String>) -> Result<IotPage, IotError> {
        staged!(self.stage, "certificate_page", Ok::<_, IotError>(self.page()), lost(), throttled())
    }
}

#[async_trait]
impl IotBindings for Registry {
    async fn thing_create(&self, thing: &ThingName) -> Result<(), IotError> {
        staged!(self.stage, "thing_create", self.thing_put(thing), lost(), throttled())
    }

    async fn thing_delete(
        &self,
        thing: &ThingName,
        detach: &[CertificateId],
    ) -> Result<(), IotError> {
        let remove = || self.thing_remove(thing, detach);
        staged!(self.stage, "thing_delete", remove(), lost(), throttled())
    }

    async fn thing_attach(&self, thing: &ThingName, id: &CertificateId) -> Result<(), IotError> {
        staged!(self.stage, "thing_attach", self.thing_bind(thing, id), lost(), throttled())
    }

    async fn policy_attach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        staged!(self.stage, "policy_attach", self.policy_bind(policy, id), lost(), throttled())
    }

    async fn policy_detach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        staged!(self.stage, "policy_detach", self.policy_loosen(policy, id), lost(), throttled())
    }

    async fn policy_create(&self, policy: &Name, _: &str) -> Result<(), IotError> {
        let create = || {
            self.account.lock().policies.insert(policy.to_string());
            Ok::<_, IotError>(())
        };
        staged!(self.stage, "policy_create", create(), lost(), throttled())
    }

    async fn policy_exists(&self, policy: &Name) -> Result<bool, IotError> {
        Ok(self.account.lock().policies.contains(policy.as_str()))
    }

    async fn connection_delete(&self, thing: &ThingName) -> Result<(), IotError> {
        let end = || {
            self.account.lock().disconnected.push(thing.to_string());
            Ok::<_, IotError>(())
        };
        staged!(self.stage, "connection_delete", end(), lost(), throttled())
    }
}
