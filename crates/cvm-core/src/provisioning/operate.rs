//! What operators say of devices and certificates; their word holds from its commit on.

use thiserror::Error;

use super::register::{NewToken, Registered, TOKEN_REPEATABLE};
use super::{DECISIONS_MAX, Provisioning};
use crate::device::{Burning, Device, Fate, Moved, TokenToGive, Word};
use crate::error::chain_of;
use crate::id::{IdError, Name, SerialNumber, TokenMac};
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::ports::{CertificateChange, Change, CommitError, KeyRule, StoreError, ThingChange};
use crate::time::Timestamp;
use crate::token::{Token, slot_of};

/// Why an operator's request is refused.
#[derive(Debug, Error)]
pub enum OperatorRefusal {
    /// The serial number is registered, with another token or other names.
    #[error(
        "this serial number is registered already, with another token or other settings: see \
         `cvm device show`; its token is where its first registration put it"
    )]
    AlreadyExists,
    /// The device was decommissioned.
    #[error("this device was deleted: `cvm device add --again` registers it anew")]
    DeviceDeleted,
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The operator's role allows this for devices only that have obtained nothing yet.
    #[error(
        "this device has obtained a certificate: giving it another token needs the role operator"
    )]
    NotUnissued,
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Another device has the thing name.
    #[error(
        "another device has this thing name, or left a thing of that name behind: choose one with \
         --thing-name (thingName)"
    )]
    ThingNameTaken,
    /// The device had this token before, and it was burnt.
    #[error("this device had this token before, and it is burnt for ever: bring another")]
    TokenReused,
    /// The store cannot now, or the platform: then the word is on record, and the same request
    /// again brings it to the platform.
    #[error("the store or the platform is unavailable")]
    Unavailable(String),
    /// No such policy. Its name is not repeated: where columns are mixed up it is a token.
    #[error(
        "there is no such policy: look with `cvm policy list`, or put it with `cvm policy put`"
    )]
    UnknownPolicy(Name),
    /// No such profile. Its name is not repeated either.
    #[error("there is no such profile: add a [[profile]] of this name to the configuration")]
    UnknownProfile(Name),
    /// It was decided already.
    #[error("{0}")]
    WrongState(String),
}

impl From<StoreError> for OperatorRefusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(chain_of(&error))
    }
}

impl From<IdError> for OperatorRefusal {
    fn from(error: IdError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A token to be given to a device that is registered.
#[derive(Debug)]
pub struct GiveToken {
    /// Where it comes from.
    pub token: NewToken,
    /// Until when it may wait for its first issue; the profile's `token_life` where it is `None`.
    pub expires: Option<Timestamp>,
    /// What becomes of the certificates that were confirmed.
    pub fate: Fate,
    /// To which devices the operator may give one.
    pub whom: Whom,
}

/// To which devices an operator may give a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// To every device.
    Any,
    /// To those that have obtained nothing yet.
    Unissued,
}

/// What becomes of the platform's entry of a deleted device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThingFate {
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
}

/// What an operator's word did to a record, to be written with it.
pub(super) struct Done {
    kind: EventKind,
    detail: String,
    moved: Vec<Moved>,
    keys: Vec<KeyRule>,
    thing: Option<ThingChange>,
    spent_tokens: Vec<TokenMac>,
}

impl Done {
    pub(super) fn new(kind: EventKind, detail: String) -> Self {
        let (moved, keys, spent_tokens) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, detail, moved, keys, thing: None, spent_tokens }
    }

    pub(super) fn with(self, moved: Vec<Moved>, keys: Vec<KeyRule>) -> Self {
        Self { moved, keys, ..self }
    }
}

