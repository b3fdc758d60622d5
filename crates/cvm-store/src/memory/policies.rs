//! What devices may do, in memory.

use async_trait::async_trait;
use cvm_core::id::Name;
use cvm_core::journal::Event;
use cvm_core::page::{Page, PageRequest};
use cvm_core::policy::Policy;
use cvm_core::ports::{Policies, StoreError};

use super::{MemoryStore, page_of};

#[async_trait]
impl Policies for MemoryStore {
    async fn policy_put(&self, policy: Policy, event: Event) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.policies.insert(policy.name.clone(), policy);
        state.record(event);
        Ok(())
    }

    async fn policy_find(&self, name: &Name) -> Result<Option<Policy>, StoreError> {
        Ok(self.state()?.policies.get(name).cloned())
    }

    async fn policy_page(&self, request: &PageRequest) -> Result<Page<Policy>, StoreError> {
        let after = request.after.as_deref().unwrap_or_default();
        let is_after = |name: &Name| name.as_str() > after;
        let key_of = |policy: &Policy| policy.name.to_string();
        Ok(page_of(&self.state()?.policies, request, is_after, key_of))
    }
}
