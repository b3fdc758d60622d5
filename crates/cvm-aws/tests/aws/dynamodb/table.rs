//! The table as it is made, and what ends by its time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, ProjectionType};
use cvm_aws::dynamodb::{PointInTimeRecovery, table_create};
use cvm_core::attempt::{Act, Attempt};
use cvm_core::id::AttemptCode;
use cvm_core::nonce::Nonce;
use cvm_core::ports::StoreError;
use cvm_core::time::Span;
use cvm_store::conformance::given::{NOW, serial};

use super::{Table, client, open};
use cvm_e2e::aws::DynamoDbLocal;

impl Table {
    /// The items of a partition, read by themselves.
    pub(crate) async fn items(&self, partition: &str) -> Vec<HashMap<String, AttributeValue>> {
        let query = self.client.query().table_name(&self.name).consistent_read(true);
        let query = query.key_condition_expression("pk = :p");
        let query = query.expression_attribute_values(":p", AttributeValue::S(partition.into()));
        query.into_paginator().items().send().collect::<Result<_, _>>().await.unwrap()
    }
}

fn expires(item: &HashMap<String, AttributeValue>) -> i64 {
    item["expires"].as_n().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_table_is_paid_by_use_and_its_indexes_have_keys_alone() {
    let table = Table::make().await;
    let found = table.client.describe_table().table_name(&table.name).send().await.unwrap();
    let found = found.table.unwrap();
    let billing = found.billing_mode_summary.unwrap().billing_mode.unwrap();
    assert_eq!(billing, BillingMode::PayPerRequest);
    let indexes = found.global_secondary_indexes.unwrap();
    let mut names: Vec<_> = indexes.iter().map(|index| index.index_name().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["disabled", "due", "listed", "placed", "reviewed"]);
    for index in &indexes {
        let projected = index.projection().unwrap().projection_type().unwrap();
        assert_eq!(*projected, ProjectionType::KeysOnly);
    }
    let expiry = table.client.describe_time_to_live().table_name(&table.name).send().await.unwrap();
    let expiry = expiry.time_to_live_description.unwrap();
    assert_eq!(expiry.attribute_name(), Some("expires"));
}

#[tokio::test]
async fn a_table_that_is_there_is_left_as_it_is() {
    let table = Table::make().await;
    let stores = table.open(1);
    stores.store.mark_raise(NOW).await.unwrap();
    table_create(&table.client, &table.name, PointInTimeRecovery::Off).await.unwrap();
    assert_eq!(stores.store.mark_find().await.unwrap(), Some(NOW));
}

#[tokio::test]
async fn attempts_counters_and_nonces_end_by_their_time() {
    let table = Table::make().await;
    let stores = table.open(1);
    stores.attempts.attempt_record(Attempt {
        code: AttemptCode::from_random(1),
        at: NOW,
        serial_number: serial("A"),
        address: String::from("192.0.2.1"),
        act: Act::Vend,
        outcome: String::from("access-denied"),
        reason: String::new(),
        steps: Vec::new(),
    });
    stores.attempts.unknown_count("192.0.2.1", NOW);
    stores.attempts.settled().await;
    let nonce = Nonce::new(NOW, [7; 16]);
    stores.nonces.nonce_use(&nonce, NOW).await.unwrap();
    let attempts = table.items("attempts#A").await;
    assert_eq!(attempts.iter().map(expires).collect::<Vec<_>>(), [NOW.0 + 30 * 86_400]);
    let mut counters = Vec::new();
    for shard in 0..16 {
        counters.extend(table.items(&format!("unknown#{shard:x}")).await);
    }
    assert_eq!(counters.iter().map(expires).collect::<Vec<_>>(), [NOW.0 / 60 * 60 + 7 * 86_400]);
    let nonces = table.items(&format!("nonce#{}", "07".repeat(16))).await;
    let last = nonce.expires_at().plus(Span(3_600)).0;
    assert_eq!(nonces.iter().map(expires).collect::<Vec<_>>(), [last]);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_as_that() {
    let client = client(&DynamoDbLocal::shared().unwrap().endpoint()).await;
    let stores = open(client, "cvm-nowhere", 1);
    let error = stores.store.ready().await.unwrap_err();
    let StoreError::Unavailable(why) = error else { panic!("{error}") };
    assert!(why.to_string().contains("the table is not there; `cvm init` makes it"), "{why}");
}
