//! How a device comes to its first certificate, and proves that it has it.
//!
//! The steps, in this order: the directory (ours alone); the key, on the disk before anything is
//! sent; the server, verified; the request; the answer, checked before it is kept; the files, the
//! record last. Any of them may fail or be cut off: the same again goes on with the same key, and
//! the server answers the same request with the same certificate.

mod confirm;
mod standing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvm_wire::device::{VendRequest, Vended};

use crate::answer::{About, CheckedAnswer};
use crate::client::{Client, Trust};
use crate::clock::{Clock, FlooredClock, SystemClock, parse_seconds};
use crate::error::Error;
use crate::files::{self, Directory, Mode};
use crate::identity::{self, Set};
use crate::keys::{DeviceKey, KeyAlgorithm};
use crate::renew::next;
use crate::retry::{RETRIES, Retries};
use crate::token::Token;

pub use crate::identity::{
    CERTIFICATE_FILE, CHAIN_FILE, DeviceRecord, KEY_FILE, RECORD_FILE, ROOT_CA_FILE,
};
pub use crate::report::{Reporter, Silent};
pub use confirm::{ConfirmOptions, confirm};
pub(crate) use confirm::{ask_to_confirm, enrolled};

/// What an enrollment needs to know.
#[derive(Clone, Debug)]
pub struct EnrollOptions {
    /// `https://host:port`.
    pub server: String,
    /// What the server is verified against; not the system's roots.
    pub trust: Trust,
    /// The device's serial number, as the operator registered it.
    pub serial_number: String,
    /// Its one-time token.
    pub token: Token,
    /// Where the files go.
    pub out: PathBuf,
    /// A key that exists and stays where it is; without it `device.key` of `out` is used or made.
    pub key: Option<PathBuf>,
    /// Which key to make; with a key that exists it has to fit.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// What becomes of a valid certificate that is there.
    pub existing: Existing,
    /// How often to try again when the server cannot answer now.
    pub retries: u32,
    /// Whose time it is.
    pub clock: Arc<dyn Clock>,
}

/// What becomes of a valid certificate that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It will do: nothing is asked.
    #[default]
    Keep,
    /// It gives way to what the token obtains, because the registry does not accept it any more.
    Replace,
}

impl EnrollOptions {
    /// Options with what has no default.
    #[must_use]
    pub fn new(server: &str, trust: Trust, serial_number: &str, token: Token, out: &Path) -> Self {
        Self {
            server: server.to_owned(),
            trust,
            serial_number: serial_number.to_owned(),
            token,
            out: out.to_owned(),
            key: None,
            key_algorithm: None,
            existing: Existing::default(),
            retries: RETRIES,
            clock: Arc::new(SystemClock),
        }
    }
}

/// What came of an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was there and valid; nothing was sent.
    AlreadyThere,
    /// The certificate was asked for and written.
    Written,
}

/// A device with its certificate.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Where its files are.
    pub directory: PathBuf,
    /// What `device.json` says.
    pub record: DeviceRecord,
    /// Whether this run brought it.
    pub outcome: Outcome,
    /// The code of the request, if there was one.
    pub attempt: Option<String>,
}

/// Enrolls a device. Safe to run again after any failure.
///
/// # Errors
/// By blame, see [`Error`]; nothing that was there and valid is lost.
pub fn enroll(options: &EnrollOptions, reporter: &dyn Reporter) -> Result<Enrolled, Error> {
    check_usage(options)?;
    let directory = Directory::open(&options.out)?;
    next::finish(&directory)?;
    let mut clock = FlooredClock::new(Arc::clone(&options.clock));
    let before = identity::record(&options.out, Set::Current)?;
    if let Some(record) = &before {
        clock.raise(parse_seconds(&record.server_time).unwrap_or(0));
        if record.serial_number != options.serial_number {
            return Err(Error::Usage(format!(
                "{} holds the identity of {}; choose another directory",
                options.out.display(),
                record.serial_number
            )));
        }
        if options.existing == Existing::Keep {
            match standing::standing(record, options, clock.now())? {
                Ok(()) => return Ok(already(options, record.clone(), reporter)),
                Err(why) => reporter.step(&format!("what is there cannot be used: {why}")),
            }
        }
    }
    let key_file = options.key.clone().or_else(|| before.and_then(|record| record.key_file));
    let key = Key::obtain(&directory, options, key_file, reporter)?;
    let (client, vended) = ask(options, &key.key, &clock, reporter)?;
    let (server, roots) = (client.server(), client.pinned());
    let answer = CheckedAnswer::check(vended, &server, roots, &key.key, clock.now())?;
    reporter.step("the certificate is for our key and its chain is whole");
    let record = answer.record(About {
        serial_number: options.serial_number.clone(),
        server,
        key_algorithm: key.key.algorithm_name(),
        key_file: key.elsewhere,
    });
    identity::write(&directory, Set::Current, &answer, Some(roots), &record)?;
    // A renewal that was begun was one of the certificate that is replaced.
    next::discard(&directory, next::Extent::WithKey)?;
    reporter.step(&format!("wrote the files in {}", options.out.display()));
    Ok(Enrolled {
        directory: options.out.clone(),
        record,
        outcome: Outcome::Written,
        attempt: Some(answer.attempt),
    })
}