impl Provisioning {
    /// Gives the device another token. The same again, while that token is not burnt, changes
    /// nothing; with a first [`Fate::Revoke`] it ends what older tokens have left.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was changed.
    pub async fn device_new_token(
        &self,
        serial: &SerialNumber,
        give: GiveToken,
        operator: &str,
    ) -> Result<Registered, OperatorRefusal> {
        let (token, mac) = self.token_of(serial, &give.token, operator);
        if give.expires.is_some_and(|expires| expires < self.ports.clock.read().now) {
            let what = "tokenExpires is in the past: the token could never be used";
            return Err(OperatorRefusal::Invalid(String::from(what)));
        }
        let given = self
            .operate_with(serial, Some(&mac), operator, |device, now| {
                require_alive(device)?;
                if give.whom == Whom::Unissued && device.first_issued_at.is_some() {
                    return Err(OperatorRefusal::NotUnissued);
                }
                if is_given(device, &mac, token.as_ref(), now, self)? {
                    return Ok(revoke_older(device, give.fate));
                }
                let life = self.profiles.find_or_default(&device.profile).token_life;
                let expires = give.expires.unwrap_or_else(|| now.plus(life));
                let by = Burning { by: operator.to_owned(), word: Word::NewToken, at: now };
                let to_give = TokenToGive { mac, given_at: now, expires };
                let (moved, spent_tokens) = device.give_token(to_give, give.fate, &by);
                let detail = format!("expires {expires}");
                let done = Done::new(EventKind::TokenGiven, detail);
                Ok(Some(Done { moved, spent_tokens, ..done }))
            })
            .await?;
        Ok(Registered { device: given, token, is_new: false })
    }

    /// From now on nothing is accepted from the device, until it is enabled again.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was changed.
    pub async fn device_disable(
        &self,
        serial: &SerialNumber,
        operator: &str,
    ) -> Result<Device, OperatorRefusal> {
        self.operate(serial, operator, |device, _| {
            require_alive(device)?;
            let was_enabled = !device.disabled;
            device.disable();
            Ok(was_enabled.then(|| Done::new(EventKind::DeviceDisabled, String::new())))
        })
        .await
    }

    /// Accepts the device again, with those of its certificates that would still be live.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was changed.
    pub async fn device_enable(
        &self,
        serial: &SerialNumber,
        operator: &str,
    ) -> Result<Device, OperatorRefusal> {
        self.operate(serial, operator, |device, _| {
            require_alive(device)?;
            let was_disabled = std::mem::replace(&mut device.disabled, false);
            Ok(was_disabled.then(|| Done::new(EventKind::DeviceEnabled, String::new())))
        })
        .await
    }

    /// Decommissions the device: certificates revoked, tokens burnt, keys released, the platform's
    /// entry removed; a tombstone stays.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was changed.
    pub async fn device_delete(
        &self,
        serial: &SerialNumber,
        thing: ThingFate,
        operator: &str,
    ) -> Result<Device, OperatorRefusal> {
        self.end_contested(serial).await;
        self.operate(serial, operator, |device, now| {
            if device.deleted_at.is_some() {
                return Ok(None);
            }
            let by = Burning { by: operator.to_owned(), word: Word::Delete, at: now };
            let moved = device.delete(&by);
            let thing = (thing == ThingFate::Remove).then_some(ThingChange::Remove);
            let done = Done::new(EventKind::DeviceDeleted, String::new());
            Ok(Some(Done { moved, keys: vec![KeyRule::ReleaseAll], thing, ..done }))
        })
        .await
    }

