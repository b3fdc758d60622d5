//! Fills a registry with devices that wait for their first certificate, through the store itself.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use cvm_core::device::{Burning, Device, Road, TokenToGive, Word};
use cvm_core::id::{SerialNumber, ThingName};
use cvm_core::journal::{Event, EventClass, EventKind};
use cvm_core::operator::Actor;
use cvm_core::ports::{Change, Secrets};
use cvm_core::time::{Span, Timestamp};
use cvm_pki::{Pki, VAULT_DIRECTORY, Vault};
use cvm_store::Stores;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::registry::{serial_number, token};

/// The store's own name in a data directory.
const STORE: &str = "sqlite:cvm.db";

/// Changes on their way at once: a few groups of the writer's.
const AT_ONCE: usize = 256;

/// Who registers.
const OPERATOR: &str = "bench";

/// How a device stands when its registry has been filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Deleted,
    Disabled,
    Expired,
    Waiting,
}

/// A data directory that nobody serves, open for filling.
pub(crate) struct Filling {
    stores: Stores,
    pki: Pki,
    now: Timestamp,
}

impl Filling {
    pub(crate) fn open(data: &Path) -> Result<Self> {
        let vault = Vault::open(&data.join(VAULT_DIRECTORY), None)?;
        let pki = Pki::load(data, &vault, "https://localhost")?;
        let now = Timestamp(i64::try_from(crate::now())?);
        Ok(Self { stores: cvm_store::open(STORE, data)?, pki, now })
    }

    /// Registers the devices `numbers`, each as it shall stand.
    pub(crate) fn fill(
        &self,
        numbers: std::ops::Range<u64>,
        standing: impl Fn(u64) -> Standing,
    ) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
        let commits = numbers.map(|number| {
            let change = self.change(number, standing(number));
            let store = self.stores.store.clone();
            async move { Ok::<_, anyhow::Error>(store.device_commit(change?).await?) }
        });
        let all = stream::iter(commits).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
        runtime.block_on(all).map(drop).context("filling the registry")
    }

    fn change(&self, number: u64, standing: Standing) -> Result<Change> {
        let serial: SerialNumber = serial_number(number).parse()?;
        let mac = self.pki.secrets().token_mac(serial.as_str(), &token(number));
        let expires = match standing {
            Standing::Expired => self.now.minus(Span(1)),
            Standing::Deleted | Standing::Disabled | Standing::Waiting => {
                self.now.plus(Span(90 * Span::DAY.0))
            }
        };
        let mut device = self.device(serial)?;
        let given_at = self.now.minus(Span::DAY);
        let _no_other = device.push_token(TokenToGive { mac, given_at, expires });
        match standing {
            Standing::Deleted => {
                let (by, at) = (OPERATOR.to_owned(), self.now);
                let _none = device.delete(&Burning { by, word: Word::Delete, at });
            }
            Standing::Disabled => device.disable(),
            Standing::Expired | Standing::Waiting => {}
        }
        let event = Event {
            at: self.now,
            class: EventClass::Change,
            kind: EventKind::DeviceRegistered,
            serial_number: Some(device.serial_number.clone()),
            certificate: None,
            attempt: None,
            actor: Actor::Operator(OPERATOR.to_owned()),
            detail: format!("thing {}, policy {}", device.thing_name, device.policy),
        };
        Ok(Change::new(device, Vec::new(), vec![event]))
    }

    fn device(&self, serial: SerialNumber) -> Result<Device> {
        Ok(Device {
            thing_name: ThingName::for_serial(&serial)?,
            serial_number: serial,
            policy: "cvm-default".parse()?,
            profile: "default".parse()?,
            attributes: BTreeMap::new(),
            roads: vec![Road::Vend],
            created_at: self.now,
            first_issued_at: None,
            disabled: false,
            deleted_at: None,
            tokens: Vec::new(),
            live: Vec::new(),
            outlived: None,
            sealed: None,
            review: None,
            contested: Vec::new(),
            reservation: None,
            owed: Vec::new(),
            version: 0,
        })
    }
}
