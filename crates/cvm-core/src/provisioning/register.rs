//! Registration: an operator makes devices known, with their tokens, one by one or many at once.

mod attributes;

use std::collections::BTreeMap;

use super::Provisioning;
use super::operate::OperatorRefusal::{self, Unavailable};
use crate::device::{Device, Owed, Road, TokenToGive};
use crate::error::chain_of;
use crate::id::{IdError, Name, SerialNumber, ThingName, TokenMac};
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::policy::DEFAULT_POLICY;
use crate::ports::{Change, CommitError, Ports};
use crate::profile::Profiles;
use crate::time::{Span, Timestamp};
use crate::token::{Token, slot_of};

/// How long the answer to a registration that brought no token can be repeated.
pub(super) const TOKEN_REPEATABLE: Span = Span::DAY;

/// A device to be registered; what is `None` gets its default.
#[derive(Debug)]
pub struct NewDevice {
    /// Its serial number.
    pub serial_number: SerialNumber,
    /// Its token.
    pub token: NewToken,
    /// Until when the token may wait for its first issue.
    pub token_expires: Option<Timestamp>,
    /// The registry entry it is bound to.
    pub thing_name: Option<ThingName>,
    /// What it may do.
    pub policy: Option<Name>,
    /// By which rules it gets certificates.
    pub profile: Option<Name>,
    /// What its operator says of it.
    pub attributes: BTreeMap<String, String>,
    /// Whether a device that was deleted begins another life.
    pub again: bool,
}

/// Where a new device's token comes from.
#[derive(Debug)]
pub enum NewToken {
    /// The operator brings it.
    Brought(Token),
    /// The server derives it from the operator's idempotency key, so that the answer can be
    /// repeated.
    Derived(String),
    /// The server makes it; a lost answer is a lost token.
    Random,
}

/// What became of a registration.
#[derive(Debug)]
pub struct Registered {
    /// The record.
    pub device: Device,
    /// The token, if the server made it.
    pub token: Option<Token>,
    /// Whether the device is new, or was registered like this before.
    pub is_new: bool,
}

/// A registration that is asked for, with its token's keyed hash.
struct Asked {
    new: NewDevice,
    /// The token if it is made here.
    token: Option<Token>,
    mac: TokenMac,
    now: Timestamp,
}

/// What became of a registration; `None` as long as it waits for its commit.
type Answer = Option<Result<Registered, OperatorRefusal>>;

/// Registrations that wait for a commit: what was asked, and the record that is written for it.
#[derive(Default)]
struct Waiting {
    asked: Vec<(Asked, Device)>,
    changes: Vec<Change>,
}

impl Provisioning {
    /// Registers a device. The same again, with the same token, changes nothing, whatever became
    /// of the token.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was registered.
    pub async fn device_register(
        &self,
        new: NewDevice,
        operator: &str,
    ) -> Result<Registered, OperatorRefusal> {
        let answer = self.devices_register(vec![new], operator).await.pop();
        answer.unwrap_or_else(|| Err(unanswered()))
    }

    /// Registers devices in their order, each as if it were alone, and each with its own answer;
    /// they share reads and commits.
    pub async fn devices_register(
        &self,
        new: Vec<NewDevice>,
        operator: &str,
    ) -> Vec<Result<Registered, OperatorRefusal>> {
        let now = self.ports.clock.read().now;
        let serials = new.iter().map(|new| new.serial_number.clone()).collect();
        // What is registered already is compared, not judged by what the configuration has now.
        let mut known = self.ports.store.devices_find(serials).await.into_iter();
        let (mut answers, mut waiting) = (Vec::with_capacity(new.len()), Waiting::default());
        let mut policies = BTreeMap::new();
        for new in new {
            let known = match known.next() {
                Some(Ok(known)) => known,
                Some(Err(error)) => {
                    answers.push(Some(Err(error.into())));
                    continue;
                }
                None => {
                    answers.push(Some(Err(unanswered())));
                    continue;
                }
            };
            let (token, mac) = self.token_of(&new.serial_number, &new.token, operator);
            let asked = Asked { new, token, mac, now };
            answers.push(match self.judge(&asked, known.as_ref(), &mut policies).await {
                Err(refusal) => Some(Err(refusal)),
                Ok(None) => Some(self.registered_before(asked, known)),
                Ok(Some((device, spent_tokens))) => {
                    waiting.changes.push(registration(device.clone(), spent_tokens, operator));
                    waiting.asked.push((asked, device));
                    None
                }
            });
        }
        self.registered(answers, waiting).await
    }

