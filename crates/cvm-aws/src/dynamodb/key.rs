//! The map of the table: where everything is, and by which index it is found (record 0020).
//!
//! Sort keys are compared byte for byte. Every character of ours in them is above `!`, which is
//! therefore what comes directly behind a key.

use aws_sdk_dynamodb::types::AttributeValue;
use cvm_core::certificate::IssuerId;
use cvm_core::id::{CertificateId, KeyIdentity, Name, SerialNumber, ThingName, TokenMac, hex};
use cvm_core::time::Timestamp;

use super::item::{Attributes, text};

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";

/// Into how many partitions a list is cut.
pub(super) const SHARDS: u8 = 16;

/// The most bytes of a sort key (quotas of DynamoDB, read 2026-11-25: 1,024), with some to spare.
const SORT_KEY_BYTES_MAX: usize = 1_000;

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// The key among the attributes of an item of ours.
    pub(super) fn of(item: &Attributes) -> Self {
        let part = |name| item.get(name).and_then(|value| value.as_s().ok());
        let part = |name| part(name).cloned().unwrap_or_default();
        Self { pk: part(PK), sk: part(SK) }
    }

    pub(super) fn attributes(&self) -> Attributes {
        [(PK, &self.pk), (SK, &self.sk)].map(|(name, part)| (name.to_owned(), text(part))).into()
    }

    /// A credential of an operator.
    pub(super) fn admin_token(id: &str) -> Self {
        Self::new(ADMIN_TOKENS, id)
    }

    /// Which credential has the hash.
    pub(super) fn admin_token_mac(mac: &TokenMac) -> Self {
        Self::new(format!("admin-mac#{mac}"), "id")
    }

    /// How often the credentials changed: what two who change them meet at.
    pub(super) fn admin_tokens() -> Self {
        Self::new("admin", "changes")
    }

    pub(super) fn attempt(serial: &SerialNumber, place: &str) -> Self {
        Self::new(attempts_of(serial), place)
    }

    /// A row of a certificate. Ids are digests, so the partitions fill evenly, and one behind the
    /// other they are the list of all.
    pub(super) fn certificate(id: &CertificateId) -> Self {
        let sk = id.to_string();
        Self::new(certificates(id.0.first().map_or(0, |octet| octet >> 4)), sk)
    }

    /// A piece of a CRL.
    pub(super) fn crl(issuer: &IssuerId, shard: u8, piece: &str) -> Self {
        Self::new(crl_pieces(issuer, shard), piece)
    }

    /// A device's record.
    pub(super) fn device(serial: &SerialNumber) -> Self {
        Self::device_called(serial.as_str())
    }

    pub(super) fn device_called(serial: &str) -> Self {
        Self::new(format!("device#{serial}"), RECORD)
    }

    /// A row of the journal.
    pub(super) fn journal(writer: u64, number: u64) -> Self {
        Self::new(journal(writer), journal_place(writer, number))
    }

    /// Who owns a key.
    pub(super) fn key_owner(key: &KeyIdentity) -> Self {
        Self::new(format!("key#{key}"), "owner")
    }

    /// The latest time on record.
    pub(super) fn mark() -> Self {
        Self::new("mark", "mark")
    }

    pub(super) fn nonce(random: &[u8]) -> Self {
        Self::new(format!("nonce#{}", hex(random)), "use")
    }

    pub(super) fn policy(name: &Name) -> Self {
        Self::new(POLICIES, name.as_str())
    }

    /// What is written to show that writing works.
    pub(super) fn ready() -> Self {
        Self::new("ready", "ready")
    }

    /// A certificate that CRLs list, in its shard's list.
    pub(super) fn revoked(
        (issuer, shard): (&IssuerId, u8),
        not_after: Timestamp,
        id: &CertificateId,
    ) -> Self {
        let sk = format!("{}#{id}", sortable(not_after));
        Self::new(revoked(issuer, shard), sk)
    }

    /// The counter and the CRL of a shard.
    pub(super) fn shard(issuer: &IssuerId, shard: u8) -> Self {
        Self::new(crl_shards(shard >> 4), format!("{issuer}#{shard:02x}"))
    }

    /// A token of the device that has no slot any more.
    pub(super) fn spent(serial: &SerialNumber, mac: &TokenMac) -> Self {
        Self::new(format!("device#{serial}"), format!("spent#{mac}"))
    }

    /// Whose a thing name is.
    pub(super) fn thing_name(name: &ThingName) -> Self {
        Self::thing_called(name.as_str())
    }

    pub(super) fn thing_called(name: &str) -> Self {
        Self::new(format!("thing#{name}"), "name")
    }

    pub(super) fn unknown(minute: i64, address: &str) -> Self {
        let shard = shard_of(address);
        Self::new(unknown(shard), format!("{}#{address}", sortable(Timestamp(minute))))
    }
}

/// The sort key of a device's record.
pub(super) const RECORD: &str = "record";
pub(super) const ADMIN_TOKENS: &str = "admin-token";
pub(super) const POLICIES: &str = "policy";

pub(super) fn attempts_of(serial: &SerialNumber) -> String {
    format!("attempts#{serial}")
}

pub(super) fn certificates(shard: u8) -> String {
    format!("certificate#{shard:x}")
}

