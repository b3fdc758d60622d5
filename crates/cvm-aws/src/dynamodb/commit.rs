//! Changes, written: what DynamoDB's refusals mean, and what is read and tried again for them.

use std::collections::HashSet;

use cvm_core::device::Version;
use cvm_core::journal::Event;
use cvm_core::ports::{CertificateChange, Change, CommitError, KeyOwner};

use super::DynamoStore;
use super::calls::TRIES_MAX;
use super::change::{Ended, Known, Listed, Released, Renamed, ending, writes_of};
use super::failure::Failure;
use super::item::Item;
use super::journal::contended;
use super::key::Key;
use super::record;
use super::transact::{Guard, Outcome, Refusal, WRITES_MAX, Write};

/// What a refusal comes to.
enum Verdict {
    /// With what is known now it may be written.
    Again,
    Refused(CommitError),
}

impl DynamoStore {
    pub(super) async fn commit_one(&self, change: &Change) -> Result<(), CommitError> {
        let mut known = Known { ended: self.ended(change).await?, ..Known::default() };
        for _ in 0..TRIES_MAX {
            let writes = writes_of(change, &known)?;
            let events: Vec<_> = change.events.iter().map(|event| (0, event)).collect();
            match self.commit(writes, &events).await {
                Outcome::Written => return Ok(()),
                // Nothing was written, and what was in the way is most likely the same record.
                Outcome::Contended => return Err(CommitError::Conflict),
                Outcome::Failed(failure) | Outcome::Unknown(failure) => return Err(failure.into()),
                Outcome::Refused(refused) => {
                    let refused: Vec<_> = refused.iter().collect();
                    match self.judge(change, &refused, &mut known).await? {
                        Verdict::Again => {}
                        Verdict::Refused(why) => return Err(why),
                    }
                }
            }
        }
        Err(contended().into())
    }

    /// New devices share transactions; whatever else there is has one of its own. Each waits for
    /// those before it.
    pub(super) async fn commit_many(&self, changes: &[Change]) -> Vec<Result<(), CommitError>> {
        let mut answers = Vec::with_capacity(changes.len());
        let mut rest = changes;
        while let Some((first, others)) = rest.split_first() {
            let group = group_of(rest);
            if group < 2 {
                answers.push(self.commit_one(first).await);
                rest = others;
                continue;
            }
            let (together, behind) = rest.split_at(group);
            answers.extend(self.commit_together(together).await);
            rest = behind;
        }
        answers
    }