    /// The record to be written, and the tokens of its tombstone that no longer have a slot; `None`
    /// where the serial number is registered.
    async fn judge(
        &self,
        Asked { new, mac, now, .. }: &Asked,
        known: Option<&Device>,
        policies: &mut BTreeMap<Name, bool>,
    ) -> Result<Option<(Device, Vec<TokenMac>)>, OperatorRefusal> {
        attributes::check(&new.attributes)?;
        let tombstone = match known {
            Some(known) if known.deleted_at.is_none() => return Ok(None),
            Some(tombstone) => Some(self.buried(tombstone, new, mac).await?),
            None => None,
        };
        let (device, spent_tokens) = self.device_of(new, *mac, *now, tombstone)?;
        if new.token_expires.is_some_and(|expires| expires < *now) {
            let what = "tokenExpires is in the past: the token could never be used";
            return Err(OperatorRefusal::Invalid(String::from(what)));
        }
        let is_there = match policies.get(&device.policy) {
            Some(is_there) => *is_there,
            None => {
                let is_there = self.policy_is_known(&device.policy).await?;
                policies.insert(device.policy.clone(), is_there);
                is_there
            }
        };
        if is_there {
            Ok(Some((device, spent_tokens)))
        } else {
            Err(OperatorRefusal::UnknownPolicy(device.policy))
        }
    }

    /// Whether there is such a policy, here or on the platform.
    async fn policy_is_known(&self, policy: &Name) -> Result<bool, OperatorRefusal> {
        if self.ports.policies.policy_find(policy).await?.is_some() {
            return Ok(true);
        }
        let known = self.ports.platform.policy_is_known(policy).await;
        known.map_err(|error| Unavailable(chain_of(&error)))
    }

    /// The answers, once what waits for its commit is written.
    async fn registered(
        &self,
        answers: Vec<Answer>,
        Waiting { asked, changes }: Waiting,
    ) -> Vec<Result<Registered, OperatorRefusal>> {
        let mut commits = match changes.is_empty() {
            true => Vec::new().into_iter(),
            false => self.ports.store.devices_commit(changes).await.into_iter(),
        };
        let (mut asked, mut all) = (asked.into_iter(), Vec::with_capacity(answers.len()));
        for answer in answers {
            all.push(match answer {
                Some(answer) => answer,
                None => match (asked.next(), commits.next()) {
                    (Some((Asked { token, .. }, device)), Some(Ok(()))) => {
                        let device = Device { version: device.version + 1, ..device };
                        Ok(Registered { device, token, is_new: true })
                    }
                    (Some((asked, _)), Some(Err(error))) => self.not_written(asked, error).await,
                    (_, None) | (None, Some(_)) => Err(unanswered()),
                },
            });
        }
        all
    }

    /// The answer to a registration that was not written.
    async fn not_written(
        &self,
        asked: Asked,
        error: CommitError,
    ) -> Result<Registered, OperatorRefusal> {
        match error {
            CommitError::ThingNameTaken => Err(OperatorRefusal::ThingNameTaken),
            CommitError::Conflict | CommitError::KeyOwned => {
                // Somebody else registered it at the same moment; perhaps just like this.
                let known = self.ports.store.device_find(&asked.new.serial_number).await?;
                self.registered_before(asked, known)
            }
            CommitError::Unavailable(_) => Err(Unavailable(chain_of(&error))),
        }
    }

    /// The tombstone, if the device may begin another life with this token.
    async fn buried(
        &self,
        tombstone: &Device,
        new: &NewDevice,
        mac: &TokenMac,
    ) -> Result<Device, OperatorRefusal> {
        if !new.again {
            return Err(OperatorRefusal::DeviceDeleted);
        }
        let macs = tombstone.tokens.iter().map(|token| &token.mac);
        let is_known = slot_of(mac, macs, &*self.ports.entropy).is_some();
        if is_known || self.ports.store.token_is_spent(&new.serial_number, mac).await? {
            return Err(OperatorRefusal::TokenReused);
        }
        Ok(tombstone.clone())
    }

    /// The token if it is made here, and its keyed hash.
    pub(super) fn token_of(
        &self,
        serial: &SerialNumber,
        new: &NewToken,
        operator: &str,
    ) -> (Option<Token>, TokenMac) {
        let Ports { secrets, entropy, .. } = &self.ports;
        let mac = |token: &Token| secrets.token_mac(serial.as_str(), token);
        let made = match new {
            NewToken::Brought(token) => return (None, mac(token)),
            NewToken::Derived(key) => secrets.token_derive(operator, key, serial),
            NewToken::Random => Token::generate(&**entropy),
        };
        let made_mac = mac(&made);
        (Some(made), made_mac)
    }

