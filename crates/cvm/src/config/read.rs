//! Reading settings one by one: each knows its key, its value, where that came from, and what is
//! wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use toml::{Table, Value};

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `[section] key`, or where in the file.
    pub(crate) place: String,
    /// What is wrong and what to write instead.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// An environment variable.
    Environment(String),
    /// The file.
    File,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "${name}"),
            Self::File => f.write_str("file"),
        }
    }
}

/// A value in force.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Its section.
    pub(crate) section: String,
    /// Its key.
    pub(crate) key: String,
    /// Its value in TOML's syntax.
    pub(crate) value: String,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// A whole configuration while it is read.
pub(crate) struct Reader {
    given: BTreeMap<(String, String), (Value, Origin)>,
    profiles: Vec<Table>,
    notifies: Vec<Table>,
    asked: BTreeSet<(String, String)>,
    settings: Vec<Setting>,
    notes: Vec<String>,
    faults: Vec<Fault>,
}

impl Reader {
    /// Takes up `text` and the environment's `CVM_SECTION__KEY`.
    pub(crate) fn new(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let table: Table =
            toml::from_str(text).map_err(|error| vec![syntax_fault(text, &error)])?;
        let mut reader = Self {
            given: BTreeMap::new(),
            profiles: Vec::new(),
            notifies: Vec::new(),
            asked: BTreeSet::new(),
            settings: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
        };
        for (section, value) in table {
            reader.take_section(section, value);
        }
        for (name, text) in variables {
            if let Some((section, key)) = variable_key(&name) {
                let value = value_of(&text);
                reader.given.insert((section, key), (value, Origin::Environment(name)));
            }
        }
        Ok(reader)
    }

