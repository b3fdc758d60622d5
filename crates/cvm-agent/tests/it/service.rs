//! The agent as a program, without the program: passes and steps over the registry of one device.

mod daemon;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cvm_agent::clock::Clock;
use cvm_agent::service::config::{Config, UsedToken};
use cvm_agent::service::{Failure, OtherToken, Service};
use rustls_pki_types::UnixTime;

use crate::registry::{Registry, Standing};
use crate::server::{Answer, Server};
use crate::world::{TOKEN, World, problem};

/// 2026-06-01 and 2027-01-02: before and after the certificates of the registry are due.
const EARLY_SECONDS: u64 = 1_780_272_000;
const DUE_SECONDS: u64 = 1_798_848_000;

/// A clock that is set; waiting takes no time.
#[derive(Debug)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }

    fn wait(&self, _: Duration) {}
}

/// A device with an agent's configuration, a token and a hook, and nothing else yet.
struct Device {
    world: World,
    registry: Arc<Registry>,
    server: Server,
    clock: Arc<SetClock>,
}

impl Device {
    fn new() -> Self {
        let world = World::new();
        let registry = Registry::new(&world);
        let answers = Arc::clone(&registry);
        let server = world.server(move |request| answers.answer(request));
        let device = Self {
            world,
            registry,
            server,
            clock: Arc::new(SetClock(AtomicU64::new(EARLY_SECONDS))),
        };
        std::fs::write(device.home("token"), TOKEN).unwrap();
        device
    }

    fn home(&self, name: &str) -> PathBuf {
        self.world.home.path().join(name)
    }

    fn config(&self) -> Config {
        let log = self.home("hook.log");
        let mut config = Config::parse(
            &format!(
                "server = '{}'\nserial = 'SN-0001'\nroot_ca = 'root.pem'\ndirectory = 'device'\n\
                 token_file = 'token'\n",
                self.server.url()
            ),
            self.world.home.path(),
        )
        .unwrap();
        let words = "$CVM_EVENT $CVM_SERIAL_NUMBER $CVM_CERTIFICATE_ID";
        config.on_renewed = Some(format!("echo {words} >> {}", log.display()));
        config
    }

    fn open(&self, config: Config) -> Result<Service, Failure> {
        Service::open(config, OtherToken::default(), Arc::<SetClock>::clone(&self.clock))
    }

    fn pass_by(&self, config: Config) -> Result<(), Failure> {
        self.open(config)?.once(&self.world.told).map(drop)
    }

    fn pass(&self) -> Result<(), Failure> {
        self.pass_by(self.config())
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.registry.asked.lock());
        asked.into_iter().map(|what| what.replace("POST /v1/certificates", "")).collect()
    }

    /// What the hook was told so far, without the ids.
    fn hooked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.home("hook.log")).unwrap_or_default();
        log.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    fn assert_told_no_secret(&self) {
        assert!(!self.world.told.text().contains(TOKEN));
    }
}

#[test]
fn a_pass_enrolls_and_confirms_and_tells_the_hook_once() {
    let device = Device::new();
    device.pass().unwrap();
    assert_eq!(device.asked(), ["", "/confirm"]);
    assert_eq!(device.registry.standings(), [Standing::Current]);
    assert_eq!(device.hooked(), ["enrolled SN-0001"]);
    device.pass().unwrap();
    assert_eq!((device.asked().len(), device.hooked().len()), (0, 1));
    assert!(device.home("token").exists());
    device.assert_told_no_secret();
}

#[test]
fn a_pass_renews_what_is_due_and_tells_the_hook_once_for_each() {
    let device = Device::new();
    device.pass().unwrap();
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    device.asked();
    device.pass().unwrap();
    assert_eq!(device.asked(), ["/renew", "/confirm"]);
    assert_eq!(device.registry.standings(), [Standing::Retiring, Standing::Current]);
    assert_eq!(device.hooked(), ["enrolled SN-0001", "renewed SN-0001"]);
    let log = std::fs::read_to_string(device.home("hook.log")).unwrap();
    let record = std::fs::read_to_string(device.home("device/device.json")).unwrap();
    assert!(record.contains(log.trim_end().rsplit(' ').next().unwrap()), "the new one: {log}");
}