    /// Writes what others have lost to keys of this device, before those are nobody's again: what
    /// was lost must not come back with that. Whose record cannot be read holds nothing up: nobody
    /// is let in by it either.
    async fn end_contested(&self, serial: &SerialNumber) {
        let now = self.ports.clock.read().now;
        for _ in 0..DECISIONS_MAX {
            match self.ports.store.device_find(serial).await {
                Ok(Some(device)) if !device.contested.is_empty() => {
                    drop(self.sweep_device(serial, now).await);
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Does `act` to the record and writes it; `None` where there is nothing to do.
    pub(super) async fn operate(
        &self,
        serial: &SerialNumber,
        operator: &str,
        act: impl Fn(&mut Device, Timestamp) -> Result<Option<Done>, OperatorRefusal> + Send + Sync,
    ) -> Result<Device, OperatorRefusal> {
        self.operate_with(serial, None, operator, act).await
    }

    /// The same with a token that is to be new: refused where the device had it and has no slot for
    /// it any more.
    async fn operate_with(
        &self,
        serial: &SerialNumber,
        token: Option<&TokenMac>,
        operator: &str,
        act: impl Fn(&mut Device, Timestamp) -> Result<Option<Done>, OperatorRefusal> + Send + Sync,
    ) -> Result<Device, OperatorRefusal> {
        for _ in 0..DECISIONS_MAX {
            let read = self.ports.store.device_find(serial).await?;
            let mut device = read.ok_or(OperatorRefusal::NotFound("device"))?;
            // After the record: a token that loses its slot from here on moves the record's version.
            if let Some(mac) = token
                && self.ports.store.token_is_spent(serial, mac).await?
            {
                return Err(OperatorRefusal::TokenReused);
            }
            let now = self.ports.clock.read().now;
            let mut moved = device.settle(now);
            let Some(mut done) = act(&mut device, now)? else {
                self.bring_again(&device).await?;
                return Ok(device);
            };
            moved.append(&mut done.moved);
            if self.write_word(&device, Done { moved, ..done }, operator, now).await? {
                self.bring(serial).await?;
                return Ok(Device { version: device.version + 1, ..device });
            }
        }
        Err(OperatorRefusal::Unavailable(String::from("the record moved under every attempt")))
    }

    /// Writes what an operator's word did; `false` where the record moved meanwhile.
    pub(super) async fn write_word(
        &self,
        device: &Device,
        done: Done,
        operator: &str,
        now: Timestamp,
    ) -> Result<bool, OperatorRefusal> {
        let event = Event {
            at: now,
            class: EventClass::Change,
            kind: done.kind,
            serial_number: Some(device.serial_number.clone()),
            certificate: None,
            attempt: None,
            actor: Actor::Operator(operator.to_owned()),
            detail: done.detail,
        };
        let mut events = event.of_moves(&done.moved);
        if done.kind != EventKind::CertificateRevoked {
            events.push(event);
        }
        let change = Change {
            device: device.clone(),
            certificates: CertificateChange::moves(done.moved, now),
            keys: done.keys,
            thing: done.thing,
            spent_tokens: done.spent_tokens,
            events,
        };
        match self.device_commit(change).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict | CommitError::KeyOwned) => Ok(false),
            Err(CommitError::ThingNameTaken) => Err(OperatorRefusal::ThingNameTaken),
            Err(error @ CommitError::Unavailable(_)) => {
                Err(OperatorRefusal::Unavailable(chain_of(&error)))
            }
        }
    }
}

fn require_alive(device: &Device) -> Result<(), OperatorRefusal> {
    if device.deleted_at.is_some() { Err(OperatorRefusal::DeviceDeleted) } else { Ok(()) }
}

/// The word to revoke holds also where the token was given before without it.
fn revoke_older(device: &mut Device, fate: Fate) -> Option<Done> {
    if fate == Fate::Keep {
        return None;
    }
    let outlived = device.outlived.clone();
    let moved = device.revoke_older();
    let has_ended = !moved.is_empty() || device.outlived != outlived;
    let detail = String::from("given before; what older ones had left is revoked");
    has_ended.then_some(Done { moved, ..Done::new(EventKind::TokenGiven, detail) })
}

/// Whether the device has this token already, unburnt; a burnt one is refused for ever.
fn is_given(
    device: &Device,
    mac: &TokenMac,
    made: Option<&Token>,
    now: Timestamp,
    provisioning: &Provisioning,
) -> Result<bool, OperatorRefusal> {
    let macs = device.tokens.iter().map(|token| &token.mac);
    let slot = slot_of(mac, macs, &*provisioning.ports.entropy);
    let Some(token) = slot.and_then(|slot| device.tokens.get(slot)) else { return Ok(false) };
    let is_late = made.is_some() && now > token.given_at.plus(TOKEN_REPEATABLE);
    if token.is_unburnt() && !is_late { Ok(true) } else { Err(OperatorRefusal::TokenReused) }
}
