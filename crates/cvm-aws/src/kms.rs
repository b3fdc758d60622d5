//! The `devices` CA's key in AWS KMS: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>.
//!
//! KMS is sent a hash of what was approved, never more than 4 KiB however long a CRL is. What it
//! answers is verified by whoever asked ([`RemoteKey`]).

use std::fmt;

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyUsageType, MessageType, SigningAlgorithmSpec};
use cvm_core::error::chain_of;
use cvm_pki::{Approved, RemoteKey, RemoteKeyError, SigningAlgorithm};

use crate::{Aws, Place};

/// What references to keys in KMS begin with.
pub const SCHEME: &str = "kms:";

/// A key in KMS for signing: `ECC_NIST_P256`, `ECC_NIST_P384`, or RSA.
pub struct KmsKey {
    client: Client,
    /// An id, an ARN, or an alias.
    id: String,
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.id)
    }
}

/// What KMS says of a key before a CA is made for it.
#[derive(Clone, Debug)]
pub struct KmsPublicKey {
    /// `SubjectPublicKeyInfo`, DER.
    pub spki: Vec<u8>,
    /// The key's ARN behind [`SCHEME`]: an alias may name another key tomorrow.
    pub reference: String,
}

impl KmsKey {
    /// The key that `reference` names, with or without [`SCHEME`]. Nothing is called yet. The
    /// region in an ARN goes before that of `place`.
    #[must_use]
    pub fn new(aws: &Aws, place: &Place, reference: &str) -> Self {
        let id = reference.strip_prefix(SCHEME).unwrap_or(reference);
        let mut config = aws_sdk_kms::config::Builder::from(&aws.at(place));
        if let Some(region) = region_of(id) {
            config = config.region(Region::new(region.to_owned()));
        }
        Self { client: Client::from_conf(config.build()), id: id.to_owned() }
    }

    /// Its public half, and the name that stays.
    ///
    /// # Errors
    /// [`RemoteKeyError`] where KMS does not tell it, or the key is not for signing.
    pub async fn describe(&self) -> Result<KmsPublicKey, RemoteKeyError> {
        let told = self.client.get_public_key().key_id(&self.id).send().await;
        let told = told.map_err(|error| self.failed("telling its public half", &error))?;
        if told.key_usage() != Some(&KeyUsageType::SignVerify) {
            let what = format!("{self:?} is not a key for signing: make one with SIGN_VERIFY");
            return Err(RemoteKeyError(what));
        }
        let (Some(spki), Some(arn)) = (told.public_key(), told.key_id()) else {
            return Err(RemoteKeyError(format!("KMS told nothing of {self:?}: try again")));
        };
        Ok(KmsPublicKey { spki: spki.as_ref().to_vec(), reference: format!("{SCHEME}{arn}") })
    }

    fn failed<E, R>(&self, what: &str, error: &SdkError<E, R>) -> RemoteKeyError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + 'static,
    {
        let cure = match error.code() {
            Some("AccessDeniedException") => "allow this role kms:Sign and kms:GetPublicKey on it",
            Some("DisabledException") => "enable it (aws kms enable-key)",
            Some("KMSInvalidStateException") => "cancel its deletion (aws kms cancel-key-deletion)",
            Some("NotFoundException") => "look at its name, its region and its account",
            Some("LimitExceededException" | "ThrottlingException") => {
                "ask for a higher quota of requests (Service Quotas, AWS KMS)"
            }
            Some(_) | None => "try again; see the AWS Health Dashboard if it goes on",
        };
        let text = error.as_service_error().map_or_else(|| chain_of(error), service_text);
        RemoteKeyError(format!("{self:?} fails at {what} ({text}): {cure}"))
    }
}

fn service_text<E: ProvideErrorMetadata>(error: &E) -> String {
    [error.code(), error.message()].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// The region in an ARN, `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
fn region_of(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

#[async_trait]
impl RemoteKey for KmsKey {
    async fn public_key(&self) -> Result<Vec<u8>, RemoteKeyError> {
        self.describe().await.map(|told| told.spki)
    }

    async fn sign(&self, approved: &Approved) -> Result<Vec<u8>, RemoteKeyError> {
        let algorithm = match approved.algorithm() {
            SigningAlgorithm::EcdsaSha256 => SigningAlgorithmSpec::EcdsaSha256,
            SigningAlgorithm::EcdsaSha384 => SigningAlgorithmSpec::EcdsaSha384,
            SigningAlgorithm::RsaSha256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        };
        let sign = self
            .client
            .sign()
            .key_id(&self.id)
            .message_type(MessageType::Digest)
            .message(Blob::new(approved.digest()))
            .signing_algorithm(algorithm);
        let signed = sign.send().await.map_err(|error| self.failed("signing", &error))?;
        let signature = signed.signature.ok_or_else(|| {
            RemoteKeyError(format!("KMS answered without a signature by {self:?}: try again"))
        })?;
        Ok(signature.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_its_region_and_other_names_say_none() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
        assert_eq!(region_of(arn), Some("eu-central-1"));
        for name in ["1234abcd-12ab-34cd-56ef-1234567890ab", "alias/cvm", "arn:aws:kms::1:key/2"] {
            assert_eq!(region_of(name), None, "{name}");
        }
    }
}
