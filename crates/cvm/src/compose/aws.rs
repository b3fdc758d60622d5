//! What of the composition is on AWS: which services are called, and where.

use std::sync::Arc;

use cvm_aws::dynamodb::{DynamoStore, PointInTimeRecovery, WRITERS, table_create};
use cvm_aws::iot::{IotCalls, PlatformIssuer};
use cvm_aws::kms::KmsKey;
use cvm_aws::s3::S3Vault;
use cvm_aws::{Aws, Place};
use cvm_core::error::chain_of;
use cvm_core::iot_platform::{IotCorePlatform, IotIssuer, IotPlatformPorts, PolicyBinding};
use cvm_core::ports::{Issuer, KeyMaker};
use cvm_pki::{Bundle, Pki, RemoteKey, SystemEntropy};
use cvm_store::Stores;

use super::{Form, Outside};
use crate::config::{
    Bucket, Config, IotCore, IssuerKind, PlatformPlace, PolicyKind, StorePlace, Table, VaultPlace,
};
use crate::failure::{Exit, Failure};
use crate::serve::clock::MarkedClock;

/// Where MQTT is behind TLS.
const MQTT_PORT: u16 = 8_883;

/// The account that is called; `None` where the configuration names nothing on AWS.
pub(super) struct Home(Option<Aws>);

impl Home {
    /// Reads the SDK's own settings, where anything is on AWS.
    pub(super) async fn load(config: &Config) -> Self {
        let mut places = Vec::new();
        if let StorePlace::DynamoDb(table) = &config.store {
            places.push(&table.place);
        }
        if let PlatformPlace::AwsIotCore(core) = &config.platform {
            places.push(&core.place);
        }
        if let VaultPlace::S3(bucket) = &config.vault {
            places.push(&bucket.place);
        }
        if places.is_empty() {
            return Self(None);
        }
        let region = places.into_iter().find_map(|place| place.region.as_deref());
        Self(Some(Aws::load(region).await))
    }

    /// The vault in a bucket.
    pub(super) async fn vault(&self, bucket: &Bucket) -> Result<Arc<Bundle>, Failure> {
        let vault = bucket_vault(&self.account().await, bucket);
        let loaded = vault.load().await.map_err(|error| {
            Failure::new(Exit::Failed, format!("the vault: {}", chain_of(&error)))
        })?;
        Ok(Arc::new(loaded.0))
    }

    /// The key of the `devices` CA that a vault refers to.
    pub(super) async fn devices_key(&self, reference: &str) -> Arc<dyn RemoteKey> {
        Arc::new(KmsKey::new(&self.account().await, &Place::default(), reference))
    }

    /// The account, also where a key of the vault alone is on AWS.
    async fn account(&self) -> Aws {
        match &self.0 {
            Some(account) => account.clone(),
            None => Aws::load(None).await,
        }
    }

    /// The registry in `table`.
    pub(super) async fn stores(&self, table: &Table, form: Form) -> Stores {
        let writers = match form {
            Form::Function => 1,
            Form::Server => WRITERS,
        };
        let client = self.account().await.dynamodb(&table.place);
        stores_in(DynamoStore::new(client, &table.name, Arc::new(SystemEntropy), writers))
    }

    /// Things in IoT Core.
    pub(super) async fn platform(
        &self,
        core: &IotCore,
        (pki, key_maker): (&Pki, &Arc<dyn KeyMaker>),
        clock: &Arc<MarkedClock>,
        stores: &Stores,
    ) -> Result<Outside, Failure> {
        let calls = Arc::new(IotCalls::new(&self.account().await, &core.place));
        let mqtt_endpoint = match &core.public_endpoint {
            Some(said) => said.clone(),
            None => format!("{}:{MQTT_PORT}", data_host(&calls).await?),
        };
        let (signer, issuer): (_, Arc<dyn Issuer>) = match core.issuer {
            IssuerKind::Aws => (IotIssuer::Aws, Arc::new(PlatformIssuer::new(pki.issuer()))),
            IssuerKind::OwnCa => (IotIssuer::OwnCa, pki.issuer()),
        };
        let binding = match core.policy {
            PolicyKind::Named => PolicyBinding::Named,
            PolicyKind::PerDevice => PolicyBinding::PerDevice,
        };
        let ports = IotPlatformPorts {
            iot: calls,
            issuer: issuer.clone(),
            key_maker: key_maker.clone(),
            store: stores.store.clone(),
            catalogue: stores.catalogue.clone(),
            policies: stores.policies.clone(),
            clock: clock.clone(),
            stopwatch: clock.clone(),
        };
        let platform = Arc::new(IotCorePlatform::new(ports, signer, binding));
        Ok(Outside { issuer, platform, mqtt_endpoint: Some(mqtt_endpoint) })
    }
}

async fn data_host(calls: &IotCalls) -> Result<String, Failure> {
    calls.data_host().await.map_err(|error| {
        let what = format!("asking AWS where devices find MQTT: {}", chain_of(&error));
        Failure::new(Exit::Failed, what)
            .cure("allow iot:DescribeEndpoint, or set [mqtt] public_endpoint")
    })
}

/// Makes the table, unless it is there, and opens it.
pub(crate) async fn table_stores(table: &Table) -> Result<Stores, Failure> {
    let client = Aws::load(table.place.region.as_deref()).await.dynamodb(&table.place);
    // What stands in for DynamoDB cannot be brought back.
    let recovery = match table.place.endpoint {
        None => PointInTimeRecovery::On,
        Some(_) => PointInTimeRecovery::Off,
    };
    table_create(&client, &table.name, recovery).await.map_err(|error| {
        let what = format!("making the table {}: {}", table.name, chain_of(&error));
        Failure::new(Exit::Failed, what)
    })?;
    Ok(stores_in(DynamoStore::new(client, &table.name, Arc::new(SystemEntropy), 1)))
}

fn stores_in(store: DynamoStore) -> Stores {
    let store = Arc::new(store);
    Stores {
        attempts: store.clone(),
        catalogue: store.clone(),
        counters: Arc::default(),
        journal: store.clone(),
        nonces: store.clone(),
        operators: store.clone(),
        policies: store.clone(),
        revocations: store.clone(),
        store,
    }
}

/// The vault that the configuration names.
pub(crate) fn bucket_vault(account: &Aws, bucket: &Bucket) -> S3Vault {
    let vault = S3Vault::new(account, &bucket.place, &bucket.name, &bucket.prefix);
    match &bucket.key {
        Some(key) => vault.encrypted_with(key.clone()),
        None => vault,
    }
}
