//! Policies: an operator says what devices may do.

use super::Provisioning;
use crate::id::Name;
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::policy::Policy;
use crate::ports::StoreError;

impl Provisioning {
    /// Puts a policy in place of what had its name; `document` has passed
    /// [`crate::policy::document_parse`]. Returns it, and whether it is new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn policy_put(
        &self,
        name: Name,
        document: String,
        actor: Actor,
    ) -> Result<(Policy, bool), StoreError> {
        let policies = &self.ports.policies;
        let is_new = policies.policy_find(&name).await?.is_none();
        let policy = Policy { name, document, updated_at: self.ports.clock.read().now };
        policies.policy_put(policy.clone(), put_event(&policy, actor)).await?;
        Ok((policy, is_new))
    }
}

/// The journal row of a policy that is put.
#[must_use]
pub fn put_event(policy: &Policy, actor: Actor) -> Event {
    Event {
        at: policy.updated_at,
        class: EventClass::Change,
        kind: EventKind::PolicyPut,
        serial_number: None,
        certificate: None,
        attempt: None,
        actor,
        detail: format!("policy {}: {}", policy.name, policy.document),
    }
}
