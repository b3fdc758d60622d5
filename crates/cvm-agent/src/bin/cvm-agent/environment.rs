//! The process's environment, read here and nowhere else.

use std::path::PathBuf;

use cvm_agent::service::OtherToken;
use zeroize::Zeroizing;

/// A token that systemd or whoever started us hands over: the credential `token`
/// (`LoadCredential=` in systemd.exec(5)), or `$CVM_TOKEN`.
pub(crate) fn token() -> OtherToken {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let text = std::env::var_os("CVM_TOKEN").and_then(|text| text.into_string().ok());
    OtherToken {
        file: credentials.map(|directory| directory.join("token")),
        text: text.filter(|text| !text.is_empty()).map(Zeroizing::new),
    }
}