    fn take_section(&mut self, section: String, value: Value) {
        match value {
            Value::Table(keys) => {
                for (key, value) in keys {
                    self.given.insert((section.clone(), key), (value, Origin::File));
                }
            }
            Value::Array(all) if section == "profile" && all.iter().all(Value::is_table) => {
                self.profiles = tables_of(all);
            }
            Value::Array(all) if section == "notify" && all.iter().all(Value::is_table) => {
                self.notifies = tables_of(all);
            }
            Value::Array(_) if section == "verifier" => {
                self.notes.push(format!("[[{section}]] has no effect in this version"));
            }
            Value::Array(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Float(_)
            | Value::Integer(_)
            | Value::String(_) => {
                let what =
                    format!("a key outside a section: write it below [{section}] or another");
                self.faults.push(Fault { place: section, what });
            }
        }
    }

    /// The text at `[section] key`, or `default`, as `T` reads it.
    pub(crate) fn text<T: FromStr<Err: fmt::Display>>(
        &mut self,
        section: &str,
        key: &str,
        default: &str,
    ) -> Option<T> {
        self.value(section, key, Value::String(default.to_owned()), |value| {
            let text = value.as_str().ok_or("expected a text in quotes")?;
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    /// The truth at `[section] key`, or `default`.
    pub(crate) fn truth(&mut self, section: &str, key: &str, default: bool) -> Option<bool> {
        self.value(section, key, Value::Boolean(default), |value| {
            value.as_bool().ok_or_else(|| String::from("expected true or false"))
        })
    }

    /// The list of texts at `[section] key`, or `default`, each as `T` reads it.
    pub(crate) fn list<T: FromStr<Err: fmt::Display>>(
        &mut self,
        section: &str,
        key: &str,
        default: &[&str],
    ) -> Option<Vec<T>> {
        let default = default.iter().map(|text| Value::String((*text).to_owned())).collect();
        self.value(section, key, Value::Array(default), |value| {
            const WANTED: &str = "expected a list of texts, such as [\"a\", \"b\"]";
            let items = value.as_array().ok_or(WANTED)?;
            let parse = |item: &Value| {
                let text = item.as_str().ok_or(WANTED)?;
                text.parse().map_err(|error: T::Err| format!("{text:?}: {error}"))
            };
            items.iter().map(parse).collect()
        })
    }

    /// The whole number at `[section] key`, or `default`; from `least` to `most`.
    pub(crate) fn number(
        &mut self,
        section: &str,
        key: &str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        self.value(section, key, Value::Integer(i64::from(default)), |value| {
            let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                format!("expected a whole number from {} to {}", range.start(), range.end())
            })
        })
    }

    fn value<T>(
        &mut self,
        section: &str,
        key: &str,
        default: Value,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let place = (section.to_owned(), key.to_owned());
        let (value, origin) = self.given.get(&place).cloned().unwrap_or((default, Origin::Default));
        self.asked.insert(place);
        let result = read(&value);
        self.settings.push(Setting {
            section: section.to_owned(),
            key: key.to_owned(),
            value: value.to_string(),
            origin,
        });
        result.map_err(|what| self.fault(section, key, what)).ok()
    }

    /// Takes note of a key that a later version reads: it may stand there and has no effect.
    pub(crate) fn later(&mut self, section: &str, keys: &[&str]) {
        self.without_effect(section, keys, "in this version");
    }

    /// Takes note of a key that may stand there and has no effect, and says when that is.
    pub(crate) fn without_effect(&mut self, section: &str, keys: &[&str], when: &str) {
        for key in keys {
            let place = (section.to_owned(), (*key).to_owned());
            if self.given.contains_key(&place) {
                self.notes.push(format!("[{section}] {key} has no effect {when}"));
                self.asked.insert(place);
            }
        }
    }

    /// Makes each `[[profile]]` readable as the section `profile.NAME`, where what it leaves out
    /// is as `[issuance]` says, and returns the names.
    pub(crate) fn take_profiles(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for mut table in std::mem::take(&mut self.profiles) {
            let Some(Value::String(name)) = table.remove("name") else {
                let what = String::from("each [[profile]] has a name = \"…\"");
                self.faults.push(Fault { place: String::from("[[profile]]"), what });
                continue;
            };
            let section = format!("profile.{name}");
            if name == "default" || names.contains(&name) {
                let what = String::from("this name is taken; [issuance] is called default");
                self.faults.push(Fault { place: format!("[[profile]] {name}"), what });
                continue;
            }
            for (key, value) in table {
                self.given.insert((section.clone(), key), (value, Origin::File));
            }
            names.push(name);
        }
        names
    }

    /// Makes each `[[notify]]` readable as the section `notify.NUMBER`, in their order from 1 on,
    /// and returns these.
    pub(crate) fn take_notifies(&mut self) -> Vec<String> {
        let mut sections = Vec::new();
        for (number, table) in (1..).zip(std::mem::take(&mut self.notifies)) {
            let section = format!("notify.{number}");
            for (key, value) in table {
                self.given.insert((section.clone(), key), (value, Origin::File));
            }
            sections.push(section);
        }
        sections
    }

    /// Lets `[section] key` be what `[from] key` is, and come from there, where nobody said
    /// otherwise.
    pub(crate) fn inherit(&mut self, section: &str, key: &str, from: &str) {
        let given = self.given.get(&(from.to_owned(), key.to_owned())).cloned();
        if let Some(given) = given {
            self.given.entry((section.to_owned(), key.to_owned())).or_insert(given);
        }
    }

    /// Adds a fault.
    pub(crate) fn fault(&mut self, section: &str, key: &str, what: String) {
        // Who is to be mended stands first: the variable, where one overrides the file.
        let place = match self.given.get(&(section.to_owned(), key.to_owned())) {
            Some((_, Origin::Environment(name))) => format!("${name}"),
            Some((_, Origin::Default | Origin::File)) | None => format!("[{section}] {key}"),
        };
        self.faults.push(Fault { place, what });
    }

    /// Whether what was read so far is right.
    pub(crate) fn judged(self) -> Result<(), Vec<Fault>> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }

    /// Everything that was read, unless something is wrong.
    pub(crate) fn finish(mut self) -> Result<(Vec<Setting>, Vec<String>), Vec<Fault>> {
        let unknown: Vec<_> =
            self.given.keys().filter(|place| !self.asked.contains(*place)).cloned().collect();
        for (section, key) in unknown {
            let origin = self.given.get(&(section.clone(), key.clone())).map(|(_, o)| o.clone());
            let known: Vec<&str> = self
                .asked
                .iter()
                .filter(|(of, _)| *of == section)
                .map(|(_, key)| key.as_str())
                .collect();
            let what = match (origin, known.is_empty()) {
                (Some(Origin::Environment(_)), _) => {
                    String::from("it names no key of the configuration")
                }
                (_, true) => String::from("there is no such section"),
                (_, false) => format!("unknown key; [{section}] has {}", known.join(", ")),
            };
            self.fault(&section, &key, what);
        }
        if self.faults.is_empty() { Ok((self.settings, self.notes)) } else { Err(self.faults) }
    }
}

fn tables_of(values: Vec<Value>) -> Vec<Table> {
    values.into_iter().filter_map(|value| value.try_into().ok()).collect()
}

/// The section and key that `CVM_SECTION__KEY` overrides.
fn variable_key(name: &str) -> Option<(String, String)> {
    let (section, key) = name.strip_prefix("CVM_")?.split_once("__")?;
    Some((section.to_ascii_lowercase(), key.to_ascii_lowercase()))
}

/// A value in TOML's syntax; a bare word is a text.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    let value = parsed.ok().filter(|table| table.len() == 1);
    value
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Fault {
    let offset = error.span().map_or(0, |span| span.start);
    let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
    Fault { place: format!("line {line}"), what: error.message().to_owned() }
}
