//! JSON bodies in: read strictly, and refused in our own words.
//!
//! serde's messages repeat what was sent, which may be a token; only the place of a mistake and the
//! names of our own fields are told.

use std::collections::HashSet;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::error::Category;

use crate::problem::Refused;

/// The value that `bytes` are the JSON of; unknown fields are ignored, doubled ones are not.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    check(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| refused(&error))
}

/// The same where a request without a body is as good as one with an empty object.
pub(crate) fn parse_or_default<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Refused> {
    if bytes.is_empty() { Ok(T::default()) } else { parse(bytes) }
}

/// That `bytes` are one JSON value, in which no object has two fields of one name.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Refused> {
    match serde_json::from_slice::<Unique>(bytes) {
        Ok(Unique) => Ok(()),
        Err(error) if error.is_data() => {
            let (line, column) = (error.line(), error.column());
            let detail = format!("a field is there twice: line {line}, column {column}");
            Err(Refused::invalid(detail))
        }
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &serde_json::Error) -> Refused {
    let what = match error.classify() {
        Category::Data => match missing_field(error) {
            Some(name) => format!("`{name}` is missing"),
            None => String::from("a field has a value of the wrong type"),
        },
        Category::Eof => String::from("the JSON ends too early"),
        Category::Io | Category::Syntax => String::from("the body is not JSON (RFC 8259)"),
    };
    let (line, column) = (error.line(), error.column());
    Refused::invalid(format!("{what}: line {line}, column {column}"))
}

/// The field that serde misses: a name from our own structs, never from the input.
fn missing_field(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let (name, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    Some(name.to_owned())
}

/// Any JSON value without doubled fields; keeps nothing of it.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("doubled"));
            }
            let Unique = fields.next_value()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests;