    /// The record that `new` asks for, over its tombstone where there is one; and the tokens of
    /// that which no longer have a slot.
    fn device_of(
        &self,
        new: &NewDevice,
        mac: TokenMac,
        now: Timestamp,
        tombstone: Option<Device>,
    ) -> Result<(Device, Vec<TokenMac>), OperatorRefusal> {
        let Names { thing_name, policy, profile: profile_name } = Names::of(new)?;
        let Some(profile) = self.profiles.find(&profile_name) else {
            return Err(OperatorRefusal::UnknownProfile(profile_name));
        };
        let expires = new.token_expires.unwrap_or_else(|| now.plus(profile.token_life));
        let (tokens, contested, mut owed, version) = match tombstone {
            Some(it) => (it.tokens, it.contested, it.owed, it.version),
            None => (Vec::new(), Vec::new(), Vec::new(), 0),
        };
        // The thing is wanted again.
        owed.retain(|it| !matches!(it, Owed::Thing { thing } if *thing == thing_name));
        let mut device = Device {
            serial_number: new.serial_number.clone(),
            thing_name,
            policy,
            profile: profile_name,
            attributes: new.attributes.clone(),
            roads: vec![Road::Vend],
            created_at: now,
            first_issued_at: None,
            disabled: false,
            deleted_at: None,
            tokens,
            live: Vec::new(),
            outlived: None,
            sealed: None,
            review: None,
            contested,
            reservation: None,
            owed,
            version,
        };
        let spent = device.push_token(TokenToGive { mac, given_at: now, expires });
        Ok((device, spent))
    }

    /// The answer where the serial number is registered already: the same again changes nothing.
    fn registered_before(
        &self,
        Asked { new, token, mac, now }: Asked,
        known: Option<Device>,
    ) -> Result<Registered, OperatorRefusal> {
        let Some(mut known) = known else { return Err(OperatorRefusal::AlreadyExists) };
        if known.deleted_at.is_some() {
            return Err(OperatorRefusal::DeviceDeleted);
        }
        let macs = known.tokens.iter().map(|token| &token.mac);
        let slot = slot_of(&mac, macs, &*self.ports.entropy);
        let names = Names::of(&new)?;
        let is_same_token = slot.is_some();
        let is_same_expiry = new.token_expires.is_none_or(|expires| {
            slot.and_then(|slot| known.tokens.get(slot)).is_some_and(|t| t.expires == expires)
        });
        let is_same = is_same_token
            && is_same_expiry
            && known.thing_name == names.thing_name
            && known.policy == names.policy
            && known.profile == names.profile
            && known.attributes == new.attributes;
        let is_late = token.is_some() && now > known.created_at.plus(TOKEN_REPEATABLE);
        if !is_same || is_late {
            return Err(OperatorRefusal::AlreadyExists);
        }
        // Nothing is written here: what settling ended is judged again at every read.
        let _moved = known.settle(now);
        Ok(Registered { device: known, token, is_new: false })
    }
}

/// The commit that makes a device known.
fn registration(device: Device, spent_tokens: Vec<TokenMac>, operator: &str) -> Change {
    let event = Event {
        at: device.created_at,
        class: EventClass::Change,
        kind: EventKind::DeviceRegistered,
        serial_number: Some(device.serial_number.clone()),
        certificate: None,
        attempt: None,
        actor: Actor::Operator(operator.to_owned()),
        detail: format!("thing {}, policy {}", device.thing_name, device.policy),
    };
    Change { spent_tokens, ..Change::new(device, Vec::new(), vec![event]) }
}

/// The store gave fewer answers than it was asked for.
fn unanswered() -> OperatorRefusal {
    Unavailable(String::from("the store left something without an answer"))
}

/// The names that a new device asks for, each its default where it asks for none.
struct Names {
    thing_name: ThingName,
    policy: Name,
    profile: Name,
}

impl Names {
    fn of(new: &NewDevice) -> Result<Self, IdError> {
        let thing_name = match &new.thing_name {
            Some(name) => name.clone(),
            None => ThingName::for_serial(&new.serial_number)?,
        };
        let or_default = |name: &Option<Name>, default: &str| match name {
            Some(name) => Ok(name.clone()),
            None => default.parse(),
        };
        let policy = or_default(&new.policy, DEFAULT_POLICY)?;
        let profile = or_default(&new.profile, Profiles::DEFAULT)?;
        Ok(Self { thing_name, policy, profile })
    }
}
