//! The operator API: devices, certificates, policies, attempts, journal, admin tokens.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::SecretText;

/// A page of any list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct List<T> {
    /// The items, in order of their key.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; `null` at the end.
    pub cursor: Option<String>,
}

/// A device.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The manufacturer's number.
    pub serial_number: String,
    /// The registry entry it is bound to.
    pub thing_name: String,
    /// What it may do.
    pub policy: String,
    /// By which rules it gets certificates.
    pub profile: String,
    /// What its operator says of it.
    pub attributes: BTreeMap<String, String>,
    /// By which roads it may come to its first certificate.
    pub roads: Vec<String>,
    /// `registered`, `issued`, `active` or `deleted`.
    pub state: String,
    /// Whether nothing is accepted from it.
    pub disabled: bool,
    /// `unused`, `used`, `burnt` or `expired`.
    pub token_state: String,
    /// Until when the token may wait for its first issue.
    pub token_expires: String,
    /// Its certificates, oldest first.
    pub certificates: Vec<CertificateBrief>,
    /// When it was registered.
    pub created_at: String,
    /// Counts the changes of the record.
    pub version: u64,
    /// The token, only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
}

/// A certificate of a device.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateBrief {
    /// 64 hexadecimal digits.
    pub certificate_id: String,
    /// `unconfirmed`, `current`, `candidate`, `retiring`, `superseded`, `dropped`, `revoked` or
    /// `expired`.
    pub state: String,
}

/// The body of `POST /v1/devices`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDevice {
    /// The manufacturer's number.
    pub serial_number: String,
    /// A token that the operator brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<String>,
    /// The registry entry it is to be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing_name: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// By which rules it gets certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What its operator says of it.
    #[serde(
        default,
        deserialize_with = "each_name_once",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub attributes: BTreeMap<String, String>,
    /// By which roads it may come to its first certificate; this version has `vend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roads: Option<Vec<String>>,
    /// Whether a device that was deleted begins another life.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// Texts by their names, each of which is there once: of two values neither is the one that was
/// meant.
///
/// # Errors
/// Where a name comes twice, or it is no such object.
pub fn each_name_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    from.deserialize_map(EachNameOnce)
}

struct EachNameOnce;

impl<'de> Visitor<'de> for EachNameOnce {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a text for each name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, text)) = pairs.next_entry()? {
            if map.insert(name, text).is_some() {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(map)
    }
}

/// The body of `POST /v1/devices/{serialNumber}:new-token`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// A token that the operator brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<String>,
    /// Whether every live certificate is revoked now, also those that were confirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke: bool,
}

/// The body of `POST /v1/certificates/{certificateId}:revoke`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Revocation {
    /// Why, as RFC 5280 names it; `unspecified` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A question for a human: whether a token may be used with another key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Its name: the code of the request that asked first.
    pub id: String,
    /// The device.
    pub serial_number: String,
    /// The registry entry it is bound to.
    pub thing_name: String,
    /// `waiting`, `approved`, `denied`, `spent`, `lapsed` or `closed`.
    pub state: String,
    /// The identity of the key that asks, 64 hexadecimal digits; `null` where the server is to
    /// make it.
    pub key: Option<String>,
    /// Of which kind the key is that the server is to make.
    pub key_algorithm: Option<String>,
    /// The identity of the key that the token is bound to.
    pub bound_key: Option<String>,
    /// Where it was asked from.
    pub address: String,
    /// When it was asked first.
    pub opened_at: String,
    /// Until when an approval may be used.
    pub approved_until: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// 64 hexadecimal digits.
    pub certificate_id: String,
    /// The X.509 serial number, hexadecimal.
    pub certificate_serial: String,
    /// The device.
    pub serial_number: String,
    /// The registry entry it is bound to.
    pub thing_name: String,
    /// Where it stands.
    pub state: String,
    /// The road by which it came.
    pub origin: String,
    /// As in the certificate.
    pub not_before: String,
    /// As in the certificate.
    pub not_after: String,
    /// When it was first used.
    pub confirmed_at: Option<String>,
    /// When it was revoked, or another took its place.
    pub revoked_at: Option<String>,
    /// Why, as RFC 5280 names it.
    pub reason: Option<String>,
    /// PEM.
    pub certificate: String,
}

/// A policy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// An AWS IoT policy document.
    pub document: Value,
    /// When it was last put.
    pub updated_at: String,
}

/// What is known of a device's requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptList {
    /// Newest first.
    pub items: Vec<Attempt>,
    /// Always `null`: no device has more than one page of them.
    pub cursor: Option<String>,
    /// Where nothing is known: how often serial numbers that nobody registered were asked for in
    /// the last hour, most first. A mistyped serial number is among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_serial_numbers: Vec<UnknownSerialNumbers>,
}

/// How often serial numbers that nobody registered were asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownSerialNumbers {
    /// From where; for IPv6 the /64.
    pub address: String,
    /// How often.
    pub count: u64,
}

/// One request of a device, told step by step.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The code that the answer carried.
    pub attempt: String,
    /// When it was decided.
    pub at: String,
    /// The device.
    pub serial_number: String,
    /// Where it came from.
    pub address: String,
    /// `vend`, `renew`, `confirm`, `connect` or `other`.
    pub act: String,
    /// `issued`, `answered-again`, `confirmed`, `connected`, or the slug of the refusal.
    pub outcome: String,
    /// Which of several reasons for one slug; may be empty.
    pub reason: String,
    /// In order; the last one decided.
    pub steps: Vec<Step>,
    /// What happened, in words.
    pub meaning: String,
    /// What to do next.
    pub cure: String,
}

/// A check and how it went.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which check.
    pub name: String,
    /// Whether the request passed it.
    pub passed: bool,
    /// The evidence; may be empty.
    pub evidence: String,
}

/// The server's clock.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// What the system's clock says.
    pub now: String,
    /// By what everything is judged; after a suspicious step forward, what it would be without it.
    pub believed: String,
    /// The latest time on record.
    pub mark: Option<String>,
    /// Whether certificates are issued by it.
    pub trusted: bool,
    /// Why not: `ahead-of-mark`, `before-issuer`, `behind-mark` or `stepped-forward`.
    pub reason: Option<String>,
}

/// What was accepted.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockAccepted {
    /// The latest time on record from now on.
    pub now: String,
    /// What it was before.
    pub mark_before: Option<String>,
}

/// A row of the journal.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalRow {
    /// Which process wrote it.
    pub writer: String,
    /// Its number among that process's rows.
    pub number: u64,
    /// When it happened.
    pub at: String,
    /// `change`, `decision`, `alarm` or `void`.
    pub class: String,
    /// What happened.
    pub kind: String,
    /// To which device.
    pub serial_number: String,
    /// With which certificate.
    pub certificate_id: Option<String>,
    /// In which request.
    pub attempt: Option<String>,
    /// By whom.
    pub actor: String,
    /// What else there is to know.
    pub detail: String,
}

/// The body of `POST /v1/admin-tokens`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAdminToken {
    /// What people call it; no two live ones have the same.
    pub name: String,
    /// `viewer`, `registrar`, `operator`, `security` or `owner`.
    pub role: String,
    /// RFC 3339; without it, time does not end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// An operator's credential.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminToken {
    /// Short and public; stands in the journal as the actor.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    /// When it was made.
    pub created_at: String,
    /// Until when it is let in; `null` where time does not end it.
    pub expires: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// The token, only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
}