/// What needs neither disk nor network to be known.
fn check_usage(options: &EnrollOptions) -> Result<(), Error> {
    #[cfg(feature = "system-roots")]
    if matches!(options.trust, Trust::SystemRoots) {
        return Err(Error::Usage(
            "a device pins its server: give a root certificate or a fingerprint".to_owned(),
        ));
    }
    match options.serial_number.is_empty() {
        true => Err(Error::Usage("the serial number is empty".to_owned())),
        false => Ok(()),
    }
}

fn already(options: &EnrollOptions, record: DeviceRecord, reporter: &dyn Reporter) -> Enrolled {
    reporter.step(&format!(
        "{} holds a valid certificate of {} until {}: nothing to do (remove {RECORD_FILE} to ask \
         for another)",
        options.out.display(),
        record.serial_number,
        record.not_after,
    ));
    Enrolled {
        directory: options.out.clone(),
        record,
        outcome: Outcome::AlreadyThere,
        attempt: None,
    }
}

/// Finds the server, sends the request, as often as it takes and makes sense.
fn ask(
    options: &EnrollOptions,
    key: &DeviceKey,
    clock: &FlooredClock,
    reporter: &dyn Reporter,
) -> Result<(Client, Vended), Error> {
    let csr = certificate_request(key)?;
    let request = VendRequest {
        serial_number: options.serial_number.clone(),
        token: options.token.secret().clone(),
        csr: Some(csr),
        key_algorithm: None,
    };
    let mut retries = Retries::new(options.retries, clock, reporter);
    let client = retries.run(|| {
        Client::builder(&options.server)
            .trust(options.trust.clone())
            .floored_clock(clock.clone())
            .build()
    })?;
    reporter.step(&format!("asking {} for a certificate", client.server()));
    let vended = retries.run(|| client.post("/v1/certificates").json(&request).fetch())?;
    Ok((client, vended))
}

/// The request for a key's certificate.
pub(crate) fn certificate_request(key: &DeviceKey) -> Result<String, Error> {
    key.certificate_request().map_err(|fault| {
        let what = format!("the certificate request cannot be made: {fault}");
        Error::LocalContent { what }
    })
}

/// The key of an enrollment, and where it is if not in the directory.
struct Key {
    key: DeviceKey,
    elsewhere: Option<PathBuf>,
}

impl Key {
    fn obtain(
        directory: &Directory,
        options: &EnrollOptions,
        key_file: Option<PathBuf>,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let ours = directory.file(KEY_FILE);
        let there = match files::read(&ours)? {
            Some(pem) => Some(identity::parse_key(&pem, &ours)?),
            None => None,
        };
        let (key, path, elsewhere) = match (key_file, there) {
            (Some(path), there) => {
                let path = std::path::absolute(&path)
                    .map_err(|fault| Error::local(format!("finding {}", path.display()), fault))?;
                let key = identity::parse_key(&files::read_needed(&path)?, &path)?;
                refuse_second_key(&key, there.as_ref(), &ours)?;
                (key, path.clone(), Some(path))
            }
            (None, Some(key)) => {
                // A crash may have left the key a second name.
                directory.remove(&files::temporary(KEY_FILE))?;
                (key, ours, None)
            }
            (None, None) => {
                let key = Self::make(directory, options.key_algorithm, reporter)?;
                let elsewhere = None;
                return Ok(Self { key, elsewhere });
            }
        };
        let found = key.algorithm_name();
        if let Some(wanted) = options.key_algorithm.filter(|wanted| wanted.name() != found) {
            return Err(Error::Usage(format!(
                "{} is a key of algorithm {found}, not {wanted}",
                path.display()
            )));
        }
        reporter.step(&format!("using the key in {} ({found})", path.display()));
        if files::is_open_to_others(&path) {
            let path = path.display();
            reporter.step(&format!("{path} can be read by others: chmod 600 {path}"));
        }
        Ok(Self { key, elsewhere })
    }

    fn make(
        directory: &Directory,
        algorithm: Option<KeyAlgorithm>,
        reporter: &dyn Reporter,
    ) -> Result<DeviceKey, Error> {
        let algorithm = algorithm.unwrap_or_default();
        let key = DeviceKey::generate(algorithm).map_err(|fault| Error::LocalContent {
            what: format!("a key cannot be made: {fault}"),
        })?;
        directory.create(KEY_FILE, key.to_pem().as_bytes(), Mode::Private)?;
        let path = directory.file(KEY_FILE);
        reporter.step(&format!("made a key in {} ({algorithm})", path.display()));
        Ok(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.key)
    }
}

/// Two keys in one directory would be a trap for whoever uses its files.
fn refuse_second_key(key: &DeviceKey, there: Option<&DeviceKey>, ours: &Path) -> Result<(), Error> {
    match there {
        Some(there) if there.public_key_der() != key.public_key_der() => {
            Err(Error::Usage(format!(
                "{} holds another key than the one given; choose another directory",
                ours.display()
            )))
        }
        _ => Ok(()),
    }
}
