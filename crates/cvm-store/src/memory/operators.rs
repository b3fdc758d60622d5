//! Operators' credentials in memory.

use async_trait::async_trait;
use cvm_core::id::TokenMac;
use cvm_core::journal::Event;
use cvm_core::operator::{AdminToken, Role};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{CredentialError, CredentialRefusal, Operators, StoreError};
use cvm_core::time::Timestamp;

use super::{MemoryStore, State, page_of};

impl State {
    /// Whether the token is there already; refuses it where it cannot be added.
    fn has_admin_token(&self, token: &AdminToken) -> Result<bool, CredentialError> {
        let mut tokens = self.admin_tokens.values();
        if tokens.clone().any(|t| t.id == token.id && t.mac.0 == token.mac.0) {
            return Ok(true);
        }
        if tokens.clone().any(|t| t.id == token.id || t.mac.0 == token.mac.0) {
            let taken = StoreError::Unavailable("the admin token's id or hash is taken".into());
            return Err(taken.into());
        }
        if tokens.any(|t| t.name == token.name && t.is_live_at(token.created_at)) {
            return Err(CredentialRefusal::NameTaken.into());
        }
        Ok(false)
    }

    /// Whether no other owner's credential is live at `at`.
    fn is_last_owner(&self, token: &AdminToken, at: Timestamp) -> bool {
        let is_owner = |t: &AdminToken| t.role == Role::Owner && t.is_live_at(at);
        is_owner(token) && !self.admin_tokens.values().any(|t| t.id != token.id && is_owner(t))
    }
}

#[async_trait]
impl Operators for MemoryStore {
    async fn admin_token_add(
        &self,
        token: AdminToken,
        event: Event,
    ) -> Result<(), CredentialError> {
        let mut state = self.state()?;
        if !state.has_admin_token(&token)? {
            state.admin_tokens.insert(token.id.clone(), token);
            state.record(event);
        }
        Ok(())
    }

    async fn admin_token_find(&self, mac: &TokenMac) -> Result<Option<AdminToken>, StoreError> {
        Ok(self.state()?.admin_tokens.values().find(|token| token.mac.0 == mac.0).cloned())
    }

    async fn admin_token_show(&self, id: &str) -> Result<Option<AdminToken>, StoreError> {
        Ok(self.state()?.admin_tokens.get(id).cloned())
    }

    async fn admin_token_page(
        &self,
        request: &PageRequest,
    ) -> Result<Page<AdminToken>, StoreError> {
        let after = request.after.as_deref().unwrap_or_default();
        let is_after = |id: &String| id.as_str() > after;
        let key_of = |token: &AdminToken| token.id.clone();
        Ok(page_of(&self.state()?.admin_tokens, request, is_after, key_of))
    }

    async fn admin_token_revoke(
        &self,
        id: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<(), CredentialError> {
        let mut state = self.state()?;
        let token = state.admin_tokens.get(id).ok_or(CredentialRefusal::Unknown)?;
        if token.revoked_at.is_some() {
            return Ok(());
        }
        if state.is_last_owner(token, at) {
            return Err(CredentialRefusal::LastOwner.into());
        }
        if let Some(token) = state.admin_tokens.get_mut(id) {
            token.revoked_at = Some(at);
        }
        state.record(event);
        Ok(())
    }
}
