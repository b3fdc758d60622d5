//! `[issuance]` and `[[profile]]`: by which rules certificates are issued.

use std::fmt;
use std::str::FromStr;

use cvm_core::id::Name;
use cvm_core::profile::{Profile, Profiles, Reissue};
use cvm_core::time::Span;

use super::Reader;
use super::sections::choice;

/// The sections that hold one profile's rules.
const ISSUANCE: &str = "issuance";

const LIFETIME: &str = "365d";

/// Of the profile that `cvm rehearse` registers its devices under, which is always there.
const REHEARSAL_LIFETIME: &str = "1h";

choice!(
    /// What a used token still obtains.
    ReissueName {
        /// Another key gets a certificate at any time.
        Always = "always",
        /// Another key waits for a human.
        Approval = "approval",
        /// The same bytes for ten minutes, and then nothing.
        Never = "never",
        /// The same key is answered the same bytes.
        SameKey = "same-key",
        /// Another key takes the place of what nobody has used yet.
        UntilConfirmed = "until-confirmed"
    }
);

impl ReissueName {
    fn rule(self) -> Reissue {
        match self {
            Self::Always => Reissue::Always,
            Self::Approval => Reissue::Approval,
            Self::Never => Reissue::Never,
            Self::SameKey => Reissue::SameKey,
            Self::UntilConfirmed => Reissue::UntilConfirmed,
        }
    }
}

pub(super) fn read_profiles(reader: &mut Reader) -> Profiles {
    const INHERITED: [&str; 9] = [
        "reissue",
        "lifetime",
        "backdate",
        "overlap",
        "grace_after_confirm",
        "renew_after_expiry",
        "key_replay",
        "token_life",
        "server_keys",
    ];
    let default = read_profile(reader, ISSUANCE, LIFETIME);
    let mut profiles = Profiles { default, ..Profiles::default() };
    let mut names = reader.take_profiles();
    if names.iter().all(|name| name != cvm_rehearse::plan::PROFILE) {
        names.push(cvm_rehearse::plan::PROFILE.to_owned());
    }
    for name in names {
        let section = format!("profile.{name}");
        let is_rehearsal = name == cvm_rehearse::plan::PROFILE;
        // A rehearsal's certificates are never worth much, and it is judged by the rule that burns
        // tokens, whatever [issuance] says.
        let is_own = |key: &str| is_rehearsal && matches!(key, "lifetime" | "reissue");
        for key in INHERITED.iter().filter(|key| !is_own(key)) {
            reader.inherit(&section, key, ISSUANCE);
        }
        let lifetime = if is_rehearsal { REHEARSAL_LIFETIME } else { LIFETIME };
        let profile = read_profile(reader, &section, lifetime);
        match name.parse::<Name>() {
            Ok(name) => drop(profiles.named.insert(name, profile)),
            Err(error) => reader.fault(&section, "name", error.to_string()),
        }
    }
    profiles
}

fn read_profile(reader: &mut Reader, section: &str, lifetime: &str) -> Profile {
    let rules = Profile::default();
    let reissue: Option<ReissueName> = reader.text(section, "reissue", "same-key");
    let mut span =
        |key: &str, default: &str, rule: Span| reader.text(section, key, default).unwrap_or(rule);
    let (overlap, grace_after_confirm, renew_after_expiry) = (
        span("overlap", "7d", rules.overlap),
        span("grace_after_confirm", "5m", rules.grace_after_confirm),
        span("renew_after_expiry", "0d", rules.renew_after_expiry),
    );
    let profile = Profile {
        reissue: reissue.map_or(rules.reissue, ReissueName::rule),
        overlap,
        grace_after_confirm,
        renew_after_expiry,
        lifetime: reader.text(section, "lifetime", lifetime).unwrap_or(rules.lifetime),
        backdate: reader.text(section, "backdate", "5m").unwrap_or(rules.backdate),
        key_replay: reader.text(section, "key_replay", "15m").unwrap_or(rules.key_replay),
        token_life: reader.text(section, "token_life", "90d").unwrap_or(rules.token_life),
        server_keys: reader.truth(section, "server_keys", false).unwrap_or(rules.server_keys),
    };
    if profile.lifetime < Span::MINUTE {
        reader.fault(section, "lifetime", String::from("at least 1m"));
    }
    if profile.token_life < Span::MINUTE {
        reader.fault(section, "token_life", String::from("at least 1m"));
    }
    if profile.grace_after_confirm > Span::DAY {
        let what = String::from("at most 1d: until then a certificate that was replaced connects");
        reader.fault(section, "grace_after_confirm", what);
    }
    if profile.backdate > Span::DAY {
        reader.fault(section, "backdate", String::from("at most 1d: it is for slow clocks"));
    }
    profile
}
