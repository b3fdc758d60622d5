//! One transaction: what it writes, on which conditions, and how it ended.
//!
//! Each has a token of its own, the same in every try of it, so that a try whose answer was lost is
//! not carried out twice (API reference of `TransactWriteItems`, read 2026-11-25: for ten minutes).
//! The tries are ours, without the SDK's: it tells of the last one only, and an earlier one may have
//! taken effect.

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use cvm_core::id::KeyIdentity;

use super::calls::{Calls, TRIES_MAX};
use super::expression::{Changes, Condition, Placeholders};
use super::failure::{Effect, Failure, effect_of, is_throttled};
use super::item::{Attributes, Item};
use super::key::Key;

/// The most items of one transaction (quotas of DynamoDB, read 2026-11-25).
pub(super) const WRITES_MAX: usize = 100;

/// How often a try may fail otherwise than by others who were in the way.
const FAILURES_MAX: u32 = 4;

/// Why a transaction was cancelled, where there were too many.
const THROTTLED: [&str; 2] = ["ProvisionedThroughputExceeded", "ThrottlingError"];

/// What is written to one item.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) action: Action,
    pub(super) condition: Option<Condition>,
    pub(super) guard: Guard,
    /// Which of several changes in one transaction it is of.
    pub(super) change: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Check(Key),
    Delete(Key),
    Put(Attributes),
    Update(Key, Changes),
}

/// What it means where the condition of a write does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// A certificate's row is not what its device may change.
    Certificate,
    /// Somebody else changed the same meanwhile.
    Moved,
    /// A key is not the device's.
    Key(KeyIdentity),
    /// The thing name is not the device's.
    Name,
    /// The journal's number is taken.
    Row,
}

/// A condition that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) change: usize,
    pub(super) guard: Guard,
    /// The item of which it does not hold.
    pub(super) found: Option<Item>,
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Others were in the way, again and again; nothing was written.
    Contended,
    /// Nothing was written, and the same again would not be either.
    Failed(Failure),
    /// These conditions do not hold; nothing was written.
    Refused(Vec<Refusal>),
    Unknown(Failure),
    Written,
}

impl Write {
    pub(super) fn new(guard: Guard, action: Action, condition: Condition) -> Self {
        Self { action, condition: Some(condition), guard, change: 0 }
    }

    /// A write that is never refused.
    pub(super) fn always(action: Action) -> Self {
        Self { action, condition: None, guard: Guard::Moved, change: 0 }
    }

    /// Where the item is.
    pub(super) fn key(&self) -> Key {
        match &self.action {
            Action::Check(key) | Action::Delete(key) | Action::Update(key, _) => key.clone(),
            Action::Put(attributes) => Key::of(attributes),
        }
    }

    fn to_item(&self, table: &str) -> Result<TransactWriteItem, Failure> {
        let mut places = Placeholders::default();
        let condition = self.condition.as_ref().map(|condition| places.condition(condition));
        let failed = ReturnValuesOnConditionCheckFailure::AllOld;
        let item = TransactWriteItem::builder();
        let item = match &self.action {
            Action::Check(key) => {
                let check = ConditionCheck::builder().table_name(table);
                let (names, values) = places.into_maps();
                let check =
                    check.set_key(Some(key.attributes())).set_condition_expression(condition);
                let check = check.set_expression_attribute_names(names);
                let check = check.set_expression_attribute_values(values);
                item.condition_check(
                    check.return_values_on_condition_check_failure(failed).build()?,
                )
            }
            Action::Delete(key) => {
                let delete = Delete::builder().table_name(table);
                let (names, values) = places.into_maps();
                let delete =
                    delete.set_key(Some(key.attributes())).set_condition_expression(condition);
                let delete = delete.set_expression_attribute_names(names);
                let delete = delete.set_expression_attribute_values(values);
                item.delete(delete.return_values_on_condition_check_failure(failed).build()?)
            }
            Action::Put(attributes) => {
                let put = Put::builder().table_name(table).set_item(Some(attributes.clone()));
                let (names, values) = places.into_maps();
                let put = put.set_condition_expression(condition);
                let put = put.set_expression_attribute_names(names);
                let put = put.set_expression_attribute_values(values);
                item.put(put.return_values_on_condition_check_failure(failed).build()?)
            }
            Action::Update(key, changes) => {
                let update =
                    Update::builder().table_name(table).update_expression(places.changes(changes));
                let (names, values) = places.into_maps();
                let update =
                    update.set_key(Some(key.attributes())).set_condition_expression(condition);
                let update = update.set_expression_attribute_names(names);
                let update = update.set_expression_attribute_values(values);
                item.update(update.return_values_on_condition_check_failure(failed).build()?)
            }
        };
        Ok(item.build())
    }
}