#[test]
fn a_hook_that_failed_runs_again_until_it_succeeds_also_while_the_server_is_away() {
    let device = Device::new();
    let mut config = device.config();
    let ready = device.home("ready");
    config.on_renewed =
        Some(format!("test -e {} && {}", ready.display(), config.on_renewed.unwrap()));
    let failure = device.pass_by(config.clone()).unwrap_err();
    assert_eq!(failure.exit_code(), 1, "{failure}");
    assert!(failure.to_string().contains("exited 1"), "{failure}");
    assert_eq!(device.pass_by(config.clone()).unwrap_err().exit_code(), 1);
    std::fs::write(ready, "").unwrap();
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    let away = std::iter::repeat_with(|| Answer::HangUp).take(6);
    device.registry.instead.lock().extend(away);
    assert_eq!(device.pass_by(config.clone()).unwrap_err().exit_code(), 75);
    assert_eq!(device.hooked(), ["enrolled SN-0001"]);
    device.pass_by(config).unwrap();
    assert_eq!(device.hooked(), ["enrolled SN-0001", "renewed SN-0001"]);
}

#[test]
fn a_confirmation_that_was_cut_off_is_made_up_for_and_the_token_goes_after_it() {
    let device = Device::new();
    let mut config = device.config();
    config.used_token = UsedToken::Remove;
    *device.registry.loses.lock() = Some("/confirm");
    let mut daemon = cvm_agent::service::Daemon::new(device.open(config.clone()).unwrap());
    daemon.step(&device.world.told);
    drop(daemon);
    assert_eq!(device.asked(), ["", "/confirm"]);
    assert!(device.home("token").exists(), "not before it is known to be used up");
    device.pass_by(config.clone()).unwrap();
    assert_eq!(device.asked(), ["/confirm"]);
    assert!(!device.home("token").exists());
    // A later one, for another day, is nobody's to remove.
    std::fs::write(device.home("token"), "another-token-later").unwrap();
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    device.pass_by(config).unwrap();
    assert_eq!(device.asked(), ["/renew", "/confirm", "/confirm"]);
    assert!(device.home("token").exists());
}

#[test]
fn a_certificate_that_is_refused_for_good_is_replaced_by_a_new_token() {
    for slug in ["certificate-revoked", "certificate-superseded", "certificate-unknown"] {
        let device = Device::new();
        device.pass().unwrap();
        device.registry.end(0, slug);
        device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
        std::fs::remove_file(device.home("token")).unwrap();
        let failure = device.pass().unwrap_err();
        assert_eq!(failure.exit_code(), 1, "{failure}");
        assert!(failure.told().contains("cvm device new-token"), "{}", failure.told());
        // An operator's new token is put where the old one was.
        std::fs::write(device.home("token"), TOKEN).unwrap();
        device.asked();
        device.pass().unwrap();
        assert_eq!(device.asked(), ["/renew", "", "/confirm"], "{slug}");
        let standings = device.registry.standings();
        assert_eq!(standings, [Standing::Ended(slug), Standing::Current]);
        assert_eq!(device.hooked(), ["enrolled SN-0001", "renewed SN-0001"]);
    }
}

#[test]
fn a_new_token_lets_the_agent_ask_whether_its_certificate_is_accepted() {
    let device = Device::new();
    device.pass().unwrap();
    device.asked();
    let put = || {
        std::fs::write(device.home("new"), TOKEN).unwrap();
        std::fs::rename(device.home("new"), device.home("token")).unwrap();
    };
    put();
    device.pass().unwrap();
    assert_eq!(device.asked(), ["/confirm"]);
    device.pass().unwrap();
    assert!(device.asked().is_empty(), "once for each");
    assert_eq!(device.registry.standings(), [Standing::Current]);
    // Long before it would be renewed.
    device.registry.end(0, "certificate-revoked");
    put();
    device.pass().unwrap();
    assert_eq!(device.asked(), ["/confirm", "", "/confirm"]);
    assert_eq!(device.registry.standings().last(), Some(&Standing::Current));
    assert_eq!(device.hooked(), ["enrolled SN-0001", "renewed SN-0001"]);
    let state = std::fs::read_to_string(device.home("device/agent.json")).unwrap();
    assert!(!state.contains(TOKEN), "{state}");
}

