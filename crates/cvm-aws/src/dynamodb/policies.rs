//! What devices may do: one partition, because policies are few and short.

use async_trait::async_trait;
use cvm_core::id::Name;
use cvm_core::journal::Event;
use cvm_core::page::{Page, PageRequest};
use cvm_core::policy::Policy;
use cvm_core::ports::{Policies, StoreError};
use cvm_core::time::Timestamp;

use super::DynamoStore;
use super::failure::Failure;
use super::item::{Item, attributes, number, text};
use super::key::{Key, POLICIES, SK};
use super::page;
use super::query::Stretch;
use super::transact::{Action, Write};

#[async_trait]
impl Policies for DynamoStore {
    async fn policy_put(&self, policy: Policy, event: Event) -> Result<(), StoreError> {
        let document = ("document", text(policy.document));
        let updated_at = ("updated_at", number(policy.updated_at.0));
        let item = attributes(&Key::policy(&policy.name), [document, updated_at]);
        self.record(vec![Write::always(Action::Put(item))], &event).await
    }

    async fn policy_find(&self, name: &Name) -> Result<Option<Policy>, StoreError> {
        let item = self.calls.get(&Key::policy(name)).await?;
        Ok(item.as_ref().map(policy).transpose()?)
    }

    async fn policy_page(&self, request: &PageRequest) -> Result<Page<Policy>, StoreError> {
        let limit = page::limit_of(request);
        let stretch = Stretch::of(POLICIES).after(request.after.as_deref());
        let items = self.calls.query(&stretch, limit.saturating_add(1)).await?;
        let policies = items.iter().map(policy).collect::<Result<Vec<_>, _>>()?;
        Ok(page::cut(policies, limit, |policy| policy.name.to_string()))
    }
}

fn policy(item: &Item) -> Result<Policy, Failure> {
    Ok(Policy {
        name: item.id(SK)?,
        document: item.text("document")?.to_owned(),
        updated_at: Timestamp(item.number("updated_at")?),
    })
}
