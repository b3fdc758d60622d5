//! Proof that a device holds its new certificate: the server then burns the token.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::{RECORD_FILE, ROOT_CA_FILE, Reporter};
use crate::client::{Client, ClientCertificate, Trust};
use crate::clock::{Clock, FlooredClock, SystemClock, parse_seconds};
use crate::error::Error;
use crate::files::{self, Directory};
use crate::identity::{self, DeviceRecord, Set};
use crate::renew::next;
use crate::retry::{RETRIES, Retries};

/// How to confirm.
#[derive(Clone, Debug)]
pub struct ConfirmOptions {
    /// Another address than the one in `device.json`.
    pub server: Option<String>,
    /// How often to try again when the server cannot answer now.
    pub retries: u32,
    /// Whose time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for ConfirmOptions {
    fn default() -> Self {
        Self { server: None, retries: RETRIES, clock: Arc::new(SystemClock) }
    }
}

/// Confirms the certificate in a directory, over mTLS with it or signed with its key. Can be repeated.
///
/// # Errors
/// By blame, see [`Error`].
pub fn confirm(
    directory: &Path,
    options: &ConfirmOptions,
    reporter: &dyn Reporter,
) -> Result<DeviceRecord, Error> {
    let content = |what: String| Error::LocalContent { what };
    if directory.is_dir() {
        next::finish(&Directory::open(directory)?)?;
    }
    let record = enrolled(directory)?;
    let (leaf, chain) = identity::certificate(directory, Set::Current)?.map_err(content)?;
    let path = record.key_path(directory);
    let key = identity::parse_key(&files::read_needed(&path)?, &path)?;
    let clock = FlooredClock::new(Arc::clone(&options.clock));
    let told = parse_seconds(&record.server_time).unwrap_or(0);
    let shown = std::iter::once(leaf).chain(chain).collect();
    let client = Client::builder(options.server.as_ref().unwrap_or(&record.server))
        .trust(Trust::RootFile(directory.join(ROOT_CA_FILE)))
        .client_certificate(ClientCertificate::new(shown, key))
        .floored_clock(clock.clone())
        .not_earlier_than(UnixTime::since_unix_epoch(Duration::from_secs(told)))
        .build()?;
    ask_to_confirm(&client, &mut Retries::new(options.retries, &clock, reporter))?;
    reporter.step(&format!("{} confirmed the certificate", client.server()));
    Ok(record)
}

/// The record of a directory that holds a finished enrollment.
pub(crate) fn enrolled(directory: &Path) -> Result<DeviceRecord, Error> {
    identity::record(directory, Set::Current)?.ok_or_else(|| Error::LocalContent {
        what: format!(
            "{} holds no finished enrollment ({RECORD_FILE} is missing or damaged); enroll again",
            directory.display()
        ),
    })
}

/// Confirms the certificate that the client shows.
pub(crate) fn ask_to_confirm(client: &Client, retries: &mut Retries<'_>) -> Result<(), Error> {
    let nothing = None::<&()>;
    retries
        .run(|| client.post_as_holder("/v1/certificates/confirm", nothing)?.accepted())
        .map(|_| ())
}
