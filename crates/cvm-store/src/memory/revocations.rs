//! Who is revoked, in memory: counted by shard at each write, and found by going through all.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cvm_core::certificate::{CertificateRecord, IssuerId, shard_of};
use cvm_core::ports::{
    CommitError, NewCrl, Revocations, Revoked, RevokedEntry, StoreError, StoredCrl,
};
use cvm_core::time::Timestamp;

use super::MemoryStore;

/// The shards that have a CRL, or that changed.
#[derive(Clone, Default)]
pub(super) struct Shards(BTreeMap<(IssuerId, u8), Shard>);

#[derive(Clone, Default)]
struct Shard {
    changes: u64,
    crl: Option<NewCrl>,
}

impl Shard {
    fn is_stale(&self) -> bool {
        self.crl.as_ref().is_none_or(|crl| crl.changes != self.changes)
    }

    /// Since when it has what it has; nothing, where that is not enough.
    fn signed_at(&self) -> Option<Timestamp> {
        self.crl.as_ref().filter(|_| !self.is_stale()).map(|crl| crl.this_update)
    }
}

impl Shards {
    /// Counts a row that was written, if CRLs list it.
    pub(super) fn count(&mut self, row: &CertificateRecord) {
        if row.state.is_listed() {
            let key = (row.issuer, shard_of(&row.certificate_serial));
            self.0.entry(key).or_default().changes += 1;
        }
    }
}

#[async_trait]
impl Revocations for MemoryStore {
    async fn crl_find(
        &self,
        issuer: &IssuerId,
        shard: u8,
    ) -> Result<Option<StoredCrl>, StoreError> {
        let state = self.state()?;
        let found = state.shards.0.get(&(*issuer, shard));
        Ok(found.and_then(|shard| {
            let crl = shard.crl.clone()?;
            Some(StoredCrl {
                number: crl.number,
                this_update: crl.this_update,
                next_update: crl.next_update,
                url: crl.url,
                der: crl.der,
                is_stale: shard.is_stale(),
            })
        }))
    }

    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError> {
        self.check_up().map_err(|reason| CommitError::Unavailable(reason.into()))?;
        let mut state = self.state.lock();
        let shard = state.shards.0.entry((crl.issuer, crl.shard)).or_default();
        if shard.crl.as_ref().is_some_and(|stored| stored.number >= crl.number) {
            return Err(CommitError::Conflict);
        }
        shard.crl = Some(crl);
        Ok(())
    }

    async fn due_crls(
        &self,
        signed_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError> {
        let state = self.state()?;
        let of = |(key, shard): (&(IssuerId, u8), &Shard)| (shard.signed_at(), *key);
        let mut due: Vec<_> = state.shards.0.iter().map(of).collect();
        due.retain(|(signed_at, _)| *signed_at <= Some(signed_until));
        due.sort();
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due.into_iter().map(|(_, key)| key).collect())
    }

    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        not_after_from: Timestamp,
    ) -> Result<Revoked, StoreError> {
        let state = self.state()?;
        let is_listed = |row: &&CertificateRecord| {
            row.issuer == *issuer
                && shard_of(&row.certificate_serial) == shard
                && row.not_after >= not_after_from
                && row.state.is_listed()
        };
        let changes = state.shards.0.get(&(*issuer, shard)).map_or(0, |shard| shard.changes);
        let entries = state.certificates.values().filter(is_listed).map(entry).collect();
        Ok(Revoked { changes, entries })
    }
}

fn entry(row: &CertificateRecord) -> RevokedEntry {
    RevokedEntry::new(row.certificate_serial.clone(), row.state, row.ended_at, row.reason)
}
