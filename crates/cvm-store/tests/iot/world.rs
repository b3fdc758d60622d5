//! One device, its registry and its records, and what has to be true of them in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cvm_core::device::{Device, Wanted};
use cvm_core::id::{AttemptCode, CertificateId, SerialNumber};
use cvm_core::iot_platform::{IotCorePlatform, IotIssuer, IotPlatformPorts, PolicyBinding};
use cvm_core::ports::{Clock as _, IotStatus, Ports, Stopwatch};
use cvm_core::profile::{Profile, Profiles, Reissue};
use cvm_core::provisioning::{
    Ask, Caller, NewDevice, NewToken, Provisioning, Refusal, VendRequest, Vended,
};
use cvm_core::testing::{TestClock, TestIssuer, default_policy_put, test_csr, test_ports};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::MemoryStore;
use zeroize::Zeroizing;

use crate::registry::Registry;
use crate::stage::Stage;
use crate::store::StagedStore;

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);
pub(crate) const SERIAL: &str = "SN-1";
const TOKEN: &str = "the-one-time-token-of-SN-1";

/// The time that the test's clock says, as a stopwatch.
struct Watch(Arc<TestClock>);

impl Stopwatch for Watch {
    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::try_from(self.0.read().now.0).unwrap())
    }
}

pub(crate) struct World {
    pub(crate) provisioning: Provisioning,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) store: Arc<MemoryStore>,
    requests: AtomicU64,
}

impl World {
    pub(crate) async fn new(issuer: IotIssuer) -> Arc<Self> {
        Self::with(issuer, PolicyBinding::Named).await
    }

    /// With AWS's certificates, under the policy that answers each token's first key only.
    pub(crate) async fn never() -> Arc<Self> {
        Self::under(IotIssuer::Aws, PolicyBinding::Named, Reissue::Never).await
    }

    pub(crate) async fn with(issuer: IotIssuer, binding: PolicyBinding) -> Arc<Self> {
        Self::under(issuer, binding, Reissue::UntilConfirmed).await
    }

    async fn under(issuer: IotIssuer, binding: PolicyBinding, reissue: Reissue) -> Arc<Self> {
        let (stage, store) = (Arc::new(Stage::default()), Arc::new(MemoryStore::new()));
        let clock = Arc::new(TestClock::at(NOW));
        let signer = Arc::new(TestIssuer::new(NOW.minus(Span::DAY)));
        let account = parking_lot::Mutex::default();
        let registry = Arc::new(Registry { account, clock: clock.clone(), stage: stage.clone() });
        let ports = test_ports(&store, clock.clone(), signer);
        let staged = Arc::new(StagedStore { store: store.clone(), stage: stage.clone() });
        let platform = IotPlatformPorts {
            iot: registry.clone(),
            issuer: ports.issuer.clone(),
            key_maker: ports.key_maker.clone(),
            store: staged.clone(),
            catalogue: store.clone(),
            policies: store.clone(),
            clock: clock.clone(),
            stopwatch: Arc::new(Watch(clock.clone())),
        };
        let platform = Arc::new(IotCorePlatform::new(platform, issuer, binding));
        let ports = Ports { store: staged, platform, ..ports };
        default_policy_put(&ports, NOW).await.unwrap();
        let profile = Profile { reissue, server_keys: true, ..Profile::default() };
        let profiles = Profiles { default: profile, ..Profiles::default() };
        let provisioning = Provisioning::new(ports, profiles, "1000000/1s".parse().unwrap());
        let requests = AtomicU64::new(1);
        let world = Self { provisioning, registry, clock, stage, store, requests };
        world.provisioning.device_register(new_device(), "test").await.unwrap();
        Arc::new(world)
    }

    pub(crate) fn caller(&self) -> Caller {
        let attempt = AttemptCode::from_random(self.requests.fetch_add(1, Ordering::SeqCst));
        Caller { address: "192.0.2.1".into(), attempt }
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.set(self.clock.read().now.plus(Span(seconds)));
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<Vended, Refusal> {
        let token = Token::unchecked(Zeroizing::new(String::from(TOKEN)));
        let request = VendRequest { serial_number: SERIAL.into(), token, ask };
        let (vended, after) = self.provisioning.vend(request, &self.caller()).await;
        self.provisioning.follow(after).await;
        vended
    }

    pub(crate) async fn vend(&self, key: &str) -> Result<Vended, Refusal> {
        self.ask(Ask::Csr(test_csr(key))).await
    }

    pub(crate) async fn renew(&self, with: CertificateId, key: &str) -> Result<Vended, Refusal> {
        let csr = test_csr(key);
        let (vended, after) = self.provisioning.renew(Some(with), Some(&csr), &self.caller()).await;
        self.provisioning.follow(after).await;
        vended
    }

    pub(crate) async fn confirm(&self, id: CertificateId) {
        let (confirmed, after) = self.provisioning.confirm(Some(id), &self.caller()).await;
        confirmed.unwrap();
        self.provisioning.follow(after).await;
    }

    /// Its record, past the stage.
    pub(crate) async fn device(&self) -> Device {
        use cvm_core::ports::Store as _;
        self.store.device_find(&serial()).await.unwrap().unwrap()
    }

    /// Lets the sweeper run until there is nothing left for it to do.
    pub(crate) async fn settle(&self) {
        for seconds in [0, 61, 61, 15 * 60, 61, 61] {
            self.wait(seconds);
            let swept = self.provisioning.sweep().await;
            assert!(swept.failures.is_empty(), "{:?}", swept.failures);
        }
    }

    /// Registry and records agree, and nothing is left to do.
    pub(crate) async fn check(&self, context: &str) {
        use cvm_core::ports::Store as _;
        let device = self.device().await;
        assert!(device.reservation.is_none(), "{context}: {:?}", device.reservation);
        assert!(device.owed.is_empty(), "{context}: {:?}", device.owed);
        let kept = self.registry.account.lock().certificates.clone();
        for live in &device.live {
            assert!(kept.contains_key(&live.id), "{context}: {} is not there", live.id);
        }
        for (id, kept) in &kept {
            let held = self.store.holding_find(id).await.unwrap();
            assert!(held.is_some(), "{context}: {id} is not on record");
            let wanted = match device.wanted(id) {
                Wanted::Active => IotStatus::Active,
                Wanted::Inactive => IotStatus::Inactive,
                Wanted::Revoked => IotStatus::Revoked,
                Wanted::AsItIs => panic!("{context}: {id} is unfinished"),
            };
            assert_eq!(kept.certificate.status, wanted, "{context}: {id}");
            let is_live = wanted != IotStatus::Revoked;
            assert_eq!(!kept.policies.is_empty(), is_live, "{context}: {id}'s policies");
            assert!(!is_live || kept.things.contains(SERIAL), "{context}: {id}'s thing");
        }
    }

    pub(crate) fn active(&self) -> Vec<CertificateId> {
        let account = self.registry.account.lock();
        let active = account.certificates.iter();
        let active = active.filter(|(_, kept)| kept.certificate.status == IotStatus::Active);
        active.map(|(id, _)| *id).collect()
    }
}

pub(crate) fn serial() -> SerialNumber {
    SERIAL.parse().unwrap()
}

fn new_device() -> NewDevice {
    NewDevice {
        serial_number: serial(),
        token: NewToken::Brought(Token::unchecked(Zeroizing::new(String::from(TOKEN)))),
        token_expires: None,
        thing_name: None,
        policy: None,
        profile: None,
        attributes: BTreeMap::new(),
        again: false,
    }
}
