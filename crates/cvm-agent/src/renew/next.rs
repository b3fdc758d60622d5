//! The files of a renewal, beside those that the device uses: `device.key.next` before anything is
//! asked, the certificate and `device.json.next` when it is answered, and their promotion.
//!
//! While all of them are there, the certificate waits to be proven. Once it is, they are renamed
//! over the others, `device.json.next` last: from the first of these renames to the last, some are
//! missing beside it, which tells the next run to go on with renaming, without a server. The names
//! of key and certificate change in two renames with nothing between, and no sync either, so that
//! a file system with a journal keeps both or neither.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use crate::client::ClientCertificate;
use crate::error::Error;
use crate::files::{self, Directory, Mode};
use crate::identity::{
    self, CERTIFICATE_FILE, CHAIN_FILE, DeviceRecord, KEY_FILE, RECORD_FILE, ROOT_CA_FILE, Set,
};
use crate::keys::{DeviceKey, KeyAlgorithm};
use crate::pki;
use crate::report::Reporter;

/// A certificate that was answered and waits to be proven.
pub(super) struct Candidate {
    pub(super) record: DeviceRecord,
    pub(super) shown: Arc<ClientCertificate>,
    /// What is to be pinned from then on, if that is new.
    pub(super) roots: Option<Vec<CertificateDer<'static>>>,
}

impl Candidate {
    /// The candidate in a directory, if it is whole.
    pub(super) fn read(directory: &Directory) -> Result<Option<Self>, Error> {
        let path = directory.path();
        let Some(record) = identity::record(path, Set::Next)? else {
            return Ok(None);
        };
        let Some(key) = read_key(directory)? else {
            return Ok(None);
        };
        let Ok((leaf, chain)) = identity::certificate(path, Set::Next)? else {
            return Ok(None);
        };
        if !pki::is_for(&leaf, &key) {
            return Ok(None);
        }
        let roots = identity::stored(&directory.file(&Set::Next.name(ROOT_CA_FILE)))?.ok();
        let chain = std::iter::once(leaf).chain(chain).collect();
        let shown = Arc::new(ClientCertificate::new(chain, key));
        Ok(Some(Self { record, shown, roots }))
    }
}

/// Whether a renewal was begun and has not come to its end.
pub(super) fn is_begun(directory: &Directory) -> bool {
    directory.file(&Set::Next.name(KEY_FILE)).exists()
}

/// The key of the renewal: the one that was made before, or a new one, on the disk before anything
/// is asked for it. Of `algorithm`, else of the kind of `current`.
pub(super) fn key(
    directory: &Directory,
    algorithm: Option<KeyAlgorithm>,
    current: &DeviceKey,
    reporter: &dyn Reporter,
) -> Result<DeviceKey, Error> {
    let name = Set::Next.name(KEY_FILE);
    if let Some(key) = read_key(directory)? {
        let found = key.algorithm_name();
        if let Some(wanted) = algorithm.filter(|wanted| wanted.name() != found) {
            return Err(Error::Usage(format!(
                "a renewal with a key of algorithm {found} was begun, not {wanted}: let it come to \
                 its end first, without choosing an algorithm"
            )));
        }
        // A crash may have left the key a second name.
        directory.remove(&files::temporary(&name))?;
        reporter.step(&format!("going on with the key in {name} ({found})"));
        return Ok(key);
    }
    let made = match algorithm {
        Some(algorithm) => DeviceKey::generate(algorithm),
        None => current.generate_alike(),
    };
    let key = made
        .map_err(|fault| Error::LocalContent { what: format!("a key cannot be made: {fault}") })?;
    directory.create(&name, key.to_pem().as_bytes(), Mode::Private)?;
    reporter.step(&format!("made a key in {name} ({})", key.algorithm_name()));
    Ok(key)
}

fn read_key(directory: &Directory) -> Result<Option<DeviceKey>, Error> {
    let path = directory.file(&Set::Next.name(KEY_FILE));
    let Some(pem) = files::read(&path)? else {
        return Ok(None);
    };
    let parsed = DeviceKey::from_pem(&pem);
    parsed.map(Some).map_err(|fault| Error::LocalContent {
        what: format!("{}: {fault}; remove it, and the next run makes another", path.display()),
    })
}

/// How much of a renewal is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The certificate; its key may ask again.
    Certificate,
    /// The key too.
    WithKey,
}

/// Throws a renewal away.
pub(crate) fn discard(directory: &Directory, extent: Extent) -> Result<(), Error> {
    // Without the record, nothing of the rest is taken for a promotion that was cut off.
    let certificate = [RECORD_FILE, CERTIFICATE_FILE, CHAIN_FILE, ROOT_CA_FILE];
    let names: &[&str] = match extent {
        Extent::Certificate => &[],
        Extent::WithKey => &[KEY_FILE],
    };
    let all = certificate.iter().chain(names).map(|name| Set::Next.name(name));
    let mut there = all.filter(|name| directory.file(name).exists());
    there.try_for_each(|name| directory.remove(&name))
}

/// Puts what was proven in the place of what the device used, which destroys the old key.
pub(super) fn promote(directory: &Directory) -> Result<(), Error> {
    for name in [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, ROOT_CA_FILE] {
        directory.rename(&Set::Next.name(name), name)?;
    }
    directory.sync()?;
    directory.rename(&Set::Next.name(RECORD_FILE), RECORD_FILE)?;
    directory.sync()
}

/// What came of looking for a promotion that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// There was one, and it is done now.
    Done,
    /// There was none.
    NothingToDo,
}

/// Does the rest of a promotion that was cut off.
pub(crate) fn finish(directory: &Directory) -> Result<Finish, Error> {
    let is_there = |name| directory.file(&Set::Next.name(name)).exists();
    let is_whole = [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE].into_iter().all(is_there);
    if !is_there(RECORD_FILE) || is_whole {
        return Ok(Finish::NothingToDo);
    }
    if !fits(directory.path())? {
        // Not what a promotion leaves: somebody removed files.
        discard(directory, Extent::Certificate)?;
        return Ok(Finish::NothingToDo);
    }
    promote(directory)?;
    Ok(Finish::Done)
}

/// Whether what would be key and certificate after a promotion belong together.
fn fits(directory: &Path) -> Result<bool, Error> {
    let place = |name| match directory.join(Set::Next.name(name)).exists() {
        true => Set::Next,
        false => Set::Current,
    };
    let Ok(leaf) = identity::leaf(directory, place(CERTIFICATE_FILE))? else {
        return Ok(false);
    };
    let key = files::read(&directory.join(place(KEY_FILE).name(KEY_FILE)))?;
    let key = key.and_then(|pem| DeviceKey::from_pem(&pem).ok());
    Ok(key.is_some_and(|key| pki::is_for(&leaf, &key)))
}