/// What one try came to.
enum Try {
    /// Nothing was written: others were in the way.
    Conflict,
    /// Nothing was written: there are too many.
    Throttled(Failure),
    /// Nobody knows, or an earlier try is still on its way.
    Unknown(Failure),
    Over(Outcome),
}

impl Calls {
    /// Writes all of it, or nothing.
    pub(super) async fn transact(&self, writes: &[Write], token: &str) -> Outcome {
        if writes.len() > WRITES_MAX {
            let why = format!("a change has {} items, and {WRITES_MAX} fit", writes.len());
            return Outcome::Failed(Failure::Unavailable(why));
        }
        let items: Result<Vec<_>, _> =
            writes.iter().map(|write| write.to_item(&self.table)).collect();
        let items = match items {
            Ok(items) => items,
            Err(failure) => return Outcome::Failed(failure),
        };
        let (mut failed, mut unknown, mut failures) = (None, None, 0);
        for tries in 1..=TRIES_MAX {
            match self.transact_once(items.clone(), token, writes).await {
                Try::Conflict => {}
                Try::Throttled(failure) => (failed, failures) = (Some(failure), failures + 1),
                Try::Unknown(failure) => (unknown, failures) = (Some(failure), failures + 1),
                Try::Over(Outcome::Failed(failure)) => {
                    return unknown.map_or(Outcome::Failed(failure), Outcome::Unknown);
                }
                Try::Over(outcome) => return outcome,
            }
            if failures == FAILURES_MAX {
                break;
            }
            self.wait(tries).await;
        }
        let without = failed.map_or(Outcome::Contended, Outcome::Failed);
        unknown.map_or(without, Outcome::Unknown)
    }

    async fn transact_once(
        &self,
        items: Vec<TransactWriteItem>,
        token: &str,
        writes: &[Write],
    ) -> Try {
        let call = self.client.transact_write_items().set_transact_items(Some(items));
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let call = call.client_request_token(token).customize().config_override(once);
        let Err(error) = call.send().await else { return Try::Over(Outcome::Written) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons().iter().zip(writes);
            let is = |why: &CancellationReason, codes: &[&str]| {
                why.code().is_some_and(|code| codes.contains(&code))
            };
            let refused = reasons.clone().filter(|(why, _)| is(why, &["ConditionalCheckFailed"]));
            let refused: Vec<_> = refused.map(|(why, write)| refusal(why, write)).collect();
            if !refused.is_empty() {
                return Try::Over(Outcome::Refused(refused));
            }
            if reasons.clone().any(|(why, _)| is(why, &["TransactionConflict"])) {
                return Try::Conflict;
            }
            if reasons.clone().any(|(why, _)| is(why, &THROTTLED)) {
                return Try::Throttled(Failure::of("writing a change", error));
            }
        }
        let (effect, is_throttled) = (effect_of(&error), is_throttled(&error));
        let failure = Failure::of("writing a change", error);
        match effect {
            Effect::None if is_throttled => Try::Throttled(failure),
            Effect::None => Try::Over(Outcome::Failed(failure)),
            Effect::NoneYet => Try::Conflict,
            Effect::Unknown => Try::Unknown(failure),
        }
    }
}

fn refusal(why: &CancellationReason, write: &Write) -> Refusal {
    let found = why.item.clone().map(Item);
    Refusal { change: write.change, guard: write.guard.clone(), found }
}
