//! The platform on AWS IoT Core: the platform port over its calls and the store (protocol,
//! section 5).
//!
//! A certificate is reserved, made INACTIVE, recorded, bound, activated and finished, in this
//! order; its answer leaves after that. What the record says has to be so is brought to the
//! platform after its commit, and again by the sweeper. Nothing here decides.

mod activate;
mod finish;
mod make;
mod orphans;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::certificate::CertificateRecord;
use crate::device::{Device, Owed, REASSERTED, Stage};
use crate::error::chain_of;
use crate::id::{AttemptCode, CertificateId, Name, SerialNumber, ThingName};
use crate::journal::EventKind;
use crate::key::{CheckedCsr, CsrError, Subject};
use crate::operator::Actor;
use crate::ports::{
    CarryOutError, Catalogue, CertificateChange, Change, Clock, CommitError, IotCore, IotError,
    IssueOrder, Issued, Issuer, KeyMaker, Platform, Policies, Sought, Stopwatch, Store, StoreError,
    ThingChange,
};
use crate::time::Timestamp;

use self::finish::ThingIs;

/// How long after the write that announces it a certificate may be activated.
const BRACKET: Duration = Duration::from_secs(60);

/// How often what moved under us is read again, before the caller is asked to come back.
const TRIES: usize = 8;

/// Who signs certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IotIssuer {
    /// AWS IoT does, from the device's request.
    Aws,
    /// Our `devices` CA does, and the certificate is registered.
    OwnCa,
}

/// Which policy a certificate is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyBinding {
    /// The account's policy of the name in the record.
    Named,
    /// One of the device's own, called like its thing, made from the policy in the record.
    PerDevice,
}

/// What the platform needs.
#[expect(missing_debug_implementations, reason = "holds the signer")]
#[derive(Clone)]
pub struct IotPlatformPorts {
    /// The calls of IoT Core.
    pub iot: Arc<dyn IotCore>,
    /// Our CA.
    pub issuer: Arc<dyn Issuer>,
    /// Makes requests for keys that are made here.
    pub key_maker: Arc<dyn KeyMaker>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// Who claims a key.
    pub catalogue: Arc<dyn Catalogue>,
    /// What policies say.
    pub policies: Arc<dyn Policies>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long things take.
    pub stopwatch: Arc<dyn Stopwatch>,
}

/// AWS IoT Core as our platform.
#[expect(missing_debug_implementations, reason = "holds the signer")]
pub struct IotCorePlatform {
    ports: IotPlatformPorts,
    issuer: IotIssuer,
    binding: PolicyBinding,
}

impl IotCorePlatform {
    /// The platform over `ports`.
    #[must_use]
    pub fn new(ports: IotPlatformPorts, issuer: IotIssuer, binding: PolicyBinding) -> Self {
        Self { ports, issuer, binding }
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.read().now
    }

    /// Writes a change with what is owed by it; returns the record as it is stored now.
    async fn commit(&self, mut change: Change) -> Result<Device, CommitError> {
        self.owe(&mut change);
        let device = change.device.clone();
        self.ports.store.device_commit(change).await?;
        Ok(Device { version: device.version + 1, ..device })
    }

    async fn read(&self, serial: &SerialNumber) -> Result<Option<Device>, CarryOutError> {
        Ok(self.ports.store.device_find(serial).await?)
    }

    async fn row(&self, id: &CertificateId) -> Result<Option<CertificateRecord>, CarryOutError> {
        Ok(self.ports.store.holding_find(id).await?.map(|holding| holding.certificate))
    }

    /// The policy that a certificate is bound to.
    fn policy_of(&self, record: &CertificateRecord) -> Result<Name, CarryOutError> {
        match self.binding {
            PolicyBinding::Named => Ok(record.policy.clone()),
            // A policy's name has no colon, and a thing's no full stop.
            PolicyBinding::PerDevice => record
                .thing_name
                .as_str()
                .replace(':', ".")
                .parse()
                .map_err(|error| CarryOutError::Bug(chain_of(&error))),
        }
    }
}

