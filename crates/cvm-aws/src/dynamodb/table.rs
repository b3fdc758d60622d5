//! The table: made once, by `init` or by a template that says the same.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification,
};
use cvm_core::ports::StoreError;

use super::failure::Failure;
use super::key::{Index, PK, SK};

/// The attribute by which DynamoDB lets go of an item.
pub(super) const EXPIRES: &str = "expires";

/// How often it is looked whether the table is there, a second after another.
const LOOKS_MAX: u32 = 120;

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Whether the table can be brought back to any second of the last 35 days. DynamoDB Local cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointInTimeRecovery {
    /// Nobody can bring it back.
    Off,
    /// It can be brought back.
    On,
}

/// Makes the table and waits until it is there; one that is there already is left as it is, but for
/// what it lacks of expiry and recovery.
///
/// # Errors
/// [`StoreError::Unavailable`] says which call did not work.
pub async fn table_create(
    client: &Client,
    table: &str,
    recovery: PointInTimeRecovery,
) -> Result<(), StoreError> {
    create(client, table).await?;
    wait_until_active(client, table).await?;
    if !has_expiry(client, table).await? {
        let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true);
        let expiry = expiry.build().map_err(Failure::from)?;
        let call =
            client.update_time_to_live().table_name(table).time_to_live_specification(expiry);
        call.send().await.map_err(|error| Failure::of("letting items expire", error))?;
    }
    if recovery == PointInTimeRecovery::On {
        let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
        let on = on.build().map_err(Failure::from)?;
        let call = client.update_continuous_backups().table_name(table);
        let call = call.point_in_time_recovery_specification(on).send();
        call.await.map_err(|error| Failure::of("turning recovery on", error))?;
    }
    Ok(())
}

async fn create(client: &Client, table: &str) -> Result<(), Failure> {
    let mut call = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    call = call.deletion_protection_enabled(true).set_key_schema(Some(keys(PK, SK)?));
    for name in [PK, SK] {
        call = call.attribute_definitions(string(name)?);
    }
    for index in Index::ALL {
        let all = GlobalSecondaryIndex::builder().index_name(index.name());
        let all = all.set_key_schema(Some(keys(index.pk(), index.sk())?));
        let keys_alone = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        call = call.global_secondary_indexes(all.projection(keys_alone).build()?);
        for name in [index.pk(), index.sk()] {
            call = call.attribute_definitions(string(name)?);
        }
    }
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) =>
        {
            Ok(())
        }
        Err(error) => Err(Failure::of("making the table", error)),
    }
}

fn string(name: &str) -> Result<AttributeDefinition, Failure> {
    let definition = AttributeDefinition::builder().attribute_name(name);
    Ok(definition.attribute_type(ScalarAttributeType::S).build()?)
}

fn keys(pk: &str, sk: &str) -> Result<Vec<KeySchemaElement>, Failure> {
    let element =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    Ok(vec![element(pk, KeyType::Hash)?, element(sk, KeyType::Range)?])
}

async fn wait_until_active(client: &Client, table: &str) -> Result<(), Failure> {
    for _ in 0..LOOKS_MAX {
        let found = client.describe_table().table_name(table).send().await;
        let found = found.map_err(|error| Failure::of("looking for the table", error))?;
        let status = found.table.and_then(|table| table.table_status);
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(Failure::unavailable("the table is still being made: run this again in a minute"))
}

async fn has_expiry(client: &Client, table: &str) -> Result<bool, Failure> {
    let found = client.describe_time_to_live().table_name(table).send().await;
    let found = found.map_err(|error| Failure::of("looking at the table's expiry", error))?;
    let name = found.time_to_live_description.and_then(|expiry| expiry.attribute_name);
    Ok(name.as_deref() == Some(EXPIRES))
}
