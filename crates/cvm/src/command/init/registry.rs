//! A new home's registry: the default policy, the owner's credential, the time.

use cvm_core::error::chain_of;
use cvm_core::operator::{Actor, AdminToken, Role};
use cvm_core::policy::{DEFAULT_DOCUMENT, DEFAULT_POLICY, Policy};
use cvm_core::ports::{CredentialError, Secrets};
use cvm_core::provisioning::{admin_token_created_event, policy_put_event};
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use cvm_pki::SystemEntropy;
use cvm_store::Stores;

use crate::config::StorePlace;
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};

/// Makes the registry at `place`.
pub(super) fn write(
    (layout, place): (&Layout, &StorePlace),
    secrets: &dyn Secrets,
    token: &Token,
    now: Timestamp,
) -> Done {
    let failed = |what: String| Failure::new(Exit::Failed, format!("making the store: {what}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let name = "init".parse().map_err(|error: cvm_core::id::IdError| failed(error.to_string()))?;
    let policy =
        DEFAULT_POLICY.parse().map_err(|error: cvm_core::id::IdError| failed(error.to_string()))?;
    let admin = AdminToken {
        id: AdminToken::new_id(&name, &SystemEntropy),
        name,
        role: Role::Owner,
        mac: secrets.admin_token_mac(token),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    let policy = Policy { name: policy, document: DEFAULT_DOCUMENT.to_owned(), updated_at: now };
    runtime.block_on(async {
        let stores = open(layout, place).await?;
        fill(&stores, admin, policy).await.map_err(|error| match error {
            CredentialError::Refused(_) => {
                let failure = failed(String::from("there is a registry in it already"));
                failure.cure("name another with --store, or serve that one")
            }
            CredentialError::Store(error) => failed(chain_of(&error)),
        })
    })
}

async fn open(layout: &Layout, place: &StorePlace) -> Result<Stores, Failure> {
    match place {
        #[cfg(feature = "aws")]
        StorePlace::DynamoDb(table) => crate::compose::table_stores(table).await,
        StorePlace::Sqlite(url) => cvm_store::open(url, &layout.root).map_err(|error| {
            Failure::new(Exit::Failed, format!("making the store: {}", chain_of(&error)))
        }),
    }
}

async fn fill(stores: &Stores, admin: AdminToken, policy: Policy) -> Result<(), CredentialError> {
    let now = admin.created_at;
    // First, as it is refused where somebody else's registry is there.
    let made = admin_token_created_event(&admin, Actor::Server);
    stores.operators.admin_token_add(admin, made).await?;
    let event = policy_put_event(&policy, Actor::Server);
    stores.policies.policy_put(policy, event).await?;
    stores.store.mark_raise(now).await?;
    Ok(())
}
