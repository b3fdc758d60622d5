//! An account at the stand-ins, and a PKI whose vault is in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cvm_aws::{Aws, Place};
use cvm_core::key::KeyAlgorithm;
use cvm_core::time::Timestamp;
use cvm_e2e::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use cvm_pki::{
    Bundle, CreateOptions, Created, DevicesCa, PkiError, Protection, ServerOptions, Vault,
};

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_772_366_400);

/// The account that tests work in.
pub(crate) async fn account() -> Aws {
    Aws::load_with_key(REGION, ACCESS_KEY_ID, SECRET_ACCESS_KEY).await
}

/// A service that listens here.
pub(crate) fn at(endpoint: &str) -> Place {
    Place { region: None, endpoint: Some(endpoint.to_owned()) }
}

/// Makes a PKI in a vault, as `init` does.
pub(crate) fn make(
    bundle: &Arc<Bundle>,
    data_dir: &Path,
    devices: DevicesCa<'_>,
    protection: Protection<'_>,
) -> Result<Created, PkiError> {
    let vault = Vault::create_in(bundle.clone(), protection)?;
    let hostnames = [String::from("localhost")];
    let server = ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 };
    let options = CreateOptions { data_dir, server, devices, root_key_out: None, now: NOW };
    cvm_pki::Pki::create(&vault, &options)
}

/// A file in `directory`; its path.
pub(crate) fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Runs openssl, which must succeed; its standard output.
pub(crate) fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
