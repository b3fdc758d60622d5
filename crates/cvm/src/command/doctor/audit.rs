//! `cvm doctor --keys`: the keys of all certificates in the store, each by itself and against each
//! other. Reads the store alone, beside a server or without one.

use std::collections::BTreeMap;

use cvm_core::error::chain_of;
use cvm_core::id::CertificateId;
use cvm_pki::{Judged, KeyAudit};
use cvm_store::{KeyRow, OpenError};

use super::Patient;
use super::check::Check;
use super::report::{Finding, Report};
use crate::output;

/// So many are told one by one; more are counted.
const TOLD_MAX: usize = 100;
/// Certificates between two lines of progress.
const PROGRESS_EVERY: u64 = 100_000;

/// Whose key it is.
#[derive(Clone, Debug)]
struct Holder {
    serial_number: String,
    id: CertificateId,
    is_live: bool,
}

#[derive(Default)]
struct Scan {
    audit: KeyAudit,
    certificates: u64,
    weak: Vec<(Holder, String)>,
    /// Who has the modulus at this place.
    rsa: BTreeMap<usize, Vec<Holder>>,
}

/// Judges every key.
pub(super) fn check(patient: &Patient<'_>, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    let root = &patient.layout.root;
    let Some(url) = config.sqlite_url() else { return nothing(report) };
    let failed = |error: &OpenError| {
        let cure = "name the right data directory and [store] url, or restore a backup";
        Finding::failed(Check::WeakKeys, chain_of(error), cure)
    };
    let mut scan = Scan::default();
    if let Err(error) = cvm_store::keys_each(url, root, &mut |row, most| scan.take(row, most)) {
        return report.add(failed(&error));
    }
    let all = format!("of {} certificates, no key was made badly", scan.certificates);
    report.add_all(scan.weak(), Finding::ok(Check::WeakKeys, all));
    match cvm_store::keys_shared(url, root) {
        Ok(rows) => {
            let all = Finding::ok(Check::SharedKeys, "no two devices have one key");
            report.add_all(shared(rows), all);
        }
        Err(error) => report.add(failed(&error)),
    }
    let all = format!("no two of {} RSA moduli share a factor", scan.audit.moduli());
    report.add_all(scan.common(), Finding::ok(Check::CommonFactors, all));
}

/// Where there is no store to read.
pub(super) fn nothing(report: &mut Report) {
    let what = "there is no data directory here, and keys are read from the store itself";
    let cure = "run it beside the server's data directory, or with --data-dir on a copy of it";
    report.add(Finding::failed(Check::WeakKeys, what, cure));
}

impl Scan {
    fn take(&mut self, row: KeyRow, most: u64) {
        self.certificates += 1;
        if self.certificates.is_multiple_of(PROGRESS_EVERY) {
            output::note(format!("keys: {} of at most {most}", self.certificates));
        }
        let judged = self.audit.take(&row.der);
        let holder = Holder::from(row);
        match judged {
            Ok(Judged::Good) => {}
            Ok(Judged::Rsa(place)) => self.rsa.entry(place).or_default().push(holder),
            Ok(Judged::Weak(why)) => self.weak.push((holder, why)),
            Err(error) => self.weak.push((holder, chain_of(&error))),
        }
    }

    fn weak(&self) -> Vec<Finding> {
        let finding = |(holder, why): &(Holder, String)| {
            holder.finding(Check::WeakKeys, format!("{}: {why}", holder.told()))
        };
        bounded(Check::WeakKeys, self.weak.iter().map(finding))
    }

    fn common(&self) -> Vec<Finding> {
        let mut step = |done: usize, of: usize| {
            if of > 2 {
                output::note(format!("common factors: {done} of {of} parts"));
            }
        };
        let mut found = Vec::new();
        for common in self.audit.common_factors(&mut step) {
            let others = common.with.iter().filter_map(|place| self.rsa.get(place)?.first());
            let others: Vec<String> = others.take(3).map(Holder::told).collect();
            let others = if others.is_empty() { String::from("others") } else { others.join(", ") };
            for holder in self.rsa.get(&common.index).into_iter().flatten() {
                let what = format!(
                    "{} shares a factor of its RSA modulus with {others}: anybody who has both \
                     certificates computes both private keys",
                    holder.told()
                );
                found.push(holder.finding(Check::CommonFactors, what));
            }
        }
        bounded(Check::CommonFactors, found.into_iter())
    }
}

fn shared(rows: Vec<KeyRow>) -> Vec<Finding> {
    let finding = |row: KeyRow| {
        let key = cvm_core::id::hex(&row.key.0);
        let holder = Holder::from(row);
        let what = format!("{} has a key that another device has too: {key}", holder.told());
        let cure = "find out why, mostly an image with a key in it; then `cvm certificate revoke \
                    ID --reason keyCompromise` and `cvm device new-token SERIAL` for each";
        Finding::failed(Check::SharedKeys, what, cure)
    };
    bounded(Check::SharedKeys, rows.into_iter().map(finding))
}

/// The first of them, and how many more there are.
fn bounded(check: Check, findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = findings.collect();
    let more = all.len().saturating_sub(TOLD_MAX);
    all.truncate(TOLD_MAX);
    if more > 0 {
        let what = format!("and {more} more");
        all.push(Finding::failed(check, what, "mend those above first, and look again"));
    }
    all
}

impl From<KeyRow> for Holder {
    fn from(row: KeyRow) -> Self {
        Self { serial_number: row.serial_number, id: row.id, is_live: row.is_live }
    }
}

impl Holder {
    fn told(&self) -> String {
        format!("{} (certificate {})", self.serial_number, self.id)
    }

    /// A certificate that ended does no harm by itself any more.
    fn finding(&self, check: Check, what: String) -> Finding {
        let (id, serial) = (self.id, &self.serial_number);
        match self.is_live {
            true => {
                let cure = format!(
                    "cvm certificate revoke {id} --reason keyCompromise; cvm device new-token \
                     {serial}; and find out what made its key"
                );
                Finding::failed(check, what, cure)
            }
            false => {
                let cure = "it has ended; see that nothing of that time is still trusted";
                Finding::warning(check, what, cure)
            }
        }
    }
}
