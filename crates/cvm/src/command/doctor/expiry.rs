//! Expiry: the CAs, our own certificate, and the one that the operator brings.

use cvm_core::error::chain_of;
use cvm_core::time::{Span, Timestamp};
use cvm_pki::{Kept, Validity, inventory, validity};

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};
use crate::config::Config;
use crate::data_dir::Layout;

const CHECK: Check = Check::Expiry;

/// How long before its end a certificate that somebody must replace is told of.
const WARN_BEFORE: Span = Span(30 * Span::DAY.0);
/// The same for CAs: whoever pins them has to be given others.
const WARN_BEFORE_CA: Span = Span(365 * Span::DAY.0);

/// From when until when the CA that signs devices holds, where it can be read.
pub(super) fn devices_ca(layout: &Layout) -> Option<Validity> {
    let [_, (_, path), ..] = inventory();
    validity(&layout.root.join(path)).ok()
}

/// Looks at every certificate of the data directory.
pub(super) fn check(patient: &Patient<'_>, server: &Server, now: Timestamp, report: &mut Report) {
    let mut wrong = Vec::new();
    let mut first = None;
    for (kept, path) in inventory() {
        let shown = path.display().to_string();
        match validity(&patient.layout.root.join(&path)) {
            Err(error) => wrong.push(unreadable(&shown, &error)),
            Ok(Validity { not_after, .. }) => {
                first =
                    first.map_or(Some(not_after), |first: Timestamp| Some(first.min(not_after)));
                let life = Life { shown: &shown, not_after, now };
                wrong.extend(match kept {
                    Kept::Server => life.of_server(server),
                    Kept::DevicesCa => life.of_devices_ca(patient.config.as_ref()),
                    Kept::Root | Kept::ServersCa | Kept::Journal => life.of_ca(WARN_BEFORE_CA),
                });
            }
        }
    }
    let brought = patient.config.as_ref().and_then(|config| config.http.brought.as_ref());
    if let Some((certificate, _)) = brought {
        match validity(&patient.file(certificate)) {
            Err(error) => wrong.push(unreadable(certificate, &error)),
            Ok(Validity { not_after, .. }) => {
                wrong.extend(Life { shown: certificate, not_after, now }.of_brought());
            }
        }
    }
    let first = first.map_or_else(String::new, |first| format!(", the first on {first}"));
    report.add_all(wrong, Finding::ok(CHECK, format!("no certificate ends soon{first}")));
}

fn unreadable(shown: &str, error: &cvm_pki::PkiError) -> Finding {
    let cure = "restore it from a backup of the data directory";
    Finding::failed(CHECK, format!("{shown}: {}", chain_of(error)), cure)
}

/// What is left of one certificate.
struct Life<'a> {
    shown: &'a str,
    not_after: Timestamp,
    now: Timestamp,
}

impl Life<'_> {
    fn left(&self) -> Span {
        self.not_after.since(self.now)
    }

    /// "ended at" or "ends at".
    fn told(&self) -> String {
        let verb = if self.left().0 < 0 { "ended" } else { "ends" };
        format!("{} {verb} at {}", self.shown, self.not_after)
    }

    fn of_ca(&self, warn_before: Span) -> Option<Finding> {
        let cure = "make another data directory with `cvm init` and move the devices there: this \
                    version does not replace a CA";
        if self.left().0 < 0 {
            return Some(Finding::failed(CHECK, self.told(), cure));
        }
        (self.left() < warn_before).then(|| Finding::warning(CHECK, self.told(), cure))
    }

    /// No certificate outlives its CA: near the end they become shorter.
    fn of_devices_ca(&self, config: Option<&Config>) -> Option<Finding> {
        let longest = config.map(|config| {
            let profiles = &config.profiles;
            let named = profiles.named.values().map(|profile| profile.lifetime);
            named.fold(profiles.default.lifetime, Span::max)
        });
        self.of_ca(longest.unwrap_or(WARN_BEFORE_CA).max(WARN_BEFORE_CA))
    }

    /// Ours, which a server renews by itself while it runs, and when it starts.
    fn of_server(&self, server: &Server) -> Option<Finding> {
        let is_running = match server {
            Server::Down(_) => false,
            Server::Mute(_) | Server::Up(_) => true,
        };
        let cure = "look at the server's log for why it was not renewed, and at its clock";
        let is_wrong = is_running && self.left().0 < 0;
        is_wrong.then(|| Finding::failed(CHECK, self.told(), cure))
    }

    /// One that the operator brings is theirs to renew.
    fn of_brought(&self) -> Option<Finding> {
        let cure = "put a new one in its place and start the server again";
        if self.left().0 < 0 {
            return Some(Finding::failed(CHECK, self.told(), cure));
        }
        (self.left() < WARN_BEFORE).then(|| Finding::warning(CHECK, self.told(), cure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(finding: Option<Finding>) -> String {
        let mut report = Report::default();
        finding.into_iter().for_each(|finding| report.add(finding));
        report.checks.iter().map(|finding| format!("{finding:?}")).collect()
    }

    #[test]
    fn an_end_is_told_before_it_comes_and_after() {
        let not_after = Timestamp(1_000 * Span::DAY.0);
        let left = |seconds: i64| Life {
            shown: "x.pem",
            not_after,
            now: Timestamp(not_after.0 - seconds),
        };
        let day = Span::DAY.0;
        assert_eq!(words(left(365 * day).of_ca(WARN_BEFORE_CA)), "");
        assert!(words(left(365 * day - 1).of_ca(WARN_BEFORE_CA)).contains("Warning"));
        assert!(words(left(0).of_ca(WARN_BEFORE_CA)).contains("x.pem ends at"));
        assert!(words(left(-1).of_ca(WARN_BEFORE_CA)).contains("Failed"));
        assert_eq!(words(left(30 * day).of_brought()), "");
        assert!(words(left(30 * day - 1).of_brought()).contains("Warning"));
        assert!(words(left(-1).of_brought()).contains("x.pem ended at"));
        let (down, mute) = (
            Server::Down(String::new()),
            Server::Mute(crate::failure::Failure::new(crate::failure::Exit::Failed, "")),
        );
        assert_eq!(words(left(-1).of_server(&down)), "", "it is renewed at the start");
        assert!(words(left(-1).of_server(&mute)).contains("Failed"));
        assert_eq!(words(left(1).of_server(&mute)), "");
    }
}
