//! Who is revoked: a list for each shard that ended rows come into in the commit that ends them, and
//! a counter. CRLs are kept in pieces, because an item has 400 KB at most; the shard's item says
//! which pieces are the CRL.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::IssuerId;
use cvm_core::ports::{
    CommitError, NewCrl, Revocations, Revoked, RevokedEntry, StoreError, StoredCrl,
};
use cvm_core::time::Timestamp;
use futures_util::future::try_join_all;

use super::DynamoStore;
use super::calls::{TRIES_MAX, Written};
use super::expression::{Changes, Condition};
use super::failure::Failure;
use super::item::{Item, attributes, bytes, number, text};
use super::journal::contended;
use super::key::{self, Key, SHARDS, sortable};
use super::query::Stretch;

/// The most bytes of a CRL in one item (quotas of DynamoDB, read 2026-11-25: 400 KB), with its key.
const PIECE_BYTES_MAX: usize = 390_000;

#[async_trait]
impl Revocations for DynamoStore {
    async fn crl_find(
        &self,
        issuer: &IssuerId,
        shard: u8,
    ) -> Result<Option<StoredCrl>, StoreError> {
        for round in 0..TRIES_MAX {
            let Some(item) = self.calls.get(&Key::shard(issuer, shard)).await? else {
                return Ok(None);
            };
            let Some(pieces) = item.text_if("crl_pieces")? else { return Ok(None) };
            // Where another took its place meanwhile, its pieces are gone.
            if let Some(der) =
                self.pieces(issuer, shard, (pieces, item.number("crl_bytes")?)).await?
            {
                return Ok(Some(stored_crl(&item, der)?));
            }
            self.calls.wait(round).await;
        }
        Err(contended().into())
    }

    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError> {
        // Of two with one number each has pieces of its own, and one is kept.
        let pieces = format!("{}#{:016x}", numbered(crl.number), self.calls.random());
        let (issuer, shard) = (&crl.issuer, crl.shard);
        for (at, part) in crl.der.chunks(PIECE_BYTES_MAX).enumerate() {
            let key = Key::crl(issuer, shard, &piece(&pieces, at));
            self.calls.put(attributes(&key, [("der", bytes(part))]), None).await?;
        }
        let number_ = number(crl.number);
        let is_higher =
            Condition::Any(vec![Condition::Lacks("number"), Condition::Below("number", number_)]);
        let changes = shard_changes(&crl, &pieces);
        let key = Key::shard(issuer, shard);
        let is_kept = match self.calls.update(&key, &changes, Some(&is_higher)).await? {
            Written::Done(_) => true,
            // An earlier try of this call has written it, and its answer was lost.
            Written::Refused(found) => {
                let kept = found.as_ref().map(|item| item.text_if("crl_pieces")).transpose()?;
                kept.flatten() == Some(pieces.as_str())
            }
        };
        let partition = key::crl_pieces(issuer, shard);
        let mut old = Stretch::of(partition);
        if is_kept {
            // All with a lower number: none of them can become the CRL any more.
            old.until = Some(numbered(crl.number));
        } else {
            (old.from, old.until) = (Some(format!("{pieces}#")), Some(format!("{pieces}$")));
        }
        self.forget(&old).await;
        if is_kept { Ok(()) } else { Err(CommitError::Conflict) }
    }

    async fn due_crls(
        &self,
        signed_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError> {
        let parts: Vec<_> = (0..SHARDS).map(|part| Stretch::of(key::crl_shards(part))).collect();
        let shards =
            try_join_all(parts.iter().map(|part| self.calls.query(part, usize::MAX))).await?;
        let mut due = Vec::new();
        for item in shards.iter().flatten() {
            let signed_at = signed_at(item)?;
            let shard = (IssuerId(item.digest("issuer")?), item.number("shard")?);
            due.push((signed_at, shard));
        }
        due.retain(|(signed_at, _)| *signed_at <= Some(signed_until));
        due.sort_unstable();
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due.into_iter().map(|(_, shard)| shard).collect())
    }

    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        not_after_from: Timestamp,
    ) -> Result<Revoked, StoreError> {
        // The counter first: what comes between makes the list longer than was counted, and a CRL
        // of it is signed once more. It is never shorter.
        let item = self.calls.get(&Key::shard(issuer, shard)).await?;
        let changes = item.map(|item| item.number_if("changes")).transpose()?.flatten();
        let from = Some(sortable(not_after_from));
        let stretch = Stretch { from, ..Stretch::of(key::revoked(issuer, shard)) };
        let items = self.calls.query(&stretch, usize::MAX).await?;
        let entries = items.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(Revoked { changes: changes.unwrap_or(0), entries })
    }
}

