//! A vault in one document, for a home whose storage is far away: read whole before the vault is
//! opened, written whole after it was filled, so that making one is one conditional write.
//!
//! The root's key stands apart from it ([`Bundle::root_key`]), sealed under the bundle's master
//! key: what serves reads the bundle, and only what makes CAs needs both.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::VaultError;
use super::storage::{Item, VaultStorage};
use crate::pki::entry::ROOT_KEY;

const VERSION: u32 = 1;
/// What one bundle may have: a dozen keys and certificates take 20 KiB.
pub(super) const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// A vault's items in memory; nothing is durable until somebody stored [`Bundle::to_json`].
#[derive(Debug)]
pub struct Bundle {
    /// Where the document lies, for messages.
    place: String,
    items: RwLock<BTreeMap<Slot, Zeroizing<Vec<u8>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Certificate(String),
    ClearKey,
    Entry(String),
    Header,
}

impl From<Item<'_>> for Slot {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Certificate(name) => Self::Certificate(name.to_owned()),
            Item::ClearKey => Self::ClearKey,
            Item::Entry(name) => Self::Entry(name.to_owned()),
            Item::Header => Self::Header,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    vault: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    master_key: Option<Zeroizing<String>>,
    certificates: BTreeMap<String, String>,
    entries: BTreeMap<String, String>,
}

impl Bundle {
    /// An empty one, to be filled; `place` is where it will lie.
    #[must_use]
    pub fn new(place: &str) -> Self {
        Self { place: place.to_owned(), items: RwLock::default() }
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`VaultError::Header`] where it is no bundle that this version reads.
    pub fn read(place: &str, json: &[u8]) -> Result<Self, VaultError> {
        let failed = |problem: String| VaultError::Header { path: place.into(), problem };
        if json.len() > DOCUMENT_BYTES_MAX {
            return Err(failed(format!("it has more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| failed(error.to_string()))?;
        if document.version != VERSION {
            return Err(failed(format!("its version is {}, not {VERSION}", document.version)));
        }
        let decode = |name: &str, text: &str| {
            let decoded = STANDARD.decode(text).map(Zeroizing::new);
            decoded.map_err(|_| failed(format!("`{name}` is not base64")))
        };
        let mut items = BTreeMap::new();
        let header = Zeroizing::new(document.vault.to_string().into_bytes());
        items.insert(Slot::Header, header);
        if let Some(text) = &document.master_key {
            items.insert(Slot::ClearKey, decode("masterKey", text)?);
        }
        for (name, text) in &document.entries {
            items.insert(Slot::Entry(name.clone()), decode(name, text)?);
        }
        for (name, pem) in document.certificates {
            items.insert(Slot::Certificate(name), Zeroizing::new(pem.into_bytes()));
        }
        Ok(Self { place: place.to_owned(), items: RwLock::new(items) })
    }

    /// The document: everything but the root's key.
    ///
    /// # Errors
    /// [`VaultError::Header`] where no vault was made in it.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let failed =
            |problem: String| VaultError::Header { path: PathBuf::from(&self.place), problem };
        let items = self.items.read();
        let mut document = Document {
            version: VERSION,
            vault: Value::Null,
            master_key: None,
            certificates: BTreeMap::new(),
            entries: BTreeMap::new(),
        };
        for (key, bytes) in items.iter() {
            match key {
                Slot::Certificate(name) => {
                    let pem = String::from_utf8(bytes.to_vec());
                    let pem = pem.map_err(|error| failed(error.to_string()))?;
                    document.certificates.insert(name.clone(), pem);
                }
                Slot::ClearKey => {
                    document.master_key = Some(Zeroizing::new(STANDARD.encode(bytes)));
                }
                Slot::Entry(name) if name == ROOT_KEY => {}
                Slot::Entry(name) => {
                    document.entries.insert(name.clone(), STANDARD.encode(bytes));
                }
                Slot::Header => {
                    document.vault =
                        serde_json::from_slice(bytes).map_err(|error| failed(error.to_string()))?;
                }
            }
        }
        if document.vault.is_null() {
            return Err(failed("no vault was made in it".to_owned()));
        }
        let json = serde_json::to_vec_pretty(&document).map(Zeroizing::new);
        json.map_err(|error| failed(error.to_string()))
    }

    /// The root's key as it is sealed, where the vault has it: an object of its own. To use it
    /// again, put it as [`ROOT_KEY`] into the bundle that was read.
    #[must_use]
    pub fn root_key(&self) -> Option<Vec<u8>> {
        self.items.read().get(&Slot::Entry(ROOT_KEY.to_owned())).map(|bytes| bytes.to_vec())
    }
}

impl VaultStorage for Bundle {
    fn get(&self, item: Item<'_>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let kept = self.items.read().get(&Slot::from(item)).cloned();
        kept.ok_or_else(|| VaultError::File {
            operation: "reading",
            path: self.place(item),
            source: io::Error::new(io::ErrorKind::NotFound, "the bundle does not have it"),
        })
    }

    fn put_new(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError> {
        match self.items.write().entry(Slot::from(item)) {
            Entry::Occupied(_) => Err(VaultError::AlreadyExists(self.place(item))),
            Entry::Vacant(vacant) => {
                vacant.insert(Zeroizing::new(bytes.to_vec()));
                Ok(())
            }
        }
    }

    fn replace(&self, item: Item<'_>, bytes: &[u8]) -> Result<(), VaultError> {
        self.items.write().insert(Slot::from(item), Zeroizing::new(bytes.to_vec()));
        Ok(())
    }

    fn entries(&self) -> Result<Vec<String>, VaultError> {
        let items = self.items.read();
        let names = items.keys().filter_map(|key| match key {
            Slot::Entry(name) => Some(name.clone()),
            Slot::Certificate(_) | Slot::ClearKey | Slot::Header => None,
        });
        Ok(names.collect())
    }

    fn place(&self, item: Item<'_>) -> PathBuf {
        match item {
            Item::Certificate(name) | Item::Entry(name) => format!("{}#{name}", self.place).into(),
            Item::ClearKey => format!("{}#masterKey", self.place).into(),
            Item::Header => PathBuf::from(&self.place),
        }
    }

    fn noun(&self) -> &'static str {
        "object"
    }
}
