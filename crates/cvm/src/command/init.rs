//! `cvm init`: a data directory with everything that `serve` needs.
//!
//! It is made beside its place and moved there whole, so that a crash leaves nothing that looks
//! like one.

use std::path::{Path, PathBuf};

use cvm_core::error::chain_of;
use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::operator::{Actor, AdminToken, Role};
use cvm_core::policy::{DEFAULT_DOCUMENT, DEFAULT_POLICY, Policy};
use cvm_core::ports::{CredentialError, Entropy, Secrets};
use cvm_core::provisioning::{admin_token_created_event, policy_put_event};
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use cvm_pki::{
    CreateOptions, Created, ImportedCa, Passphrase, Pki, Protection, ServerOptions, SystemEntropy,
    Vault, files,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::Init;
use crate::compose;
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::serve::clock::system_now;
use crate::{output, passphrase};

/// What a data directory is made from.
pub(crate) struct Wishes<'a> {
    /// `None` leaves the vault unsealed.
    pub(crate) passphrase: Option<&'a Passphrase>,
    /// At least one.
    pub(crate) hostnames: &'a [String],
    /// Where the root key goes instead of into the vault.
    pub(crate) root_key_out: Option<&'a Path>,
    /// The CA that signs devices, with its key, where the operator brings one.
    pub(crate) import: Option<(&'a Path, &'a Path)>,
    /// Where the admin token goes instead of into the data directory.
    pub(crate) admin_token_out: Option<&'a Path>,
}

/// Makes a data directory and says what to do next.
pub(crate) fn run(args: &Init) -> Done {
    let layout = Layout::new(&args.data.data_dir);
    refuse_to_overwrite(&layout)?;
    let passphrase = match args.unsealed {
        true => None,
        false => Some(passphrase::choose(args.passphrase_file.as_deref())?),
    };
    let hostnames: Vec<String> = args.hostname.iter().map(|name| name.0.clone()).collect();
    let wishes = Wishes {
        passphrase: passphrase.as_ref(),
        hostnames: &hostnames,
        root_key_out: args.root_key_out.as_deref(),
        import: match args.import_ca.as_slice() {
            [certificate, key] => Some((certificate, key)),
            _ => None,
        },
        admin_token_out: args.admin_token_out.as_deref(),
    };
    let created = make(&layout, &wishes)?;
    let token_path = args.admin_token_out.clone().unwrap_or_else(|| layout.admin_token());
    let directory = layout.root.display();
    let result = json!({
        "dataDir": layout.root,
        "rootFingerprint": created.root_fingerprint,
        "operatorUrl": "https://localhost:8445",
        "adminTokenFile": token_path,
        "sealed": !args.unsealed,
    });
    output::result(args.output.output, &result, |_, text| {
        text.facts(&[
            ("data directory", directory.to_string()),
            ("root fingerprint", created.root_fingerprint.clone()),
            ("operator URL", String::from("https://localhost:8445")),
            ("admin token", format!("in {}", token_path.display())),
        ]);
        if args.unsealed {
            output::note(
                "The vault is not sealed: who can read the data directory has the CA keys.",
            );
        }
        output::note(format!("Next: cvm serve --data-dir {directory}"));
    })
}

