//! `[store]`, `[vault]`, `[platform]`: where the registry, the CAs' keys and the things are.
//!
//! What AWS keeps takes a build with the feature `aws`; any other says so, and what to do.

use std::fmt;
use std::str::FromStr;

use super::Reader;
#[cfg(feature = "aws")]
use super::aws::{Bucket, IotCore, Table};
use super::sections::choice;

/// `[store] url` where nobody says otherwise.
pub(crate) const DEFAULT_STORE: &str = "sqlite:cvm.db";

/// Where the registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorePlace {
    /// In a table of `DynamoDB`.
    #[cfg(feature = "aws")]
    DynamoDb(Table),
    /// In a file, which is named by this URL.
    Sqlite(String),
}

/// Where the vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VaultPlace {
    /// In the data directory.
    File,
    /// In a bucket.
    #[cfg(feature = "aws")]
    S3(Bucket),
}

/// A place for a new registry, as it was typed.
#[derive(Clone, Debug)]
pub(crate) struct StoreUrl {
    /// What `[store] url` is to say.
    pub(crate) text: String,
    /// What it means.
    pub(crate) place: StorePlace,
}

/// A place for a new vault, as it was typed.
#[derive(Clone, Debug)]
pub(crate) struct VaultUrl {
    /// What `[vault] url` is to say.
    pub(crate) text: String,
    /// What it means.
    pub(crate) place: VaultPlace,
}

/// A key that is kept elsewhere, for a new CA.
#[derive(Clone, Debug)]
pub(crate) struct KeyReference(
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "there is none in such a build"))]
    pub(crate) String,
);

/// Which IoT platform there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlatformPlace {
    /// AWS IoT Core.
    #[cfg(feature = "aws")]
    AwsIotCore(IotCore),
    /// Our own, in this process.
    Embedded,
}

choice!(
    /// The IoT platform.
    PlatformKind {
        /// AWS's.
        AwsIotCore = "aws-iot-core",
        /// Our own, in this process.
        Embedded = "embedded"
    }
);

/// A platform that this build has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformName(pub(crate) PlatformKind);

/// What a build without AWS says of what is there.
#[cfg(not(feature = "aws"))]
fn without_aws() -> String {
    String::from(
        "this cvm was built without --features aws: run one that was built with it (`cargo build \
         --release --package cvm --features aws`)",
    )
}

impl FromStr for StorePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dynamodb://") {
            #[cfg(feature = "aws")]
            Some(rest) => rest.parse().map(Self::DynamoDb),
            #[cfg(not(feature = "aws"))]
            Some(_) => Err(without_aws()),
            None => {
                cvm_store::url_check(text).map_err(|error| error.to_string())?;
                Ok(Self::Sqlite(text.to_owned()))
            }
        }
    }
}

impl FromStr for VaultPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("s3://") {
            #[cfg(feature = "aws")]
            Some(rest) => rest.parse().map(Self::S3),
            #[cfg(not(feature = "aws"))]
            Some(_) => Err(without_aws()),
            None if text == "file:vault" => Ok(Self::File),
            None => Err(String::from("this version has \"file:vault\" and s3://BUCKET/PREFIX")),
        }
    }
}

impl FromStr for PlatformName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            #[cfg(not(feature = "aws"))]
            PlatformKind::AwsIotCore => Err(without_aws()),
            kind => Ok(Self(kind)),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), place: text.parse()? })
    }
}

impl FromStr for VaultUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), place: text.parse()? })
    }
}

impl FromStr for KeyReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("kms:") {
            #[cfg(feature = "aws")]
            Some(id) if !id.is_empty() => Ok(Self(text.to_owned())),
            #[cfg(not(feature = "aws"))]
            Some(_) => Err(without_aws()),
            _ => Err(String::from("expected kms: and a key's ARN, id or alias/NAME")),
        }
    }
}

/// `[store] url`.
pub(super) fn store(reader: &mut Reader) -> StorePlace {
    let place = reader.text("store", "url", DEFAULT_STORE);
    place.unwrap_or_else(|| StorePlace::Sqlite(String::new()))
}

/// `[vault] url`.
pub(super) fn vault(reader: &mut Reader) -> VaultPlace {
    reader.text("vault", "url", "file:vault").unwrap_or(VaultPlace::File)
}

/// `[platform]`, and what of `[mqtt]` depends on it.
pub(super) fn platform(reader: &mut Reader) -> PlatformPlace {
    const OF_AWS: [&str; 4] = ["region", "issuer", "policy", "endpoint"];
    reader.later("platform", &["account"]);
    reader.later("mqtt", &["listen"]);
    match reader.text("platform", "kind", "embedded").unwrap_or(PlatformKind::Embedded) {
        PlatformKind::Embedded => {
            reader.without_effect("platform", &OF_AWS, "with kind = \"embedded\"");
            reader.without_effect("mqtt", &["public_endpoint"], "with kind = \"embedded\"");
            PlatformPlace::Embedded
        }
        #[cfg(feature = "aws")]
        PlatformKind::AwsIotCore => PlatformPlace::AwsIotCore(IotCore::read(reader)),
        #[cfg(not(feature = "aws"))]
        PlatformKind::AwsIotCore => {
            reader.fault("platform", "kind", without_aws());
            // Not called unknown as well.
            reader.without_effect("platform", &OF_AWS, "in this build");
            reader.without_effect("mqtt", &["public_endpoint"], "in this build");
            PlatformPlace::Embedded
        }
    }
}
