//! Where the vault's passphrase comes from.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use cvm_pki::Passphrase;
use zeroize::Zeroizing;

use crate::data_dir::read_secret;
use crate::environment::variable;
use crate::failure::{Exit, Failure};

/// The passphrase of a vault that is to be made: from `file`, or asked for twice.
pub(crate) fn choose(file: Option<&Path>) -> Result<Passphrase, Failure> {
    if let Some(path) = file {
        return passphrase(read_secret("the passphrase", path)?);
    }
    if !std::io::stdin().is_terminal() {
        let what = "the vault needs a passphrase, and there is no terminal to ask for it";
        let cure = "give --passphrase-file FILE, or --unsealed to do without";
        return Err(Failure::new(Exit::Usage, what).cure(cure));
    }
    let first = ask("Passphrase for the vault: ")?;
    if *first != *ask("Once more: ")? {
        return Err(Failure::new(Exit::Usage, "the two passphrases are not the same"));
    }
    passphrase(first)
}

/// The passphrase of a vault that is there: from `file`, the systemd credential `passphrase`, or
/// asked for; `None` where there is nobody to ask, which suits a vault that is not sealed.
pub(crate) fn find(file: Option<&Path>) -> Result<Option<Passphrase>, Failure> {
    let credential = variable("CREDENTIALS_DIRECTORY")
        .map(|directory| PathBuf::from(directory).join("passphrase"))
        .filter(|path| path.exists());
    match file.or(credential.as_deref()) {
        Some(path) => passphrase(read_secret("the passphrase", path)?).map(Some),
        None => Ok(None),
    }
}

/// Asks for the passphrase of a sealed vault.
pub(crate) fn ask_for_sealed() -> Result<Passphrase, Failure> {
    if !std::io::stdin().is_terminal() {
        let what = "the vault is sealed, and there is no terminal to ask for its passphrase";
        let cure = "give --passphrase-file FILE, set $CVM_PASSPHRASE_FILE, or load the systemd \
                    credential `passphrase`";
        return Err(Failure::new(Exit::Usage, what).cure(cure));
    }
    passphrase(ask("Passphrase of the vault: ")?)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(Exit::Failed, format!("reading the passphrase: {error}")))
}

fn passphrase(text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}
