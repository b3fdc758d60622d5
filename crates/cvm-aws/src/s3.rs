//! The vault in a bucket: one object with everything that serving needs, so that a function's start
//! is one call, and one with the root's key, which no function needs to be allowed to read.
//!
//! Both are encrypted by S3 with a KMS key (SSE-KMS), whether the vault is sealed or not. No object
//! is ever overwritten unseen: the first write is on condition that there is none
//! (`If-None-Match: *`), every later one that it is still the one that was read (`If-Match`).
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use cvm_core::error::chain_of;
use cvm_pki::{Bundle, VaultError};
use thiserror::Error;

use crate::{Aws, Place};

/// The object that everything but the root's key is in.
const VAULT_OBJECT: &str = "vault.json";
/// A vault has some 20 KiB.
const OBJECT_BYTES_MAX: i64 = 1 << 20;
/// For the body of an answer, whose head the SDK's own time-outs bound.
const BODY_MAX: Duration = Duration::from_secs(12);

/// Why the bucket does not do what was asked.
#[derive(Debug, Error)]
pub enum S3VaultError {
    /// There is no vault.
    #[error("there is no {0}: make one with `cvm init --vault`, or look at [vault] url")]
    Absent(String),
    /// There is a vault.
    #[error("{0} exists already: it is not overwritten")]
    AlreadyExists(String),
    /// Somebody else wrote it since it was read.
    #[error("{0} was changed by somebody else meanwhile: read it and try again")]
    Changed(String),
    /// S3 refuses, or does not answer.
    #[error("{operation} {place}: {problem}")]
    Service {
        /// What was tried.
        operation: &'static str,
        /// With which object.
        place: String,
        /// What S3 or the SDK said, and what to do.
        problem: String,
    },
    /// What lies there is no vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Which version of the vault was read, for replacing that one and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

/// On which condition an object is written.
#[derive(Clone, Copy, Debug)]
enum Condition<'a> {
    IsAbsent,
    IsStill(&'a Version),
}

/// A vault's place in a bucket.
pub struct S3Vault {
    client: Client,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    /// By default the account's own key for S3, `aws/s3`.
    encryption_key: Option<String>,
}

impl fmt::Debug for S3Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Vault").field(&self.place_of(VAULT_OBJECT)).finish()
    }
}

impl S3Vault {
    /// The vault at `s3://bucket/prefix`. Nothing is called yet.
    #[must_use]
    pub fn new(aws: &Aws, place: &Place, bucket: &str, prefix: &str) -> Self {
        let config = aws.at(place);
        // A bucket of a private endpoint or a stand-in has no host name of its own.
        let has_endpoint = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(has_endpoint);
        let prefix = prefix.trim_matches('/');
        Self {
            client: Client::from_conf(config.build()),
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            encryption_key: None,
        }
    }

    /// The same, for objects that S3 is to encrypt with this KMS key.
    #[must_use]
    pub fn encrypted_with(self, key_id: String) -> Self {
        Self { encryption_key: Some(key_id), ..self }
    }

    /// An empty vault that is to be filled and then written by [`Self::create`].
    #[must_use]
    pub fn empty(&self) -> Bundle {
        Bundle::new(&self.place_of(VAULT_OBJECT))
    }

    /// Reads the vault, in one call.
    ///
    /// # Errors
    /// [`S3VaultError`] says what is missing or not allowed.
    pub async fn load(&self) -> Result<(Bundle, Version), S3VaultError> {
        let place = self.place_of(VAULT_OBJECT);
        let (bytes, version) = self.read(VAULT_OBJECT).await?;
        Ok((Bundle::read(&place, &bytes)?, version))
    }

    /// Writes a vault where there is none: the root's key first, if it has it, under a name with
    /// the root's fingerprint, so that what a try leaves behind that went no further is in nobody's
    /// way.
    ///
    /// # Errors
    /// [`S3VaultError::AlreadyExists`] where there is one: it is left as it is.
    pub async fn create(
        &self,
        bundle: &Bundle,
        root_fingerprint: &str,
    ) -> Result<Version, S3VaultError> {
        let json = bundle.to_json()?;
        if let Some(sealed) = bundle.root_key() {
            let name = Self::root_key_object(root_fingerprint);
            self.write(&name, &sealed, Condition::IsAbsent).await?;
        }
        self.write(VAULT_OBJECT, &json, Condition::IsAbsent).await
    }