    /// Writes new devices in one transaction; where some are refused, the others in another.
    async fn commit_together(&self, changes: &[Change]) -> Vec<Result<(), CommitError>> {
        let mut answers: Answers = changes.iter().map(|_| None).collect();
        while answers.iter().any(Option::is_none) {
            let outcome = match written_together(changes, &answers) {
                Err(failure) => Outcome::Failed(failure),
                Ok((writes, events)) => self.commit(writes, &events).await,
            };
            let refused = match &outcome {
                Outcome::Refused(refused) => refused.as_slice(),
                Outcome::Contended
                | Outcome::Failed(_)
                | Outcome::Unknown(_)
                | Outcome::Written => &[],
            };
            for (at, (change, answer)) in changes.iter().zip(&mut answers).enumerate() {
                let of_it: Vec<_> = refused.iter().filter(|it| it.change == at).collect();
                if answer.is_some() || !refused.is_empty() && of_it.is_empty() {
                    continue;
                }
                *answer = Some(match &outcome {
                    Outcome::Contended => self.commit_one(change).await,
                    Outcome::Failed(why) | Outcome::Unknown(why) => Err(why.clone().into()),
                    // By itself: it may need something to be read.
                    Outcome::Refused(_) => self.commit_refused(change, &of_it).await,
                    Outcome::Written => Ok(()),
                });
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// What a refusal in a group comes to: nothing of the group was written.
    async fn commit_refused(
        &self,
        change: &Change,
        refused: &[&Refusal],
    ) -> Result<(), CommitError> {
        match self.judge(change, refused, &mut Known::default()).await? {
            Verdict::Again => self.commit_one(change).await,
            Verdict::Refused(why) => Err(why),
        }
    }

    /// What never changes of the certificates that end, as their lists need it.
    async fn ended(&self, change: &Change) -> Result<Ended, Failure> {
        let keys: Vec<_> = ending(change).iter().map(Key::certificate).collect();
        if keys.is_empty() {
            return Ok(Ended::default());
        }
        let items = self.calls.get_each(keys).await?;
        let listed = items.values().map(|item| {
            let row = record::certificate(item)?;
            let (issuer, not_after) = (row.issuer, row.not_after);
            let certificate_serial = row.certificate_serial;
            Ok((row.id, Listed { issuer, certificate_serial, not_after }))
        });
        listed.collect()
    }

    /// Why the change is refused, in the order of the contract; or what has to be known for it.
    async fn judge(
        &self,
        change: &Change,
        refused: &[&Refusal],
        known: &mut Known,
    ) -> Result<Verdict, CommitError> {
        let has = |guard: &Guard| refused.iter().find(|it| it.guard == *guard);
        if let Some(moved) = has(&Guard::Moved) {
            let Some(stored) = moved_name(change, moved.found.as_ref())? else {
                return Ok(Verdict::Refused(CommitError::Conflict));
            };
            known.renamed = Some(self.renamed(change, &stored).await?);
            return Ok(Verdict::Again);
        }
        if let Some(name) = has(&Guard::Name) {
            let holder = name.found.as_ref().map(|item| item.text_if("holder")).transpose()?;
            // Its own device has it already: it is there, and was not when this was decided.
            let is_own = holder.flatten() == Some(change.device.serial_number.as_str());
            let why = if is_own { CommitError::Conflict } else { CommitError::ThingNameTaken };
            return Ok(Verdict::Refused(why));
        }
        for refusal in refused {
            let Guard::Key(key) = &refusal.guard else { continue };
            let released = match &refusal.found {
                None => None,
                Some(owner) => self.released(owner).await?,
            };
            let Some(released) = released else {
                return Ok(Verdict::Refused(CommitError::KeyOwned));
            };
            known.released.insert(*key, released);
        }
        if has(&Guard::Certificate).is_some() {
            let is_insert = |it: &CertificateChange| matches!(it, CertificateChange::Insert(_));
            let why = if change.certificates.iter().any(is_insert) {
                "the certificate is there already"
            } else {
                "the device has no such certificate"
            };
            return Ok(Verdict::Refused(CommitError::Unavailable(why.into())));
        }
        Ok(Verdict::Again)
    }

    /// What has to be known of a device that takes another thing name.
    async fn renamed(&self, change: &Change, stored: &Stored) -> Result<Renamed, Failure> {
        let name = self.calls.get(&Key::thing_name(&change.device.thing_name)).await?;
        let serial = change.device.serial_number.as_str();
        let mut left_thing_at = None;
        if let Some(name) = name
            && name.text_if("left_by")? == Some(serial)
        {
            left_thing_at = name.number_if("left_at")?;
        }
        let old_name = stored.thing_name.clone();
        Ok(Renamed { old_name, old_thing_at: stored.thing_at, left_thing_at })
    }

    /// The owner of a key, where it has released it since.
    async fn released(&self, owner: &Item) -> Result<Option<Released>, Failure> {
        let KeyOwner::Device(serial) = record::named_owner(owner)? else { return Ok(None) };
        let device = self.calls.get(&Key::device(&serial)).await?;
        if !record::is_released(owner, device.as_ref())? {
            return Ok(None);
        }
        Ok(Some(Released { owner: String::from(serial), since: owner.number("since")? }))
    }
}

/// What a device's item says of its thing.
struct Stored {
    thing_name: String,
    thing_at: Option<i64>,
}

/// What is stored, where the record is of the version that the change was decided on, and has
/// another thing name.
fn moved_name(change: &Change, found: Option<&Item>) -> Result<Option<Stored>, Failure> {
    let Some(item) = found.filter(|_| change.device.version > 0) else { return Ok(None) };
    let version: Option<Version> = item.number_if("version")?;
    if version != Some(change.device.version) {
        return Ok(None);
    }
    let thing_name = item.text("thing_name")?.to_owned();
    let is_other = thing_name != change.device.thing_name.as_str();
    let stored = Stored { thing_name, thing_at: item.number_if("thing_at")? };
    Ok(Some(stored).filter(|_| is_other))
}

type Answers = Vec<Option<Result<(), CommitError>>>;

/// Writes and journal rows, each with the place of its change.
type Together<'a> = (Vec<Write>, Vec<(usize, &'a Event)>);

/// What the changes that have no answer yet write, each with its place.
fn written_together<'a>(changes: &'a [Change], answers: &Answers) -> Result<Together<'a>, Failure> {
    let (mut writes, mut events) = (Vec::new(), Vec::new());
    for (at, (change, answer)) in changes.iter().zip(answers).enumerate() {
        if answer.is_none() {
            let of_it = writes_of(change, &Known::default())?;
            writes.extend(of_it.into_iter().map(|write| Write { change: at, ..write }));
            events.extend(change.events.iter().map(|event| (at, event)));
        }
    }
    Ok((writes, events))
}

/// How many of the changes at the beginning may share a transaction: they are of new devices, have
/// no item in common, and fit.
fn group_of(changes: &[Change]) -> usize {
    let mut keys = HashSet::new();
    let mut items = 0;
    for (at, change) in changes.iter().enumerate() {
        let is_new = change.device.version == 0 && ending(change).is_empty();
        let Ok(writes) = writes_of(change, &Known::default()) else { return at };
        items += writes.len() + change.events.len();
        if !is_new || items > WRITES_MAX || writes.iter().any(|write| !keys.insert(write.key())) {
            return at;
        }
    }
    changes.len()
}
