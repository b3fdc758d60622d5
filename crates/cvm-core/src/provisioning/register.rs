//! Registration: an operator makes a device known, with its token.

use std::collections::BTreeMap;

use super::Provisioning;
use super::operate::OperatorRefusal;
use crate::device::{Device, Road, TokenToGive};
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

/// AWS IoT Core: a thing has at most 50 attributes with its type, values of at most 800 characters.
const ATTRIBUTES_MAX: usize = 50;
const ATTRIBUTE_VALUE_CHARACTERS_MAX: usize = 800;

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
        check_attributes(&new.attributes)?;
        let now = self.ports.clock.read().now;
        let (token, mac) = self.token_of(&new.serial_number, &new.token, operator);
        // What is registered already is compared, not judged by what the configuration has now.
        let known = self.ports.store.device_find(&new.serial_number).await?;
        let tombstone = match known {
            Some(known) if known.deleted_at.is_none() => {
                return self.registered_before(&new, mac, known, token, now);
            }
            Some(tombstone) => Some(self.buried(tombstone, &new, &mac).await?),
            None => None,
        };
        let (device, spent_tokens) = self.device_of(&new, mac, now, tombstone)?;
        if new.token_expires.is_some_and(|expires| expires < now) {
            let what = "tokenExpires is in the past: the token could never be used";
            return Err(OperatorRefusal::Invalid(String::from(what)));
        }
        if self.ports.policies.policy_find(&device.policy).await?.is_none() {
            return Err(OperatorRefusal::UnknownPolicy(device.policy));
        }
        let event = Event {
            at: now,
            class: EventClass::Change,
            kind: EventKind::DeviceRegistered,
            serial_number: Some(device.serial_number.clone()),
            certificate: None,
            attempt: None,
            actor: Actor::Operator(operator.to_owned()),
            detail: format!("thing {}, policy {}", device.thing_name, device.policy),
        };
        let change = Change::new(device.clone(), Vec::new(), vec![event]);
        match self.ports.store.device_commit(Change { spent_tokens, ..change }).await {
            Ok(()) => {
                let version = device.version + 1;
                Ok(Registered { device: Device { version, ..device }, token, is_new: true })
            }
            Err(CommitError::ThingNameTaken) => Err(OperatorRefusal::ThingNameTaken),
            Err(CommitError::Conflict | CommitError::KeyOwned) => {
                // Somebody else registered it at the same moment; perhaps just like this.
                match self.ports.store.device_find(&new.serial_number).await? {
                    Some(known) => self.registered_before(&new, mac, known, token, now),
                    None => Err(OperatorRefusal::AlreadyExists),
                }
            }
            Err(error @ CommitError::Unavailable(_)) => {
                Err(OperatorRefusal::Unavailable(crate::error::chain_of(&error)))
            }
        }
    }

    /// The tombstone, if the device may begin another life with this token.
    async fn buried(
        &self,
        tombstone: Device,
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
        Ok(tombstone)
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
        let (tokens, contested, version) = match tombstone {
            Some(tombstone) => (tombstone.tokens, tombstone.contested, tombstone.version),
            None => (Vec::new(), Vec::new(), 0),
        };
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
            version,
        };
        let spent = device.push_token(TokenToGive { mac, given_at: now, expires });
        Ok((device, spent))
    }

    /// The answer where the serial number is registered already: the same again changes nothing.
    fn registered_before(
        &self,
        new: &NewDevice,
        mac: TokenMac,
        mut known: Device,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<Registered, OperatorRefusal> {
        if known.deleted_at.is_some() {
            return Err(OperatorRefusal::DeviceDeleted);
        }
        let macs = known.tokens.iter().map(|token| &token.mac);
        let slot = slot_of(&mac, macs, &*self.ports.entropy);
        let names = Names::of(new)?;
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

fn check_attributes(attributes: &BTreeMap<String, String>) -> Result<(), OperatorRefusal> {
    let invalid = |what| Err(OperatorRefusal::Invalid(format!("attributes: {what}")));
    if attributes.len() > ATTRIBUTES_MAX {
        return invalid(format!("at most {ATTRIBUTES_MAX}"));
    }
    for (name, value) in attributes {
        if let Err(error) = name.parse::<Name>() {
            return invalid(format!("a name: {error}"));
        }
        let is_short = value.chars().count() <= ATTRIBUTE_VALUE_CHARACTERS_MAX;
        if !is_short || value.chars().any(char::is_control) {
            let most = ATTRIBUTE_VALUE_CHARACTERS_MAX;
            return invalid(format!("a value has at most {most} visible characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(count: usize, name: usize, value: &str) -> bool {
        let one = |at: usize| (format!("{at:0>name$}"), value.to_owned());
        check_attributes(&(0..count).map(one).collect()).is_ok()
    }

    #[test]
    fn attributes_fit_at_their_edge_and_not_past_it() {
        assert!(is_fine(50, 3, "v"));
        assert!(!is_fine(51, 3, "v"));
        assert!(is_fine(1, 128, "v"));
        assert!(!is_fine(1, 129, "v"));
        assert!(is_fine(1, 3, &"é".repeat(800)));
        assert!(!is_fine(1, 3, &"é".repeat(801)));
        assert!(!is_fine(1, 3, "\0"));
        assert!(check_attributes(&BTreeMap::from([(String::new(), String::new())])).is_err());
    }
}
