//! `cvm config check|show`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::config::{ConfigError, Loaded, Setting, StorePlace, WebhookUrl};
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::{environment, output};

/// Reads the configuration as `serve` would.
pub(crate) fn load(file: Option<&Path>, layout: &Layout) -> Result<Loaded, Failure> {
    let path: PathBuf = file.map_or_else(|| layout.config(), Path::to_owned);
    crate::config::load(&path, file.is_some(), environment::variables())
        .map_err(|error| failure(&path, &error))
}

/// Where the registry is by the environment alone, as `serve` would find it without a file.
pub(crate) fn store_said() -> Result<StorePlace, Failure> {
    crate::config::store_said(environment::variables())
        .map_err(|faults| failure(Path::new("the environment"), &ConfigError::Faults(faults)))
}

/// The failure of a configuration that cannot be run with.
pub(crate) fn failure(path: &Path, error: &ConfigError) -> Failure {
    let what = match error {
        ConfigError::File { path, source } => format!("reading {}: {source}", path.display()),
        ConfigError::Faults(faults) => {
            let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
            let (path, count) = (path.display(), faults.len());
            format!("the configuration ({path}) has {count} fault(s)\n{}", lines.join("\n"))
        }
    };
    Failure::new(Exit::Configuration, what)
}

/// A directory that is mistyped has no faults either.
fn note_missing(args: &ConfigArgs) {
    let path = Layout::new(&args.data.data_dir).config();
    if args.config.is_none() && !path.exists() {
        output::note(format!("note: {} does not exist: these are the defaults", path.display()));
    }
}

/// Names every fault, or says that there is none.
pub(crate) fn check(args: &ConfigArgs) -> Done {
    note_missing(args);
    let loaded = load(args.config.as_deref(), &Layout::new(&args.data.data_dir))?;
    for note in &loaded.notes {
        output::note(format!("note: {note}"));
    }
    let result = json!({"faults": [], "notes": loaded.notes});
    output::result(args.output.output, &result, |_, text| text.line("The configuration is good."))
}

/// Prints what is in force, and where each value came from.
pub(crate) fn show(args: &ConfigArgs) -> Done {
    note_missing(args);
    let loaded = load(args.config.as_deref(), &Layout::new(&args.data.data_dir))?;
    let settings: Vec<_> = loaded
        .settings
        .iter()
        .map(|setting| {
            json!({
                "section": setting.section,
                "key": setting.key,
                "value": json_of(&shown(setting)),
                "origin": setting.origin.to_string(),
            })
        })
        .collect();
    output::result(args.output.output, &json!({"settings": settings}), |_, text| {
        let mut section = "";
        for setting in &loaded.settings {
            if setting.section != section {
                section = &setting.section;
                text.line(format!("[{section}]"));
            }
            let assignment = format!("{} = {}", setting.key, shown(setting));
            text.line(format!("{assignment:<48} # {}", setting.origin));
        }
    })
}

/// The JSON of a value in TOML's syntax.
fn json_of(value: &str) -> Value {
    let table = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let value = table.ok().and_then(|mut table| table.remove("value"));
    serde_json::to_value(value).unwrap_or_default()
}

/// A value without the secrets that it may carry.
fn shown(setting: &Setting) -> String {
    match setting.section.starts_with("notify.") && setting.key == "url" {
        true => without_path(&setting.value),
        false => without_password(&setting.value),
    }
}

/// The host of a webhook's URL: the rest may be what lets in who knows it.
fn without_path(value: &str) -> String {
    let text = json_of(value).as_str().unwrap_or_default().to_owned();
    let url = text.parse::<WebhookUrl>();
    format!("{:?}", url.map_or_else(|_| String::new(), |url| url.to_string()))
}

/// A URL without the password that is in it.
fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    match rest.split_once('@') {
        Some((user, host)) if !user.contains('/') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:redacted@{host}")
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhooks_url_only_the_host_is_shown() {
        let cases = [
            ("\"https://hooks.example/T0/B1\"", "\"https://hooks.example/redacted\""),
            ("'https://h:1/?sig=x'", "\"https://h:1/redacted\""),
            ("\"http://127.0.0.1:9000\"", "\"http://127.0.0.1:9000\""),
        ];
        for (value, wanted) in cases {
            assert_eq!(without_path(value), wanted);
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(
            without_password("\"postgres://a:b@host/db\""),
            "\"postgres://a:redacted@host/db\""
        );
        assert_eq!(without_password("\"https://host/@x\""), "\"https://host/@x\"");
        assert_eq!(without_password("\"sqlite:cvm.db\""), "\"sqlite:cvm.db\"");
    }
}
