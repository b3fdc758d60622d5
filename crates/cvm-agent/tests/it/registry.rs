//! A registry of one device, as far as a renewal needs one: who may confirm and renew, what the
//! same question is answered, which keys ever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cvm_agent::enroll::{CERTIFICATE_FILE, KEY_FILE, Silent, enroll};
use cvm_agent::keys::DeviceKey;
use cvm_agent::renew::{RenewOptions, When};
use parking_lot::Mutex;
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::pki::Pki;
use crate::server::{Answer, Request, Server};
use crate::world::{TestClock, World, problem, vended};

/// Where a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Candidate,
    Current,
    /// Refused with this slug.
    Ended(&'static str),
    Retiring,
    Unconfirmed,
}

pub(crate) struct Issued {
    pub(crate) certificate: rcgen::Certificate,
    /// The public key, as it stands in the certificate.
    pub(crate) key: Vec<u8>,
    pub(crate) standing: Standing,
}

/// Everything that was issued, in order, and everything that was asked.
pub(crate) struct Registry {
    pki: Arc<Pki>,
    pub(crate) issued: Mutex<Vec<Issued>>,
    /// The public keys that renewals were asked for.
    pub(crate) renewed_keys: Mutex<Vec<Vec<u8>>>,
    pub(crate) asked: Mutex<Vec<String>>,
    /// Whether the token is good for another key than one that has a certificate.
    pub(crate) token_is_good: AtomicBool,
    /// What is in `rootCa`, if not the root.
    pub(crate) bundle: Mutex<Option<String>>,
    /// What the next requests are answered, whatever the registry says.
    pub(crate) instead: Mutex<Vec<Answer>>,
    /// The next request with this path is decided, and its answer lost.
    pub(crate) loses: Mutex<Option<&'static str>>,
}

impl Registry {
    pub(crate) fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            pki: Arc::clone(&world.pki),
            issued: Mutex::default(),
            renewed_keys: Mutex::default(),
            asked: Mutex::default(),
            token_is_good: AtomicBool::new(true),
            bundle: Mutex::default(),
            instead: Mutex::default(),
            loses: Mutex::default(),
        })
    }

    pub(crate) fn standings(&self) -> Vec<Standing> {
        self.issued.lock().iter().map(|issued| issued.standing).collect()
    }

    pub(crate) fn end(&self, index: usize, slug: &'static str) {
        self.issued.lock()[index].standing = Standing::Ended(slug);
    }

    pub(crate) fn answer(&self, request: &Request) -> Option<Answer> {
        self.asked.lock().push(request.what.clone());
        if let Some(answer) = self.instead.lock().pop() {
            return Some(answer);
        }
        let answer = match request.what.as_str() {
            "POST /v1/certificates" => self.vend(request),
            "POST /v1/certificates/confirm" => self.confirm(request),
            "POST /v1/certificates/renew" => self.renew(request),
            _ => return None,
        };
        let is_lost = self.loses.lock().take_if(|path| request.what.ends_with(*path)).is_some();
        Some(if is_lost { Answer::HangUp } else { answer })
    }

    fn vend(&self, request: &Request) -> Answer {
        let (csr, key) = asked_key(request);
        let mut issued = self.issued.lock();
        if let Some(same) = issued.iter().find(|issued| issued.key == key && is_live(issued)) {
            return self.vended(same);
        }
        if !self.token_is_good.load(Ordering::SeqCst) {
            return problem(403, "access-denied", "");
        }
        self.issue(&mut issued, &csr, key, Standing::Unconfirmed)
    }

    fn confirm(&self, request: &Request) -> Answer {
        let mut issued = self.issued.lock();
        let Some(index) = shown(&issued, request) else {
            return problem(403, "certificate-unknown", "");
        };
        match issued[index].standing {
            Standing::Ended(slug) => return problem(403, slug, ""),
            Standing::Retiring => return problem(403, "certificate-superseded", ""),
            Standing::Current => {}
            Standing::Candidate | Standing::Unconfirmed => {
                for other in issued.iter_mut() {
                    if other.standing == Standing::Current {
                        other.standing = Standing::Retiring;
                    }
                }
                issued[index].standing = Standing::Current;
            }
        }
        Answer::json(204, String::new())
    }

    fn renew(&self, request: &Request) -> Answer {
        let (csr, key) = asked_key(request);
        self.renewed_keys.lock().push(key.clone());
        let mut issued = self.issued.lock();
        let Some(index) = shown(&issued, request) else {
            return problem(403, "certificate-unknown", "");
        };
        match issued[index].standing {
            Standing::Ended(slug) => return problem(403, slug, ""),
            Standing::Candidate | Standing::Retiring => {
                return problem(403, "certificate-superseded", "");
            }
            Standing::Current | Standing::Unconfirmed => {
                issued[index].standing = Standing::Current;
            }
        }
        if let Some(same) =
            issued.iter().find(|it| it.key == key && it.standing == Standing::Candidate)
        {
            return self.vended(same);
        }
        for other in issued.iter_mut().filter(|it| it.standing == Standing::Candidate) {
            other.standing = Standing::Ended("certificate-superseded");
        }
        self.issue(&mut issued, &csr, key, Standing::Candidate)
    }

    fn issue(
        &self,
        issued: &mut Vec<Issued>,
        csr: &str,
        key: Vec<u8>,
        standing: Standing,
    ) -> Answer {
        let new = Issued { certificate: self.pki.device(csr), key, standing };
        let answer = self.vended(&new);
        issued.push(new);
        answer
    }

    fn vended(&self, issued: &Issued) -> Answer {
        let mut body = vended(&self.pki, &issued.certificate);
        if let Some(bundle) = &*self.bundle.lock() {
            body["rootCa"] = Value::from(bundle.clone());
        }
        Answer::json(201, body.to_string())
    }
}

