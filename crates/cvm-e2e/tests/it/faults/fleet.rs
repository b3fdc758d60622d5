//! A fleet that asks for certificates, keeps what it gets, and is asked for it afterwards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use cvm_e2e::{Client, Environment, Kept, Key, Response, wait_for};
use parking_lot::Mutex;
use rusqlite::Connection;
use serde_json::{Value, json};

const AT_ONCE: usize = 16;

/// One answer in so many is lost.
const LOST: usize = 20;

/// How long a part of the load may take on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(120);

const VEND: &str = "/v1/certificates";

struct Device {
    serial: String,
    request: Value,
}

/// A certificate that a device held when the log of what is watched was so long.
pub(super) struct Acknowledged {
    pub(super) id: String,
    pub(super) log_length: usize,
}

/// Devices, and what each of them ever held.
pub(super) struct Fleet {
    devices: Vec<Device>,
    waiting: Mutex<VecDeque<(usize, u32)>>,
    held: Mutex<BTreeMap<usize, BTreeSet<String>>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    unexpected: Mutex<Vec<String>>,
    server: Mutex<Client>,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

/// Lets the devices go home, also where the test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Fleet {
    /// Registers `count` devices, which have their keys.
    pub(super) fn register(environment: &Environment, count: usize) -> Self {
        let header = format!("Authorization: Bearer {}", environment.admin_token().unwrap());
        let operator = environment.operator_client().unwrap();
        let register = |kept: &mut Kept, number: usize| {
            let serial = format!("SN-{number}");
            let body = json!({"serialNumber": serial});
            let answer = kept.request("POST", "/v1/devices", &[&header], Some(&body)).unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
            let (token, csr) = (answer.text("token"), Key::new().unwrap().csr().unwrap());
            let request = json!({"serialNumber": serial, "token": token, "csr": csr});
            (number, Device { serial, request })
        };
        let devices: BTreeMap<usize, Device> = spread(count, || {
            let mut kept = Kept::new(operator.clone());
            move |number| register(&mut kept, number)
        });
        Self {
            devices: devices.into_values().collect(),
            waiting: Mutex::new((0..count).map(|number| (number, 0)).collect()),
            held: Mutex::default(),
            acknowledged: Mutex::default(),
            unexpected: Mutex::default(),
            server: Mutex::new(environment.device_client().unwrap()),
            answered: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Tells the devices where the server is now.
    pub(super) fn serve(&self, environment: &Environment) {
        *self.server.lock() = environment.device_client().unwrap();
    }

    /// Vends to all while the server comes to an end `ends` times, spread over the vends, and is
    /// started again.
    pub(super) fn vend_while(
        &self,
        environment: &mut Environment,
        ends: usize,
        mut end: impl FnMut(&mut Environment, usize),
    ) {
        let log = environment.power().map(|power| power.log().to_owned());
        let log = log.as_deref();
        std::thread::scope(|scope| {
            let over = Over(&self.is_over);
            let threads: Vec<_> =
                (0..AT_ONCE).map(|_| scope.spawn(move || self.ask(log))).collect();
            for number in 0..ends {
                let begun = self.devices.len() * number / ends;
                self.wait_until_answered(begun);
                // Anywhere among the requests.
                let moment = Duration::from_micros(u64::try_from(number * 7_919 % 30_000).unwrap());
                std::thread::sleep(moment);
                end(environment, number);
                environment.serve().unwrap();
                self.serve(environment);
            }
            self.wait_until_answered(self.devices.len());
            drop(over);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    fn wait_until_answered(&self, count: usize) {
        wait_for("the fleet's answers", WITHIN, || {
            let unexpected = self.unexpected.lock();
            assert!(unexpected.is_empty(), "{unexpected:?}");
            Ok((self.answered.load(Ordering::SeqCst) >= count).then_some(()))
        })
        .unwrap();
    }

    /// One of the fleet's many hands: asks for whoever has no certificate.
    fn ask(&self, log: Option<&Path>) {
        let mut kept = None;
        while !self.is_over.load(Ordering::SeqCst) {
            let Some((number, tries)) = self.waiting.lock().pop_front() else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            let device = &self.devices[number];
            match self.ask_for(device, number % LOST == 0 && tries == 0, &mut kept) {
                Some(answer) => {
                    if let Some(log) = log {
                        let log_length = usize::try_from(log.metadata().unwrap().len()).unwrap();
                        let id = answer.text("certificateId");
                        self.acknowledged.lock().push(Acknowledged { id, log_length });
                    }
                    let certificate = answer.text("certificate");
                    self.held.lock().entry(number).or_default().insert(certificate);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                None => self.waiting.lock().push_back((number, tries + 1)),
            }
        }
    }

    fn ask_for(&self, device: &Device, is_lost: bool, kept: &mut Option<Kept>) -> Option<Response> {
        let server = || self.server.lock().clone();
        if is_lost {
            let _killed = server().send_and_hang_up("POST", VEND, &device.request);
            return None;
        }
        let link = kept.get_or_insert_with(|| Kept::new(server()));
        let Ok(answer) = link.request("POST", VEND, &[], Some(&device.request)) else {
            // The server has ended. Where it is next, who starts it will say.
            *kept = None;
            std::thread::sleep(Duration::from_millis(2));
            return None;
        };
        match answer.status {
            200 | 201 => Some(answer),
            503 => None,
            _ => {
                self.unexpected.lock().push(format!("{}: {answer:?}", device.serial));
                None
            }
        }
    }

    /// What the devices held, and since when.
    pub(super) fn acknowledged(self) -> Vec<Acknowledged> {
        self.acknowledged.into_inner()
    }

    /// Asks again for everyone, and compares what they hold with what is on record.
    pub(super) fn check_all_there(&self, environment: &Environment) {
        self.serve(environment);
        let count = self.devices.len();
        let client = self.server.lock().clone();
        let again: BTreeMap<usize, String> = spread(count, || {
            let mut kept = Kept::new(client.clone());
            move |number| {
                let request = &self.devices[number].request;
                let answer = kept.request("POST", VEND, &[], Some(request)).unwrap();
                assert_eq!(answer.status, 200, "asking again repeats: {answer:?}");
                (number, answer.text("certificate"))
            }
        });
        let held = self.held.lock();
        for (number, certificate) in &again {
            let held: Vec<_> = held[number].iter().collect();
            assert_eq!(held, [certificate], "{} was given two", self.devices[*number].serial);
        }
        drop(held);
        assert_eq!(self.missing(environment), 0, "what left is on record");
        let recorded: BTreeSet<String> = on_record(environment);
        assert_eq!(recorded.len(), count, "and nothing else");
    }

    /// How many certificates the devices hold that the store does not know.
    pub(super) fn missing(&self, environment: &Environment) -> usize {
        let recorded = on_record(environment);
        let held = self.held.lock();
        let held = held.values().flatten();
        held.filter(|certificate| !recorded.contains(certificate.trim())).count()
    }

    /// Ends the server and looks at its files from outside.
    pub(super) fn check_files(&self, environment: &mut Environment) {
        assert_eq!(environment.terminate().unwrap(), Some(0), "{}", environment.log());
        // Not the attempts: they are never synced, and begun anew where that shows.
        let database = Connection::open(environment.data().join("cvm.db")).unwrap();
        assert_whole(&database, "at the end");
        let count = "SELECT count(*), count(DISTINCT serial_number) FROM certificate";
        let counts: (i64, i64) =
            database.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let count = i64::try_from(self.devices.len()).unwrap();
        assert_eq!(counts, (count, count));
    }
}

/// That SQLite finds nothing wrong with the registry.
pub(super) fn assert_whole(database: &Connection, told: &str) {
    let check = "PRAGMA integrity_check";
    let verdict: String = database.query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok", "{told}");
}

/// Every certificate that the operator API tells of, PEM.
fn on_record(environment: &Environment) -> BTreeSet<String> {
    let header = format!("Authorization: Bearer {}", environment.admin_token().unwrap());
    let mut operator = Kept::new(environment.operator_client().unwrap());
    let mut recorded = BTreeSet::new();
    let mut path = String::from("/v1/certificates?limit=1000");
    loop {
        let page = operator.request("GET", &path, &[&header], None).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json().unwrap();
        let items = page["items"].as_array().unwrap();
        recorded.extend(
            items.iter().map(|item| item["certificate"].as_str().unwrap().trim().to_owned()),
        );
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("/v1/certificates?limit=1000&cursor={cursor}"),
            None => return recorded,
        }
    }
}

/// Does something for every number below `count`, by many threads that each `begin`.
fn spread<T: Send, F: FnMut(usize) -> (usize, T) + Send>(
    count: usize,
    begin: impl Fn() -> F,
) -> BTreeMap<usize, T> {
    let next = AtomicUsize::new(0);
    let (done, all) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (mut work, done, next) = (begin(), done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    done.send(work(number)).unwrap();
                }
            });
        }
    });
    drop(done);
    all.into_iter().collect()
}
