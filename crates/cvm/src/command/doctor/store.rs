//! The store: whether it is whole, and of this release.

use std::fs;

use cvm_core::error::chain_of;
use cvm_store::{Depth, Survey};

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::serve::clock::system_now;

/// Larger ones are read whole only where somebody asks for it: it takes a second or more for each of
/// these.
const READ_WHOLE_BYTES_MAX: u64 = 1 << 30;

/// Looks at the store's file, and returns what it says of itself.
pub(super) fn check(patient: &Patient<'_>, server: &Server, report: &mut Report) -> Option<Survey> {
    let config = patient.config.as_ref()?;
    let root = &patient.layout.root;
    let Some(url) = config.sqlite_url() else {
        let what =
            "the registry is not on this machine: only a server that runs can be asked of it";
        report.add(Finding::ok(Check::Store, what));
        return None;
    };
    let size = cvm_store::files(url, root).ok().map_or(0, |[(_, registry), ..]| {
        fs::metadata(registry).map_or(0, |metadata| metadata.len())
    });
    let depth = match (patient.args.full, server) {
        (false, Server::Up(_)) => Depth::Rows,
        (false, Server::Down(_) | Server::Mute(_)) if size > READ_WHOLE_BYTES_MAX => Depth::Rows,
        (false | true, _) => Depth::Whole,
    };
    let survey = match cvm_store::survey(url, root, depth, system_now()) {
        Ok(survey) => survey,
        Err(error) => {
            let cure = "name the right data directory and [store] url, or restore a backup";
            report.add(Finding::failed(Check::Store, chain_of(&error), cure));
            return None;
        }
    };
    if survey.is_old {
        let what = format!("{url} was written by an older release");
        let cure = "make a backup and start the server: it brings the store up to date";
        report.add(Finding::warning(Check::Store, what, cure));
    } else {
        report.add(Finding::ok(
            Check::Store,
            match depth {
                Depth::Rows => format!("{url} can be read; --full reads all of it"),
                Depth::Whole => format!("{url} is whole"),
            },
        ));
    }
    Some(survey)
}
