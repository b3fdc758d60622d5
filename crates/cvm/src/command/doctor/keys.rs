//! The vault: whether it is sealed, whether it opens, and whether its keys are those of the
//! certificates beside it.

use cvm_core::error::chain_of;
use cvm_pki::{Pki, PkiError, VAULT_DIRECTORY, Vault, VaultError};

use super::Patient;
use super::check::Check;
use super::report::{Finding, Report};
#[cfg(feature = "aws")]
use crate::config::VaultPlace;
use crate::passphrase;

const CHECK: Check = Check::Keys;

/// Opens the vault as far as that goes without asking anybody, and looks at what needs no key.
pub(super) fn check(patient: &Patient<'_>, report: &mut Report) {
    #[cfg(feature = "aws")]
    if let Some(VaultPlace::S3(bucket)) = patient.config.as_ref().map(|config| &config.vault) {
        let what = format!("the vault is in s3://{}, and is not looked into", bucket.name);
        return report.add(Finding::ok(Check::Vault, what));
    }
    look_into(patient, report);
    report.add(match cvm_pki::chains_check(&patient.layout.root) {
        Ok(()) => Finding::ok(Check::Chains, "every certificate of ours has its issuer"),
        Err(error) => {
            let cure = "restore vault/, server/ and root-ca.pem from one and the same backup";
            Finding::failed(Check::Chains, chain_of(&error), cure)
        }
    });
}

fn look_into(patient: &Patient<'_>, report: &mut Report) {
    let given = match passphrase::find(patient.args.passphrase_file.as_deref()) {
        Ok(given) => given,
        Err(failure) => return report.add(Finding::failure(CHECK, &failure)),
    };
    match Vault::open(&patient.file(VAULT_DIRECTORY), given.as_ref()) {
        Ok(vault) => {
            if vault.is_sealed() {
                report.add(Finding::ok(Check::Vault, "the vault is sealed"));
            } else {
                let what = "the vault is not sealed: who can read the data directory, or a backup \
                            of it, has the CA keys";
                let cure = "for more than a trial make another with `cvm init` and a passphrase";
                report.add(Finding::warning(Check::Vault, what, cure));
            }
            look_at_keys(patient, &vault, report);
        }
        Err(VaultError::PassphraseNeeded) => {
            report.add(Finding::ok(Check::Vault, "the vault is sealed"));
            let what = "they are sealed; --passphrase-file FILE looks at them as well";
            report.add(Finding::ok(CHECK, what));
        }
        Err(error) => {
            let cure = "restore the vault from a backup, or give the right passphrase";
            report.add(Finding::failed(CHECK, chain_of(&error), cure));
        }
    }
}

fn look_at_keys(patient: &Patient<'_>, vault: &Vault, report: &mut Report) {
    match Pki::load(&patient.layout.root, vault, "http://localhost") {
        Ok(_) => report.add(Finding::ok(CHECK, "every key is there and fits its certificate")),
        // Whether that one fits, `serve` asks at its start.
        Err(PkiError::RemoteKey(_)) => {
            report.add(Finding::ok(CHECK, "the key of the devices CA is kept elsewhere"));
        }
        Err(error) => {
            let cure = "restore vault/ and root-ca.pem from one and the same backup";
            report.add(Finding::failed(CHECK, chain_of(&error), cure));
        }
    }
}
