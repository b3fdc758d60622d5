//! What tidy reads from deny.toml, so that it and cargo-deny keep one truth.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use toml::Value;

use super::tree::Tree;

pub(super) struct DenyFile {
    /// The platforms we build for; crates for others are not in the graph.
    pub(super) targets: Vec<String>,
    /// SPDX licences that need no further thought.
    pub(super) licences: BTreeSet<String>,
    pub(super) bans: Vec<Ban>,
}

/// A crate that may not be used, or by its wrappers alone.
pub(super) struct Ban {
    pub(super) name: String,
    pub(super) wrappers: Vec<String>,
    pub(super) reason: String,
}

impl DenyFile {
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        let text = tree.get("deny.toml").context("there is no deny.toml")?;
        Self::parse(text).context("reading deny.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Value = text.parse::<toml::Table>()?.into();
        let bans = array(&table, "bans", "deny")?;
        Ok(Self {
            targets: strings(array(&table, "graph", "targets")?)?,
            licences: strings(array(&table, "licenses", "allow")?)?.into_iter().collect(),
            bans: bans.iter().map(Ban::parse).collect::<Result<_>>()?,
        })
    }
}

impl Ban {
    fn parse(entry: &Value) -> Result<Self> {
        let text = |key: &str| {
            let value = entry.get(key).and_then(Value::as_str);
            value.with_context(|| format!("[bans] deny: `{entry}` has no `{key}`"))
        };
        let wrappers = match entry.get("wrappers") {
            Some(list) => strings(list.as_array().context("`wrappers` is not a list")?)?,
            None => Vec::new(),
        };
        Ok(Self { name: text("crate")?.to_owned(), wrappers, reason: text("reason")?.to_owned() })
    }
}

fn array<'a>(table: &'a Value, section: &str, key: &str) -> Result<&'a [Value]> {
    let value = table.get(section).and_then(|section| section.get(key));
    let list = value.and_then(Value::as_array);
    Ok(list.with_context(|| format!("[{section}] has no list `{key}`"))?)
}

fn strings(list: &[Value]) -> Result<Vec<String>> {
    let text = |value: &Value| value.as_str().map(String::from);
    list.iter().map(text).collect::<Option<_>>().context("a list holds more than strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_carry_their_wrappers_and_reason() {
        let file = DenyFile::parse(
            r#"
            graph.targets = ["x86_64-unknown-linux-gnu"]
            licenses.allow = ["MIT", "ISC"]
            bans.deny = [
                { crate = "ring", reason = "one provider" },
                { crate = "rcgen", wrappers = ["cvm-pki"], reason = "a wall" },
            ]
            "#,
        )
        .unwrap();
        assert_eq!(file.targets, ["x86_64-unknown-linux-gnu"]);
        assert!(file.licences.contains("ISC"));
        assert_eq!(file.bans[0].wrappers, Vec::<String>::new());
        assert_eq!(file.bans[1].wrappers, ["cvm-pki"]);
        assert_eq!(file.bans[1].reason, "a wall");
    }

    #[test]
    fn a_ban_without_a_reason_is_refused() {
        let entry = r#"crate = "ring""#.parse::<toml::Table>().unwrap();
        assert!(Ban::parse(&entry.into()).is_err());
    }
}