impl DynamoStore {
    /// The CRL of these pieces, if all are there.
    async fn pieces(
        &self,
        issuer: &IssuerId,
        shard: u8,
        (pieces, length): (&str, usize),
    ) -> Result<Option<Arc<[u8]>>, Failure> {
        let from = Some(format!("{pieces}#"));
        let until = Some(format!("{pieces}$"));
        let stretch = Stretch { from, until, ..Stretch::of(key::crl_pieces(issuer, shard)) };
        let mut der = Vec::with_capacity(length);
        for item in self.calls.query(&stretch, usize::MAX).await? {
            der.extend_from_slice(item.bytes("der")?);
        }
        Ok(Some(Arc::from(der)).filter(|der: &Arc<[u8]>| der.len() == length))
    }

    /// Removes pieces that are no CRL. What stays, because it could not, goes with the next one.
    async fn forget(&self, pieces: &Stretch) {
        let Ok(items) = self.calls.query(pieces, usize::MAX).await else { return };
        for item in items {
            if let Ok(key) = item.key()
                && self.calls.delete(&key).await.is_err()
            {
                return;
            }
        }
    }
}

fn shard_changes(crl: &NewCrl, pieces: &str) -> Changes {
    let set = vec![
        ("crl_bytes", number(crl.der.len())),
        ("crl_pieces", text(pieces)),
        ("issuer", bytes(crl.issuer.0)),
        ("next_update", number(crl.next_update.0)),
        ("number", number(crl.number)),
        ("shard", number(crl.shard)),
        ("signed_changes", number(crl.changes)),
        ("this_update", number(crl.this_update.0)),
        ("url", text(&crl.url)),
    ];
    Changes { set, ..Changes::default() }
}

/// Whether the shard changed since its CRL was built.
fn is_stale(shard: &Item) -> Result<bool, Failure> {
    let changes: Option<u64> = shard.number_if("changes")?;
    let signed: Option<u64> = shard.number_if("signed_changes")?;
    Ok(signed != Some(changes.unwrap_or(0)))
}

/// Since when the shard has the CRL that it has; nothing, where that is not enough.
fn signed_at(shard: &Item) -> Result<Option<Timestamp>, Failure> {
    let signed_at = shard.number_if("this_update")?.map(Timestamp);
    Ok(signed_at.filter(|_| is_stale(shard).is_ok_and(|is_stale| !is_stale)))
}

fn stored_crl(shard: &Item, der: Arc<[u8]>) -> Result<StoredCrl, Failure> {
    Ok(StoredCrl {
        number: shard.number("number")?,
        this_update: Timestamp(shard.number("this_update")?),
        next_update: Timestamp(shard.number("next_update")?),
        url: shard.text("url")?.to_owned(),
        der,
        is_stale: is_stale(shard)?,
    })
}

fn entry(item: &Item) -> Result<RevokedEntry, Failure> {
    let certificate_serial = item.bytes("certificate_serial")?.to_vec();
    let ended_at = item.number_if("ended_at")?.map(Timestamp);
    let reason = item.named_if("reason")?;
    Ok(RevokedEntry::new(certificate_serial, item.named("state")?, ended_at, reason))
}

/// A number as text whose order is the number's; it is before everything that begins with it.
fn numbered(number: u64) -> String {
    format!("{number:020}")
}

/// Where a piece is among those of its shard.
fn piece(pieces: &str, at: usize) -> String {
    format!("{pieces}#{at:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_in_order_and_behind_those_of_every_lower_number() {
        let pieces = |number| format!("{}#{:016x}", numbered(number), 7);
        let numbers = [(9, 0), (9, 9_999), (10, 0), (10, 10), (u64::MAX, 0)];
        let places = numbers.map(|(number, at)| piece(&pieces(number), at));
        assert!(places.is_sorted());
        let old = places.iter().filter(|place| **place <= numbered(10)).count();
        assert_eq!(old, 2);
    }
}