#[async_trait]
impl Platform for IotCorePlatform {
    /// AWS copies the subject into its certificates, and takes no Ed25519 key.
    fn request_judge(&self, csr: &CheckedCsr, thing: &ThingName) -> Result<(), CsrError> {
        let is_ours = match &csr.subject {
            Subject::CommonName(name) => name == thing.as_str(),
            Subject::Empty => true,
            Subject::Other => false,
        };
        match self.issuer {
            IotIssuer::Aws if csr.key.is_ed25519() => Err(CsrError::Platform),
            IotIssuer::Aws if !is_ours => Err(CsrError::Subject),
            IotIssuer::Aws | IotIssuer::OwnCa => Ok(()),
        }
    }

    fn owe(&self, change: &mut Change) {
        let device = &mut change.device;
        let session = Owed::Session { thing: device.thing_name.clone() };
        for certificate in &change.certificates {
            if let CertificateChange::Move(moved, at) = certificate
                && moved.is_end()
            {
                device.owe(Owed::Certificate { id: moved.id, until: at.plus(REASSERTED) });
                device.owe(session.clone());
            }
        }
        for event in &change.events {
            if !matches!(event.kind, EventKind::DeviceDisabled | EventKind::DeviceEnabled) {
                continue;
            }
            // Also once it is enabled: what a request before said to the platform may land late.
            let until = event.at.plus(REASSERTED);
            let live: Vec<_> = device.live.iter().map(|live| live.id).collect();
            for id in live.into_iter().filter(|id| !id.is_provisional()) {
                device.owe(Owed::Certificate { id, until });
            }
            if device.disabled {
                device.owe(session.clone());
            }
        }
        // Things are the platform's; of the store's there are none.
        if let Some(ThingChange::Remove) = change.thing.take() {
            let thing = device.thing_name.clone();
            device.owe(Owed::Thing { thing });
        }
    }

    async fn certificate_issue(&self, order: IssueOrder<'_>) -> Result<Issued, CarryOutError> {
        match self.issuer {
            IotIssuer::Aws => self.issue_by_aws(order).await,
            IotIssuer::OwnCa => self.issue_by_own_ca(order).await,
        }
    }

    async fn certificate_complete(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError> {
        let Some(mut device) = self.read(serial).await? else { return Ok(()) };
        let Some(reservation) = &device.reservation else { return Ok(()) };
        let (now, id) = (self.now(), reservation.certificate);
        if reservation.is_leased(now) {
            return Err(CarryOutError::Leased);
        }
        let is_named = !matches!(reservation.stage, Stage::Reserved(_));
        device.take_over(attempt, now);
        let device = self.commit(Change::new(device, Vec::new(), Vec::new())).await?;
        if !is_named {
            let (device, record) = self.make(device, attempt, Actor::Server).await?;
            return self.finish(device, &record, ThingIs::Made).await;
        }
        match self.row(&id).await? {
            Some(record) => self.finish(device, &record, ThingIs::ToBeMade).await,
            None => Err(CarryOutError::Conflict),
        }
    }

    async fn device_settle(
        &self,
        serial: &SerialNumber,
        _: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError> {
        Ok(self.pay(serial).await?.as_ref().map_or_else(Vec::new, Sought::of))
    }

    async fn orphans_end(&self, sought: &[Sought]) -> Result<usize, CarryOutError> {
        match self.issuer {
            IotIssuer::Aws => self.end_orphans(sought).await,
            // A certificate of ours has its row before it has anything else.
            IotIssuer::OwnCa => self.forget_orphans(sought).await.map(|()| 0),
        }
    }

    async fn policy_is_known(&self, policy: &Name) -> Result<bool, CarryOutError> {
        match self.binding {
            PolicyBinding::Named => Ok(self.ports.iot.policy_exists(policy).await?),
            PolicyBinding::PerDevice => Ok(false),
        }
    }
}

impl From<IotError> for CarryOutError {
    fn from(error: IotError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<StoreError> for CarryOutError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(chain_of(&error))
    }
}