fn is_live(issued: &Issued) -> bool {
    !matches!(issued.standing, Standing::Ended(_))
}

fn shown(issued: &[Issued], request: &Request) -> Option<usize> {
    let shown = request.shown.as_ref()?;
    issued.iter().position(|issued| issued.certificate.der().as_ref() == shown.as_slice())
}

fn asked_key(request: &Request) -> (String, Vec<u8>) {
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let csr = asked["csr"].as_str().unwrap().to_owned();
    let parsed = CertificateSigningRequestParams::from_pem(&csr).unwrap();
    (csr, parsed.public_key.subject_public_key_info())
}

/// A device that is enrolled with a server that has a registry.
pub(crate) struct Enrolled {
    pub(crate) world: World,
    pub(crate) registry: Arc<Registry>,
    pub(crate) server: Server,
}

impl Enrolled {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let registry = Registry::new(&world);
        let answers = Arc::clone(&registry);
        let server = world.server(move |request| answers.answer(request));
        enroll(&world.options(&server, world.root_file()), &Silent).unwrap();
        registry.token_is_good.store(false, Ordering::SeqCst);
        Self { world, registry, server }
    }

    pub(crate) fn options(&self) -> RenewOptions {
        self.options_at(Arc::clone(&self.world.clock))
    }

    pub(crate) fn options_at(&self, clock: Arc<TestClock>) -> RenewOptions {
        let mut options = RenewOptions::new(&self.world.out(), When::Now);
        options.clock = clock;
        options.retries = 0;
        options
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.world.out()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The public key in `device.key`.
    pub(crate) fn key(&self) -> Vec<u8> {
        let pem = std::fs::read(self.world.out().join(KEY_FILE)).unwrap();
        DeviceKey::from_pem(&pem).unwrap().public_key_der()
    }

    /// Which of the issued certificates `device.pem` is.
    pub(crate) fn certificate(&self) -> usize {
        let pem = std::fs::read(self.world.out().join(CERTIFICATE_FILE)).unwrap();
        let der = CertificateDer::from_pem_slice(&pem).unwrap();
        let issued = self.registry.issued.lock();
        issued.iter().position(|issued| *issued.certificate.der() == der).unwrap()
    }

    /// Whether `device.key` and `device.pem` belong together.
    pub(crate) fn is_pair(&self) -> bool {
        let index = self.certificate();
        self.registry.issued.lock()[index].key == self.key()
    }

    /// That the device uses what was issued last, and that nothing else is left.
    pub(crate) fn assert_renewed(&self) {
        assert_eq!(
            self.names(),
            ["chain.pem", "device.json", "device.key", "device.pem", "root-ca.pem"]
        );
        assert!(self.is_pair());
        let standings = self.registry.standings();
        assert_eq!(self.certificate(), standings.len() - 1);
        assert_eq!(standings.last(), Some(&Standing::Current));
        let issued = self.registry.issued.lock();
        let id = cvm_agent::fingerprint::Fingerprint::of(issued.last().unwrap().certificate.der());
        let record = std::fs::read_to_string(self.world.out().join("device.json")).unwrap();
        assert!(record.contains(&id.to_string()), "{record}");
    }
}
