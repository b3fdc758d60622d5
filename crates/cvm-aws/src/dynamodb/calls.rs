//! The calls of DynamoDB that the store makes. What is read is consistent, but for indexes.
//!
//! Behind each call are the SDK's own tries, for what fails on its way and where there are too many.
//! What is tried again here, with waits that grow and differ, is what it does not know of:
//! transactions that meet, and answers that leave a part for later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    Get, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactGetItem,
};
use cvm_core::ports::Entropy;

use super::expression::{Changes, Condition, Placeholders};
use super::failure::{Effect, Failure, effect_of};
use super::item::{Attributes, Item};
use super::key::Key;

/// How often something is tried whose way others were in.
pub(super) const TRIES_MAX: u32 = 12;

/// The first wait; each is twice as long as the one before at most, up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(20);

const WAIT_MAX: Duration = Duration::from_secs(1);

/// The most items of one `BatchGetItem` (API reference, read 2026-11-25).
const BATCH_GET_MAX: usize = 100;

pub(super) struct Calls {
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// How a write that has a condition ended.
#[derive(Debug)]
pub(super) enum Written {
    /// The item is written; what it was, where that was asked for.
    Done(Option<Item>),
    /// The condition does not hold of this item.
    Refused(Option<Item>),
}

impl Calls {
    pub(super) fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Waits before the next try, somewhere between nothing and twice as long as before.
    pub(super) async fn wait(&self, tries: u32) {
        let longest = WAIT.saturating_mul(1 << tries.min(6)).min(WAIT_MAX);
        let share = u32::try_from(self.random() >> 32).unwrap_or(u32::MAX);
        tokio::time::sleep(longest.mul_f64(f64::from(share) / f64::from(u32::MAX))).await;
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Item>, Failure> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = call.set_key(Some(key.attributes())).send().await;
        let answer = answer.map_err(|error| Failure::of("reading an item", error))?;
        Ok(answer.item.map(Item))
    }

    /// Items at the keys, each as it was at one moment.
    pub(super) async fn get_together(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, Failure> {
        let mut gets = Vec::with_capacity(keys.len());
        for key in keys {
            let get = Get::builder().table_name(&self.table).set_key(Some(key.attributes()));
            gets.push(TransactGetItem::builder().get(get.build()?).build());
        }
        let mut tries = 0;
        loop {
            let call = self.client.transact_get_items().set_transact_items(Some(gets.clone()));
            let error = match call.send().await {
                Ok(answer) => {
                    let items = answer.responses.unwrap_or_default();
                    return Ok(items.into_iter().map(|found| found.item.map(Item)).collect());
                }
                Err(error) => error,
            };
            let was_cancelled =
                error.as_service_error().is_some_and(|e| e.is_transaction_canceled_exception());
            let is_worth_it = was_cancelled || effect_of(&error) == Effect::NoneYet;
            tries += 1;
            if !is_worth_it || tries == TRIES_MAX {
                return Err(Failure::of("reading items together", error));
            }
            self.wait(tries).await;
        }
    }

    /// The items that there are at the keys, in any order; not of one moment.
    pub(super) async fn get_each(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, Failure> {
        let unique: HashSet<Key> = keys.into_iter().collect();
        let unique: Vec<Attributes> = unique.iter().map(Key::attributes).collect();
        let batches = unique.chunks(BATCH_GET_MAX).map(|batch| self.get_batch(batch.to_vec()));
        let batches = futures_util::future::try_join_all(batches).await?;
        batches.into_iter().flatten().map(|item| Ok((item.key()?, item))).collect()
    }

    async fn get_batch(&self, mut keys: Vec<Attributes>) -> Result<Vec<Item>, Failure> {
        let (mut items, mut tries) = (Vec::with_capacity(keys.len()), 0);
        loop {
            let wanted =
                KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
            let answer = self.client.batch_get_item().request_items(&self.table, wanted).send();
            let answer = answer.await.map_err(|error| Failure::of("reading items", error))?;
            let found = answer.responses.unwrap_or_default().into_values().flatten();
            let before = items.len();
            items.extend(found.map(Item));
            let left = answer.unprocessed_keys.unwrap_or_default().into_values();
            keys = left.flat_map(|left| left.keys).collect();
            if keys.is_empty() {
                return Ok(items);
            }
            tries = if items.len() > before { 0 } else { tries + 1 };
            if tries == TRIES_MAX {
                return Err(Failure::unavailable("reading items: it has answered no more of them"));
            }
            self.wait(tries).await;
        }
    }

    /// Puts an item in place of what was there, on a condition. That the item is refused may also
    /// mean that this call has written it, and its answer was lost.
    pub(super) async fn put(
        &self,
        item: Attributes,
        condition: Option<&Condition>,
    ) -> Result<Written, Failure> {
        let mut places = Placeholders::default();
        let written = condition.map(|condition| places.condition(condition));
        let (names, values) = places.into_maps();
        let mut tries = 0;
        loop {
            let call = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
            let call = call.set_condition_expression(written.clone());
            let call = call.set_expression_attribute_names(names.clone());
            let call = call.set_expression_attribute_values(values.clone());
            let failed = ReturnValuesOnConditionCheckFailure::AllOld;
            let error = match call.return_values_on_condition_check_failure(failed).send().await {
                Ok(_) => return Ok(Written::Done(None)),
                Err(SdkError::ServiceError(error)) => {
                    if let PutItemError::ConditionalCheckFailedException(found) = error.err() {
                        return Ok(Written::Refused(found.item.clone().map(Item)));
                    }
                    SdkError::ServiceError(error)
                }
                Err(error) => error,
            };
            tries += 1;
            if effect_of(&error) != Effect::NoneYet || tries == TRIES_MAX {
                return Err(Failure::of("writing an item", error));
            }
            self.wait(tries).await;
        }
    }

    /// Changes an item, on a condition, and returns the attributes that it changed as they were.
    pub(super) async fn update(
        &self,
        key: &Key,
        changes: &Changes,
        condition: Option<&Condition>,
    ) -> Result<Written, Failure> {
        let mut places = Placeholders::default();
        let update = places.changes(changes);
        let written = condition.map(|condition| places.condition(condition));
        let (names, values) = places.into_maps();
        let mut tries = 0;
        loop {
            let call = self.client.update_item().table_name(&self.table);
            let call = call.set_key(Some(key.attributes())).update_expression(&update);
            let call = call.set_condition_expression(written.clone());
            let call = call.set_expression_attribute_names(names.clone());
            let call = call.set_expression_attribute_values(values.clone());
            let failed = ReturnValuesOnConditionCheckFailure::AllOld;
            let call = call.return_values_on_condition_check_failure(failed);
            let error = match call.return_values(ReturnValue::UpdatedOld).send().await {
                Ok(answer) => return Ok(Written::Done(answer.attributes.map(Item))),
                Err(SdkError::ServiceError(error)) => {
                    if let UpdateItemError::ConditionalCheckFailedException(found) = error.err() {
                        return Ok(Written::Refused(found.item.clone().map(Item)));
                    }
                    SdkError::ServiceError(error)
                }
                Err(error) => error,
            };
            tries += 1;
            if effect_of(&error) != Effect::NoneYet || tries == TRIES_MAX {
                return Err(Failure::of("changing an item", error));
            }
            self.wait(tries).await;
        }
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), Failure> {
        let call = self.client.delete_item().table_name(&self.table);
        let answer = call.set_key(Some(key.attributes())).send().await;
        answer.map(drop).map_err(|error| Failure::of("removing an item", error))
    }
}