#[test]
fn a_certificate_that_expired_is_renewed_with_the_token() {
    let device = Device::new();
    device.pass().unwrap();
    device.registry.end(0, "certificate-expired");
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    device.asked();
    device.pass().unwrap();
    assert_eq!(device.asked(), ["/renew", "/renew", "", "/confirm"]);
    assert_eq!(device.registry.standings().last(), Some(&Standing::Current));
    device.assert_told_no_secret();
}

#[test]
fn a_device_that_is_disabled_waits_and_keeps_its_files() {
    let device = Device::new();
    device.pass().unwrap();
    let before = std::fs::read(device.home("device/device.pem")).unwrap();
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    device.registry.instead.lock().push(problem(403, "certificate-inactive", ""));
    let failure = device.pass().unwrap_err();
    assert!(failure.told().contains("cvm device enable"), "{}", failure.told());
    assert_eq!(std::fs::read(device.home("device/device.pem")).unwrap(), before);
    device.pass().unwrap();
}

#[test]
fn without_a_token_nobody_is_asked() {
    let device = Device::new();
    std::fs::remove_file(device.home("token")).unwrap();
    let failure = device.pass().unwrap_err();
    assert_eq!(failure.exit_code(), 77);
    assert!(failure.to_string().contains("token is not there"), "{failure}");
    assert!(device.asked().is_empty());
    // From elsewhere it is as good.
    let text = Some(zeroize::Zeroizing::new(TOKEN.to_owned()));
    let other = OtherToken { file: Some(device.home("nowhere")), text };
    let clock = Arc::<SetClock>::clone(&device.clock);
    let service = Service::open(device.config(), other, clock).unwrap();
    service.once(&device.world.told).unwrap();
    device.assert_told_no_secret();
}

#[test]
fn a_token_file_that_holds_no_token_is_a_local_file_to_mend() {
    let device = Device::new();
    for content in [&b""[..], b"\n", b"\xff\xfe", &[b'x'; 2_000]] {
        std::fs::write(device.home("token"), content).unwrap();
        let failure = device.pass().unwrap_err();
        assert_eq!(failure.exit_code(), 77, "{failure}");
        let path = device.home("token").display().to_string();
        assert!(failure.to_string().contains(&path), "{failure}");
    }
    assert!(device.asked().is_empty());
    std::fs::write(device.home("token"), TOKEN).unwrap();
    device.pass().unwrap();
}

#[test]
fn a_token_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let device = Device::new();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(device.home("token"), open).unwrap();
    device.pass().unwrap();
    let warning = format!("chmod 600 {}", device.home("token").display());
    assert!(device.world.told.text().contains(&warning), "{}", device.world.told.text());
}

#[test]
fn a_directory_is_of_one_device_and_one_agent() {
    let device = Device::new();
    device.pass().unwrap();
    let holder = device.open(device.config()).unwrap();
    let busy = device.pass().unwrap_err();
    assert_eq!(busy.exit_code(), 75, "{busy}");
    assert!(busy.to_string().contains(&std::process::id().to_string()), "{busy}");
    drop(holder);
    let mut other = device.config();
    other.serial_number = "SN-0002".to_owned();
    let failure = device.pass_by(other).unwrap_err();
    assert_eq!(failure.exit_code(), 64, "{failure}");
    assert!(failure.to_string().contains("SN-0001"), "{failure}");
}

#[test]
fn another_kind_of_key_is_made_at_the_next_renewal() {
    let device = Device::new();
    device.pass().unwrap();
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    let mut config = device.config();
    config.key_algorithm = Some(cvm_agent::keys::KeyAlgorithm::EcP384);
    *device.registry.loses.lock() = Some("/renew");
    let mut daemon = cvm_agent::service::Daemon::new(device.open(config.clone()).unwrap());
    daemon.step(&device.world.told);
    drop(daemon);
    // The configuration changes while the key that was made waits: that one is gone on with.
    config.key_algorithm = Some(cvm_agent::keys::KeyAlgorithm::EcP256);
    device.pass_by(config).unwrap();
    let record = std::fs::read_to_string(device.home("device/device.json")).unwrap();
    assert!(record.contains("EC_P384"), "{record}");
}
