//! A new home's keys on AWS: the vault in a bucket, the key of the `devices` CA in KMS.

use std::sync::Arc;

use cvm_aws::kms::{KmsKey, KmsPublicKey};
use cvm_aws::s3::{S3Vault, S3VaultError};
use cvm_aws::{Aws, Place};
use cvm_core::error::chain_of;
use cvm_pki::{Bundle, Protection, RemoteKey, RemotePublicKey, Vault};
use tokio::runtime::Runtime;

use crate::compose::bucket_vault;
use crate::config::Bucket;
use crate::failure::{Done, Exit, Failure};
use crate::output;

/// A vault in memory, for a bucket.
pub(super) struct InBucket {
    runtime: Runtime,
    place: S3Vault,
    bundle: Arc<Bundle>,
    vault: Vault,
}

impl InBucket {
    /// Looks first whether there is one, so that nobody's work is thrown away at its end.
    pub(super) fn make(bucket: &Bucket, protection: Protection<'_>) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let account = runtime.block_on(Aws::load(bucket.place.region.as_deref()));
        let place = bucket_vault(&account, bucket);
        match runtime.block_on(place.load()) {
            Err(S3VaultError::Absent(_)) => {}
            Ok(_) => {
                let what = format!("there is a vault in s3://{}/{}", bucket.name, bucket.prefix);
                let cure = "name another prefix with --vault, or serve that one";
                return Err(Failure::new(Exit::Failed, what).cure(cure));
            }
            Err(error) => return Err(failed("looking for a vault", &error)),
        }
        let bundle = Arc::new(place.empty());
        let vault = Vault::create_in(bundle.clone(), protection)
            .map_err(|error| failed("making the vault", &error))?;
        Ok(Self { runtime, place, bundle, vault })
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Writes it, on condition that there still is none.
    pub(super) fn keep(self, root_fingerprint: &str) -> Done {
        let created = self.runtime.block_on(self.place.create(&self.bundle, root_fingerprint));
        created.map_err(|error| failed("writing the vault", &error))?;
        if self.bundle.root_key().is_some() {
            output::note(format!(
                "The root's key is an object of its own, {}: let nobody read it who only serves.",
                S3Vault::root_key_object(root_fingerprint)
            ));
        }
        Ok(())
    }
}

/// A key in KMS that KMS told the public half of.
pub(super) struct InKms {
    key: KmsKey,
    public: KmsPublicKey,
}

impl InKms {
    pub(super) fn find(reference: &str) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let found = runtime.block_on(async {
            let account = Aws::load(None).await;
            let public = KmsKey::new(&account, &Place::default(), reference).describe().await?;
            // By the name that stays.
            let key = KmsKey::new(&account, &Place::default(), &public.reference);
            Ok(Self { key, public })
        });
        found.map_err(|error: cvm_pki::RemoteKeyError| failed("the CA's key", &error))
    }

    pub(super) fn public(&self) -> RemotePublicKey<'_> {
        RemotePublicKey { spki: &self.public.spki, reference: &self.public.reference }
    }

    pub(super) fn into_key(self) -> Arc<dyn RemoteKey> {
        Arc::new(self.key)
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|error| failed("starting", &error))
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Failed, format!("{what}: {}", chain_of(error)))
}
