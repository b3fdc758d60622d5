//! Items: their attributes by name, and what their key is. What has the wrong type was not written
//! by us: the item cannot be read, and it is said which.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::failure::Failure;
use super::key::{Key, PK, SK};

/// The attributes of an item as the SDK has them.
pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// The attributes of the item at `key`, from names and values.
pub(super) fn attributes<const N: usize>(
    key: &Key,
    pairs: [(&str, AttributeValue); N],
) -> Attributes {
    let mut all = key.attributes();
    all.extend(pairs.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// An item as it was read.
#[derive(Clone, Debug)]
pub(super) struct Item(pub(super) Attributes);

impl Item {
    pub(super) fn key(&self) -> Result<Key, Failure> {
        Ok(Key { pk: self.text(PK)?.to_owned(), sk: self.text(SK)?.to_owned() })
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.text_if(name)?.ok_or_else(|| self.wrong(name))
    }

    pub(super) fn text_if(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_s().map(|text| Some(text.as_str())).map_err(|_| self.wrong(name))
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.number_if(name)?.ok_or_else(|| self.wrong(name))
    }

    pub(super) fn number_if<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let digits = value.as_n().map_err(|_| self.wrong(name))?;
        digits.parse().map(Some).map_err(|_| self.wrong(name))
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&[u8], Failure> {
        let blob = self.0.get(name).and_then(|value| value.as_b().ok());
        blob.map(AsRef::as_ref).ok_or_else(|| self.wrong(name))
    }

    pub(super) fn digest<const N: usize>(&self, name: &str) -> Result<[u8; N], Failure> {
        self.bytes(name)?.try_into().map_err(|_| self.wrong(name))
    }

    /// An identifier that was parsed before it was stored.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.text(name)?.parse().map_err(|_| self.wrong(name))
    }

    /// As [`Self::id`], where it may be missing.
    pub(super) fn id_if<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let text = self.text_if(name)?;
        text.map(|text| text.parse().map_err(|_| self.wrong(name))).transpose()
    }

    /// One of a short list of names, as its stored form has it.
    pub(super) fn named<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, Failure> {
        self.named_if(name)?.ok_or_else(|| self.wrong(name))
    }

    /// As [`Self::named`], where it may be missing.
    pub(super) fn named_if<T>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        T: for<'de> Deserialize<'de>,
    {
        let Some(text) = self.text_if(name)? else { return Ok(None) };
        let from = StrDeserializer::<ValueError>::new(text);
        T::deserialize(from).map(Some).map_err(|_| self.wrong(name))
    }

    /// That the attribute is not what it was written as.
    pub(super) fn wrong(&self, name: &str) -> Failure {
        self.unreadable(format_args!("has no `{name}` that this release can read"))
    }

    pub(super) fn unreadable(&self, why: impl Display) -> Failure {
        let part = |name| self.0.get(name).and_then(|value| value.as_s().ok());
        let (pk, sk) = (part(PK), part(SK));
        let or_none = |part: Option<&String>| part.map_or_else(|| String::from("?"), Clone::clone);
        Failure::Corrupt(format!("item {} / {} {why}", or_none(pk), or_none(sk)))
    }
}
