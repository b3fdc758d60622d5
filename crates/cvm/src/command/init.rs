//! `cvm init`: a data directory with everything that `serve` needs.
//!
//! It is made beside its place and moved there whole, so that a crash leaves nothing that looks
//! like one.

#[cfg(feature = "aws")]
mod bucket;
mod keys;
mod registry;

use std::path::{Path, PathBuf};

use cvm_core::error::chain_of;
use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Entropy;
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use cvm_pki::{
    CreateOptions, Created, DevicesCa, ImportedCa, Passphrase, Pki, ServerOptions, SystemEntropy,
    files,
};
use serde_json::json;
use zeroize::Zeroizing;

use self::keys::{NewKey, NewVault};
use crate::cli::Init;
use crate::compose;
use crate::config::{KeyReference, PlatformKind, StorePlace, VaultPlace};
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
    /// Where the vault goes.
    pub(crate) vault: &'a VaultPlace,
    /// Where the registry goes.
    pub(crate) store: &'a StorePlace,
    /// What the configuration is to say besides, each in its section.
    pub(crate) settings: &'a [(&'static str, String)],
    /// The key that signs devices, where it is kept elsewhere.
    pub(crate) ca_key: Option<&'a KeyReference>,
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
    let store = match &args.store {
        Some(store) => store.place.clone(),
        None => super::config::store_said()?,
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
        vault: &args.vault.place,
        store: &store,
        settings: &settings(args),
        ca_key: args.ca_key.as_ref(),
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
        "vault": args.vault.text,
    });
    output::result(args.output.output, &result, |_, text| {
        text.facts(&[
            ("data directory", directory.to_string()),
            ("root fingerprint", created.root_fingerprint.clone()),
            ("operator URL", String::from("https://localhost:8445")),
            ("admin token", format!("in {}", token_path.display())),
        ]);
        if args.unsealed {
            let where_it_is = match &args.vault.place {
                VaultPlace::File => "the data directory",
                #[cfg(feature = "aws")]
                VaultPlace::S3(_) => "its object in the bucket",
            };
            output::note(format!(
                "The vault is not sealed: who can read {where_it_is} has the CA keys."
            ));
        }
        output::note(format!("Next: cvm serve --data-dir {directory}"));
    })
}

/// What the configuration has to say because this was asked for.
fn settings(args: &Init) -> Vec<(&'static str, String)> {
    let url = |text: &String| format!("url = {text:?}");
    let mut settings = Vec::new();
    if args.vault.place != VaultPlace::File {
        settings.push(("vault", url(&args.vault.text)));
    }
    if let Some(store) = &args.store {
        settings.push(("store", url(&store.text)));
    }
    if args.platform.0 != PlatformKind::Embedded {
        settings.push(("platform", format!("kind = \"{}\"", args.platform.0)));
    }
    settings
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
    let new = NewVault::make(layout, wishes)?;
    let key = NewKey::find(wishes)?;
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
        new.vault(),
        &CreateOptions {
            data_dir: &layout.root,
            server: ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 },
            devices: match &imported {
                Some((certificate_pem, key_pem)) => {
                    DevicesCa::Imported(ImportedCa { certificate_pem, key_pem })
                }
                None => key.devices(),
            },
            root_key_out: wishes.root_key_out,
            now,
        },
    )
    .map_err(|error| failed("making the CAs", &error))?;
    let pki =
        key.load(layout, new.vault()).map_err(|error| failed("loading what was made", &error))?;
    write_config(layout, wishes)?;
    let token = Token::generate(&SystemEntropy);
    registry::write((layout, wishes.store), &*pki.secrets(), &token, now)?;
    let in_directory = layout.admin_token();
    let path = wishes.admin_token_out.unwrap_or(&in_directory);
    files::write_new(path, Zeroizing::new(format!("{}\n", token.expose())).as_bytes())
        .map_err(|error| Failure::file("writing the admin token to", path, &error))?;
    if *wishes.vault != VaultPlace::File {
        // Operators' commands beside the data directory verify the server by it.
        let path = layout.root_ca();
        files::write_new(&path, created.root_pem.as_bytes())
            .map_err(|error| Failure::file("writing", &path, &error))?;
    }
    new.keep(&created)?;
    Ok(created)
}

fn write_config(layout: &Layout, wishes: &Wishes<'_>) -> Done {
    let names: Vec<String> = wishes.hostnames.iter().map(|name| format!("{name:?}")).collect();
    let mut text = include_str!("init/cvm.toml").replace("\"localhost\"", &names.join(", "));
    for (section, setting) in wishes.settings {
        let heading = format!("[{section}]\n");
        text = text.replace(&heading, &format!("{heading}{setting}\n"));
    }
    let path = layout.config();
    files::write_new(&path, text.as_bytes())
        .map_err(|error| Failure::file("writing", &path, &error))
}
