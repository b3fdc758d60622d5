//! Operators' credentials: one partition, read whole for each change of them, because they are few.
//! Who changes them meets at one counter, so that of two who were decided on the same ones only one
//! is written, and the other is decided afresh.

use async_trait::async_trait;
use cvm_core::id::TokenMac;
use cvm_core::journal::Event;
use cvm_core::operator::{AdminToken, Role};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{CredentialError, CredentialRefusal, Operators, StoreError};
use cvm_core::time::Timestamp;

use super::DynamoStore;
use super::expression::{Changes, Condition};
use super::failure::Failure;
use super::item::{Attributes, Item, attributes, bytes, number, text};
use super::journal::contended;
use super::key::{ADMIN_TOKENS, Key, SK};
use super::page;
use super::query::Stretch;
use super::transact::{Action, Guard, Outcome, Write};

/// How often a change of credentials is decided afresh, because others changed some meanwhile.
const ROUNDS_MAX: u32 = 40;

#[async_trait]
impl Operators for DynamoStore {
    async fn admin_token_add(
        &self,
        token: AdminToken,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.credential_change(&event, |tokens| {
            if has_already(tokens, &token)? {
                return Ok(Vec::new());
            }
            let id = attributes(&Key::admin_token_mac(&token.mac), [("id", text(&token.id))]);
            let puts = [token_item(&token), id]
                .map(|item| Write::new(Guard::Moved, Action::Put(item), Condition::Absent));
            Ok(puts.into())
        })
        .await
    }

    async fn admin_token_find(&self, mac: &TokenMac) -> Result<Option<AdminToken>, StoreError> {
        let Some(item) = self.calls.get(&Key::admin_token_mac(mac)).await? else {
            return Ok(None);
        };
        self.admin_token_show(item.text("id")?).await
    }

    async fn admin_token_show(&self, id: &str) -> Result<Option<AdminToken>, StoreError> {
        let item = self.calls.get(&Key::admin_token(id)).await?;
        Ok(item.as_ref().map(token_of).transpose()?)
    }

    async fn admin_token_page(
        &self,
        request: &PageRequest,
    ) -> Result<Page<AdminToken>, StoreError> {
        let limit = page::limit_of(request);
        let after = request.after.as_deref();
        let tokens = self.admin_tokens(after, limit.saturating_add(1)).await?;
        Ok(page::cut(tokens, limit, |token| token.id.clone()))
    }

    async fn admin_token_revoke(
        &self,
        id: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.credential_change(&event, |tokens| {
            let token = tokens.iter().find(|token| token.id == id);
            let token = token.ok_or(CredentialRefusal::Unknown)?;
            if token.revoked_at.is_some() {
                return Ok(Vec::new());
            }
            let is_owner = |it: &AdminToken| it.role == Role::Owner && it.is_live_at(at);
            if is_owner(token) && !tokens.iter().any(|it| it.id != token.id && is_owner(it)) {
                return Err(CredentialRefusal::LastOwner.into());
            }
            let set = vec![("revoked_at", number(at.0))];
            let action =
                Action::Update(Key::admin_token(id), Changes { set, ..Changes::default() });
            Ok(vec![Write::new(Guard::Moved, action, Condition::Lacks("revoked_at"))])
        })
        .await
    }
}

impl DynamoStore {
    /// Writes what `decide` makes of all credentials, with its row; nothing where that is nothing.
    async fn credential_change(
        &self,
        event: &Event,
        decide: impl Fn(&[AdminToken]) -> Result<Vec<Write>, CredentialError> + Send + Sync,
    ) -> Result<(), CredentialError> {
        let counter = Key::admin_tokens();
        for round in 0..ROUNDS_MAX {
            // Read before the credentials: what changes after it is refused.
            let changes = self.calls.get(&counter).await?;
            let changes = changes.map(|item| item.number::<u64>("count")).transpose()?;
            let tokens = self.admin_tokens(None, usize::MAX).await?;
            let mut writes = decide(&tokens)?;
            if writes.is_empty() {
                return Ok(());
            }
            let is_same = match changes {
                None => Condition::Absent,
                Some(count) => Condition::Is("count", number(count)),
            };
            let set = vec![("count", number(changes.unwrap_or(0).saturating_add(1)))];
            let count = Action::Update(counter.clone(), Changes { set, ..Changes::default() });
            writes.push(Write::new(Guard::Moved, count, is_same));
            match self.commit(writes, &[(0, event)]).await {
                Outcome::Written => return Ok(()),
                Outcome::Failed(why) | Outcome::Unknown(why) => return Err(why.into()),
                Outcome::Contended | Outcome::Refused(_) => self.calls.wait(round).await,
            }
        }
        Err(contended().into())
    }

    async fn admin_tokens(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AdminToken>, Failure> {
        let stretch = Stretch::of(ADMIN_TOKENS).after(after);
        let items = self.calls.query(&stretch, limit).await?;
        items.iter().map(token_of).collect()
    }
}

/// Whether the token is there already; refuses it where it cannot be added.
fn has_already(tokens: &[AdminToken], token: &AdminToken) -> Result<bool, CredentialError> {
    let same = |it: &&AdminToken| (it.id == token.id, it.mac.0 == token.mac.0);
    if tokens.iter().any(|it| same(&it) == (true, true)) {
        return Ok(true);
    }
    if tokens.iter().any(|it| same(&it) != (false, false)) {
        return Err(Failure::unavailable("the admin token's id or hash is taken").into());
    }
    if tokens.iter().any(|it| it.name == token.name && it.is_live_at(token.created_at)) {
        return Err(CredentialRefusal::NameTaken.into());
    }
    Ok(false)
}

fn token_item(token: &AdminToken) -> Attributes {
    let mut item = attributes(
        &Key::admin_token(&token.id),
        [
            ("name", text(token.name.as_str())),
            ("role", text(token.role.as_str())),
            ("mac", bytes(token.mac.0)),
            ("created_at", number(token.created_at.0)),
        ],
    );
    for (name, at) in [("expires_at", token.expires_at), ("revoked_at", token.revoked_at)] {
        if let Some(at) = at {
            item.insert(name.to_owned(), number(at.0));
        }
    }
    item
}

fn token_of(item: &Item) -> Result<AdminToken, Failure> {
    Ok(AdminToken {
        id: item.text(SK)?.to_owned(),
        name: item.id("name")?,
        role: item.id("role")?,
        mac: TokenMac(item.digest("mac")?),
        created_at: Timestamp(item.number("created_at")?),
        expires_at: item.number_if("expires_at")?.map(Timestamp),
        revoked_at: item.number_if("revoked_at")?.map(Timestamp),
    })
}