    /// Writes the vault in the place of the one that was read.
    ///
    /// # Errors
    /// [`S3VaultError::Changed`] where another one lies there now.
    pub async fn replace(&self, bundle: &Bundle, read: &Version) -> Result<Version, S3VaultError> {
        self.write(VAULT_OBJECT, &bundle.to_json()?, Condition::IsStill(read)).await
    }

    /// The object with the root's key.
    #[must_use]
    pub fn root_key_object(root_fingerprint: &str) -> String {
        format!("root-key-{root_fingerprint}.sealed")
    }

    fn place_of(&self, object: &str) -> String {
        format!("s3://{}/{}{object}", self.bucket, self.prefix)
    }

    async fn read(&self, object: &str) -> Result<(Vec<u8>, Version), S3VaultError> {
        let failed = |problem: &str| S3VaultError::Service {
            operation: "reading",
            place: self.place_of(object),
            problem: problem.to_owned(),
        };
        let get = self.client.get_object().bucket(&self.bucket);
        let got = get.key(format!("{}{object}", self.prefix)).send().await;
        let got = got.map_err(|error| match error.code() {
            Some("NoSuchKey") => S3VaultError::Absent(self.place_of(object)),
            _ => self.refusal("reading", object, &error),
        })?;
        if got.content_length().is_none_or(|length| length > OBJECT_BYTES_MAX) {
            return Err(failed("it is too long to be a vault"));
        }
        let version = got.e_tag().map(|tag| Version(tag.to_owned()));
        let version = version.ok_or_else(|| failed("S3 told no ETag"))?;
        let body = tokio::time::timeout(BODY_MAX, got.body.collect()).await;
        let body = body.map_err(|_| failed("S3 stopped in its middle: try again"))?;
        let body = body.map_err(|error| failed(&chain_of(&error)))?;
        Ok((body.to_vec(), version))
    }

    async fn write(
        &self,
        object: &str,
        bytes: &[u8],
        condition: Condition<'_>,
    ) -> Result<Version, S3VaultError> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(format!("{}{object}", self.prefix))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.encryption_key.clone())
            .body(ByteStream::from(bytes.to_vec()));
        let put = match condition {
            Condition::IsAbsent => put.if_none_match("*"),
            Condition::IsStill(Version(tag)) => put.if_match(tag),
        };
        match put.send().await {
            Ok(done) => {
                let version = done.e_tag().map(|tag| Version(tag.to_owned()));
                version.ok_or_else(|| S3VaultError::Service {
                    operation: "writing",
                    place: self.place_of(object),
                    problem: "S3 told no ETag".to_owned(),
                })
            }
            Err(error) if error.code() == Some("PreconditionFailed") => {
                // A try whose answer was lost makes the next one meet what it wrote itself.
                match self.read(object).await {
                    Ok((there, version)) if there == bytes => Ok(version),
                    Ok(_) | Err(_) => Err(self.conflict(object, condition)),
                }
            }
            Err(error) => Err(self.refusal("writing", object, &error)),
        }
    }

    fn conflict(&self, object: &str, condition: Condition<'_>) -> S3VaultError {
        match condition {
            Condition::IsAbsent => S3VaultError::AlreadyExists(self.place_of(object)),
            Condition::IsStill(_) => S3VaultError::Changed(self.place_of(object)),
        }
    }

    fn refusal<E, R>(
        &self,
        operation: &'static str,
        object: &str,
        error: &SdkError<E, R>,
    ) -> S3VaultError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + 'static,
    {
        let cure = match error.code() {
            Some("AccessDenied") => {
                "allow this role s3:GetObject (and for init s3:PutObject) on it, and kms:Decrypt \
                 and kms:GenerateDataKey on its key; without s3:ListBucket a missing object looks \
                 like this too"
            }
            Some("ConditionalRequestConflict") => "somebody else is writing it: try again",
            Some("NoSuchBucket") => "make the bucket first, or look at its name and region",
            Some(_) | None if operation == "writing" => {
                "it may have been written all the same: look before you try again"
            }
            Some(_) | None => "try again",
        };
        let text = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => chain_of(error),
        };
        let problem = format!("{text}; {cure}");
        S3VaultError::Service { operation, place: self.place_of(object), problem }
    }
}