/// Makes the data directory beside its place, then moves it there.
pub(crate) fn make(layout: &Layout, wishes: &Wishes<'_>) -> Result<Created, Failure> {
    refuse_to_overwrite(layout)?;
    refuse_lost_clock(system_now())?;
    // Told before anything is made, so that a second try finds nothing of the first.
    for path in [wishes.root_key_out, wishes.admin_token_out].into_iter().flatten() {
        if path.exists() {
            let what = format!("{} exists already: it is not overwritten", path.display());
            return Err(Failure::new(Exit::Failed, what).cure("name another file"));
        }
    }
    let building = building_place(layout);
    files::directories(&building).map_err(|error| Failure::file("making", &building, &error))?;
    let made = fill(&Layout::new(&building), wishes).and_then(|created| {
        let moved = std::fs::rename(&building, &layout.root);
        moved
            .map_err(|error| Failure::file("moving the new directory to", &layout.root, &error))?;
        Ok(created)
    });
    if made.is_err() {
        // The first failure is the one to tell. Nothing of a try that failed is of any use, and a
        // second try would refuse to overwrite it.
        let _left_over = std::fs::remove_dir_all(&building);
        for path in [wishes.root_key_out, wishes.admin_token_out].into_iter().flatten() {
            let _left_over = std::fs::remove_file(path);
        }
        return made;
    }
    // A power cut must not lose a directory that was said to be there.
    sync_parent(&layout.root)
        .map_err(|error| Failure::file("syncing the directory of", &layout.root, &error))?;
    made
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn refuse_to_overwrite(layout: &Layout) -> Done {
    let mut entries = match std::fs::read_dir(&layout.root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file("reading", &layout.root, &error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let what = format!("{} is not empty: it is not overwritten", layout.root.display());
    let cure = "choose another with --data-dir, or serve this one";
    Err(Failure::new(Exit::Failed, what).cure(cure))
}

/// A clock that forgot the time would make CAs whose life is over when it remembers.
fn refuse_lost_clock(now: Timestamp) -> Done {
    let earliest = cvm_agent::clock::earliest().as_secs();
    let earliest = Timestamp(i64::try_from(earliest).unwrap_or(i64::MAX));
    if now >= earliest {
        return Ok(());
    }
    let what = format!(
        "this machine's clock says {now}, and this program was made after {earliest}: CAs that \
         begin so early would be worthless"
    );
    let cure = "set the clock (`date --set`, or wait for NTP), then run this again";
    Err(Failure::new(Exit::Failed, what).cure(cure))
}

fn building_place(layout: &Layout) -> PathBuf {
    let mut random = [0_u8; 8];
    SystemEntropy.fill(&mut random);
    let name = layout.root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    layout.root.with_file_name(format!(".{name}.init-{}", hex(&random)))
}

fn fill(layout: &Layout, wishes: &Wishes<'_>) -> Result<Created, Failure> {
    let now = system_now();
    let failed = |what: &str, error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Failed, format!("{what}: {}", chain_of(error)))
    };
    let protection = wishes.passphrase.map_or(Protection::Unsealed, Protection::Sealed);
    let vault_dir = layout.root.join(cvm_pki::VAULT_DIRECTORY);
    let vault = Vault::create(&vault_dir, protection)
        .map_err(|error| failed("making the vault", &error))?;
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| Failure::file("reading", path, &error))
    };
    let imported = match wishes.import {
        Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
        None => None,
    };
    let hostnames = compose::certificate_names(wishes.hostnames);
    let created = Pki::create(
        &vault,
        &CreateOptions {
            data_dir: &layout.root,
            server: ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 },
            import: imported
                .as_ref()
                .map(|(certificate_pem, key_pem)| ImportedCa { certificate_pem, key_pem }),
            root_key_out: wishes.root_key_out,
            now,
        },
    )
    .map_err(|error| failed("making the CAs", &error))?;
    let pki = Pki::load(&layout.root, &vault, "http://localhost")
        .map_err(|error| failed("loading what was made", &error))?;
    write_config(layout, wishes.hostnames)?;
    let token = Token::generate(&SystemEntropy);
    write_store(layout, &*pki.secrets(), &token, now)?;
    let in_directory = layout.admin_token();
    let path = wishes.admin_token_out.unwrap_or(&in_directory);
    files::write_new(path, Zeroizing::new(format!("{}\n", token.expose())).as_bytes())
        .map_err(|error| Failure::file("writing the admin token to", path, &error))?;
    Ok(created)
}

/// The store with the default policy and the owner's credential.
fn write_store(layout: &Layout, secrets: &dyn Secrets, token: &Token, now: Timestamp) -> Done {
    let failed = |what: String| Failure::new(Exit::Failed, format!("making the store: {what}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let stores = cvm_store::open("sqlite:cvm.db", &layout.root);
    let stores = stores.map_err(|error| failed(chain_of(&error)))?;
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
    let made = admin_token_created_event(&admin, Actor::Server);
    let policy = Policy { name: policy, document: DEFAULT_DOCUMENT.to_owned(), updated_at: now };
    let event = policy_put_event(&policy, Actor::Server);
    let written = runtime.block_on(async {
        stores.policies.policy_put(policy, event).await?;
        stores.operators.admin_token_add(admin, made).await?;
        stores.store.mark_raise(now).await?;
        Ok::<_, CredentialError>(())
    });
    written.map_err(|error| failed(chain_of(&error)))
}

fn write_config(layout: &Layout, hostnames: &[String]) -> Done {
    let names: Vec<String> = hostnames.iter().map(|name| format!("{name:?}")).collect();
    let text = include_str!("init/cvm.toml").replace("\"localhost\"", &names.join(", "));
    let path = layout.config();
    files::write_new(&path, text.as_bytes())
        .map_err(|error| Failure::file("writing", &path, &error))
}
