//! The configuration: faults, what has no effect, and what is allowed but unwise.

use super::report::{Finding, Report};
use crate::cli::Doctor;
use crate::config::{self, Config, ConfigError, Loaded};
use crate::data_dir::Layout;
use crate::environment;

const CHECK: &str = "configuration";

/// Reads the configuration as `serve` would.
pub(super) fn check(args: &Doctor, layout: &Layout, report: &mut Report) -> Option<Config> {
    let path = args.config.clone().unwrap_or_else(|| layout.config());
    match config::load(&path, args.config.is_some(), environment::variables()) {
        Ok(loaded) => {
            let all = Finding::ok(CHECK, format!("{} has no fault", path.display()));
            report.add_all(unwise(&loaded), all);
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

fn unwise(loaded: &Loaded) -> Vec<Finding> {
    let mut found = Vec::new();
    for note in &loaded.notes {
        found.push(Finding::warning(CHECK, note.clone(), "take it out, or leave it for later"));
    }
    for setting in &loaded.settings {
        let place = format!("[{}] {}", setting.section, setting.key);
        match (setting.key.as_str(), setting.value.as_str()) {
            ("reissue", "\"always\"") => {
                let what = format!(
                    "{place} = \"always\": who once saw a device's token gets certificates for as \
                     long as the device is registered"
                );
                let cure = "use \"same-key\", and `cvm device new-token` for a device that lost \
                            its key";
                found.push(Finding::warning(CHECK, what, cure));
            }
            ("mirror", "\"\"") if setting.section == "journal" => {
                let what = format!(
                    "{place} is empty: a restored backup would not know what was revoked since"
                );
                let cure = "name a directory on another disk or machine";
                found.push(Finding::warning(CHECK, what, cure));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn what_is_allowed_but_unwise_is_a_warning() {
        let path = std::path::Path::new("/nonexistent/cvm.toml");
        let mut loaded = config::load(path, false, std::iter::empty()).unwrap();
        assert_eq!(unwise(&loaded).len(), usize::from(has_empty_mirror(&loaded)));
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
        report.add_all(unwise(&loaded), Finding::ok(CHECK, ""));
        let text = format!("{report:?}");
        for wanted in ["[profile.line-2] reissue", "[journal] mirror", "[mqtt] listen"] {
            assert!(text.contains(wanted), "{text}");
        }
        assert_eq!((report.checks.len(), report.failed()), (3, 0));
    }

    fn has_empty_mirror(loaded: &Loaded) -> bool {
        loaded.settings.iter().any(|setting| setting.key == "mirror")
    }
}
