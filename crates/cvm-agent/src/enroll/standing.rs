//! Whether what is on the disk already will do.

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{DeviceRecord, EnrollOptions, ROOT_CA_FILE};
use crate::client::Trust;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::identity::{self, Set};
use crate::{files, pki};

/// Whether a set holds a certificate that is good now, for its key and under what is pinned; if
/// not, why.
pub(super) fn standing(
    record: &DeviceRecord,
    options: &EnrollOptions,
    now: UnixTime,
) -> Result<Result<(), String>, Error> {
    let roots: Vec<_> = match identity::stored(&options.out.join(ROOT_CA_FILE))? {
        Ok(roots) => pinned(roots, &options.trust)?,
        Err(why) => return Ok(Err(why)),
    };
    if roots.is_empty() {
        return Ok(Err("it stands under another root".to_owned()));
    }
    let (leaf, chain) = match identity::certificate(&options.out, Set::Current)? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    // Not the key that the caller names: a renewal may have brought another since.
    let path = record.key_path(&options.out);
    let Some(pem) = files::read(&path)? else {
        return Ok(Err(format!("{} is missing", path.display())));
    };
    let spki = identity::parse_key(&pem, &path)?.public_key_der();
    let verified = pki::verify(&leaf, &chain, &roots, &spki, now);
    Ok(verified.map(|_| ()).map_err(|fault| fault.to_string()))
}

/// Those of the stored roots that the caller pins too.
fn pinned(
    roots: Vec<CertificateDer<'static>>,
    trust: &Trust,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let given = match trust {
        Trust::Fingerprint(fingerprint) => {
            let fits = |root: &CertificateDer<'_>| Fingerprint::of(root) == *fingerprint;
            return Ok(roots.into_iter().filter(fits).collect());
        }
        Trust::Roots(given) => given.clone(),
        Trust::RootFile(path) => {
            let pem = files::read_needed(path)?;
            pki::certificates(&pem).map_err(|fault| Error::LocalContent {
                what: format!("{} {fault}", path.display()),
            })?
        }
        #[cfg(feature = "system-roots")]
        Trust::SystemRoots => Vec::new(),
    };
    Ok(roots.into_iter().filter(|root| given.contains(root)).collect())
}