pub(super) fn crl_pieces(issuer: &IssuerId, shard: u8) -> String {
    format!("crl#{issuer}#{shard:02x}")
}

pub(super) fn crl_shards(part: u8) -> String {
    format!("shard#{part:x}")
}

/// The partition of a writer's rows. Writers are random numbers of 63 bits: by their upper bits they
/// are spread evenly, and partition behind partition they are in order.
pub(super) fn journal(writer: u64) -> String {
    journal_part(u8::try_from(writer >> 59).unwrap_or(SHARDS - 1))
}

pub(super) fn journal_part(part: u8) -> String {
    format!("journal#{part:x}")
}

pub(super) fn journal_place(writer: u64, number: u64) -> String {
    format!("{writer:020}#{number:020}")
}

pub(super) fn revoked(issuer: &IssuerId, shard: u8) -> String {
    format!("revoked#{issuer}#{shard:02x}")
}

pub(super) fn unknown(shard: u8) -> String {
    format!("unknown#{shard:x}")
}

/// The indexes. All are sparse and have keys alone; each is of several kinds of items, whose
/// partitions never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// Devices that an operator disabled.
    Disabled,
    /// Devices that a timer has to look at, by when.
    Due,
    /// Devices by their serial number; certificates of a device by when they were issued.
    Listed,
    /// Devices by state and what it lasts until; live certificates by their key.
    Placed,
    /// Devices by the name of their review; attempts by their code.
    Reviewed,
}

impl Index {
    pub(super) const ALL: [Self; 5] =
        [Self::Disabled, Self::Due, Self::Listed, Self::Placed, Self::Reviewed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Due => "due",
            Self::Listed => "listed",
            Self::Placed => "placed",
            Self::Reviewed => "reviewed",
        }
    }

    pub(super) fn pk(self) -> &'static str {
        match self {
            Self::Disabled => "disabled_pk",
            Self::Due => "due_pk",
            Self::Listed => "listed_pk",
            Self::Placed => "placed_pk",
            Self::Reviewed => "reviewed_pk",
        }
    }

    pub(super) fn sk(self) -> &'static str {
        match self {
            Self::Disabled => "disabled_sk",
            Self::Due => "due_sk",
            Self::Listed => "listed_sk",
            Self::Placed => "placed_sk",
            Self::Reviewed => "reviewed_sk",
        }
    }

    /// The attributes by which an item is in the index.
    pub(super) fn place(self, place: (String, String)) -> [(&'static str, AttributeValue); 2] {
        [(self.pk(), text(place.0)), (self.sk(), text(place.1))]
    }
}

/// The partition of an index that has a device, by its serial number, in 16 parts.
pub(super) fn sharded(list: &str, shard: u8) -> String {
    format!("{list}#{shard:x}")
}

/// In which of the 16 parts of a list it is. FNV-1a: everybody must come to the same, for ever, and
/// nobody gains anything by choosing.
pub(super) fn shard_of(text: &str) -> u8 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = text.bytes().fold(0x811C_9DC5, step);
    let folded = (hash >> 16) ^ hash;
    u8::try_from((folded ^ (folded >> 8)) & 15).unwrap_or(0)
}

/// A time as text whose order is the time's, before 1970 too.
pub(super) fn sortable(at: Timestamp) -> String {
    format!("{:016x}", at.0.cast_unsigned() ^ (1 << 63))
}

/// The time that [`sortable`] wrote.
pub(super) fn sorted(text: &str) -> Option<Timestamp> {
    u64::from_str_radix(text, 16).ok().map(|bits| Timestamp((bits ^ (1 << 63)).cast_signed()))
}

/// What comes directly behind `key` among our keys. What is longer than any of them is cut, which
/// changes nothing of what lies behind it.
pub(super) fn behind(key: &str) -> String {
    let end = key.floor_char_boundary(SORT_KEY_BYTES_MAX);
    format!("{}!", key.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_order_as_text() {
        let times = [i64::MIN, -1, 0, 1, 1_800_000_000, i64::MAX].map(Timestamp);
        let texts = times.map(sortable);
        assert!(texts.is_sorted());
        assert_eq!(texts.each_ref().map(|text| sorted(text)), times.map(Some));
    }

    #[test]
    fn devices_are_spread_over_all_shards() {
        let mut counts = [0_u32; 16];
        for n in 0..16_000 {
            counts[usize::from(shard_of(&format!("SN-{n:06}")))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_comes_behind_a_key_is_before_every_longer_one() {
        for longer in ["a+", "a-", "a.", "a/", "a0", "aA", "a_", "a#", "b"] {
            assert!("a" < behind("a").as_str() && behind("a").as_str() < longer, "{longer}");
        }
        assert!(behind(&"é".repeat(2_000)).len() <= 1_001);
    }

    #[test]
    fn writers_are_in_order_partition_behind_partition() {
        let writers = [1, (1 << 59) - 1, 1 << 59, (1 << 63) - 1];
        let places = writers.map(|writer| Key::journal(writer, 1));
        let places = places.map(|key| (key.pk, key.sk));
        assert!(places.is_sorted());
        assert_eq!(places[0].0, "journal#0");
        assert_eq!(places[3].0, "journal#f");
    }
}
