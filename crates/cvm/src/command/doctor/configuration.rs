//! The configuration: faults, what has no effect, and what is allowed but unwise.

use cvm_store::Synchronous;

use super::check::Check;
use super::report::{Finding, Report};
use crate::cli::Doctor;
use crate::config::{self, Config, ConfigError, Loaded, Setting};
use crate::data_dir::Layout;
use crate::environment;

const CHECK: Check = Check::Configuration;

/// Reads the configuration as `serve` would.
pub(super) fn check(args: &Doctor, layout: &Layout, report: &mut Report) -> Option<Config> {
    let path = args.config.clone().unwrap_or_else(|| layout.config());
    match config::load(&path, args.config.is_some(), environment::variables()) {
        Ok(loaded) => {
            let all = Finding::ok(CHECK, format!("{} has no fault", path.display()));
            report.add_all(without_effect(&loaded), all);
            report.add_all(always(&loaded), Finding::ok(Check::Reissue, "every token is used up"));
            let synced = Finding::ok(Check::Durability, "what is acknowledged is on the disk");
            report.add_all(Vec::from_iter(loaded.config.sqlite_url().and_then(unsynced)), synced);
            Some(loaded.config)
        }
        Err(ConfigError::File { path, source }) => {
            let what = format!("reading {}: {source}", path.display());
            report.add(Finding::failed(CHECK, what, "name the right file with --config"));
            None
        }
        Err(ConfigError::Faults(faults)) => {
            for fault in faults {
                let cure = format!("mend it in {}; `cvm config check` tells more", path.display());
                report.add(Finding::failed(CHECK, fault.to_string(), cure));
            }
            None
        }
    }
}

/// A store from which a power cut takes certificates that devices hold.
fn unsynced(url: &str) -> Option<Finding> {
    let is_unsynced = cvm_store::synchronous(url).is_ok_and(|it| it == Synchronous::Off);
    let what =
        format!("[store] url = \"{url}\" is never synced: a power cut takes what devices hold");
    let cure = "take `?synchronous=off` away: it is for rehearsals only";
    is_unsynced.then(|| Finding::failed(Check::Durability, what, cure))
}

fn without_effect(loaded: &Loaded) -> Vec<Finding> {
    let note =
        |note: &String| Finding::warning(CHECK, note.clone(), "take it out, or leave it for later");
    let mut found: Vec<Finding> = loaded.notes.iter().map(note).collect();
    let mirrors = loaded.settings.iter().filter(|it| it.section == "journal" && it.key == "mirror");
    for _ in mirrors.filter(|it| it.value == "\"\"") {
        let what = "[journal] mirror is empty: a restored backup would not know what was revoked \
                    since";
        let cure = "name a directory on another disk or machine";
        found.push(Finding::warning(CHECK, what, cure));
    }
    found
}

/// Tokens under which certificates are had for ever.
fn always(loaded: &Loaded) -> Vec<Finding> {
    let settings =
        loaded.settings.iter().filter(|it| it.key == "reissue" && it.value == "\"always\"");
    let finding = |setting: &Setting| {
        let what = format!(
            "[{}] reissue = \"always\": who once saw a device's token gets certificates for as \
             long as the device is registered",
            setting.section
        );
        let cure = "use \"same-key\", and `cvm device new-token` for a device that lost its key";
        Finding::warning(Check::Reissue, what, cure)
    };
    settings.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_but_unwise_is_a_warning() {
        let path = std::path::Path::new("/nonexistent/cvm.toml");
        let mut loaded = config::load(path, false, std::iter::empty()).unwrap();
        assert_eq!(without_effect(&loaded).len() + always(&loaded).len(), 0);
        let template = loaded.settings.first().unwrap().clone();
        let setting = |section: &str, key: &str, value: &str| Setting {
            section: section.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            ..template.clone()
        };
        loaded.settings = vec![
            setting("issuance", "reissue", "\"same-key\""),
            setting("profile.line-2", "reissue", "\"always\""),
            setting("journal", "mirror", "\"\""),
            setting("http", "certificate", "\"\""),
        ];
        loaded.notes = vec![String::from("[mqtt] listen has no effect in this version")];
        let mut report = Report::default();
        report.add_all(without_effect(&loaded), Finding::ok(CHECK, ""));
        report.add_all(always(&loaded), Finding::ok(Check::Reissue, ""));
        let text = format!("{report:?}");
        for wanted in ["[profile.line-2] reissue", "[journal] mirror", "[mqtt] listen"] {
            assert!(text.contains(wanted), "{text}");
        }
        assert_eq!((report.checks.len(), report.failed()), (3, 0));
    }
}
