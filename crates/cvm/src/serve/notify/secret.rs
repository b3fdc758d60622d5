//! The secret that messages are signed with: `whsec_` and base64, in a file of its own.
//!
//! Standard Webhooks 1.0, "Signature scheme": HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use cvm_core::ports::Entropy;
use cvm_pki::files;
use zeroize::Zeroizing;

use crate::data_dir::read_secret;
use crate::failure::{Exit, Failure};

const PREFIX: &str = "whsec_";

/// How many random bytes a secret of ours has.
const BYTES: usize = 32;

/// How many a secret may have: "between 24 bytes (192 bits) and 64 bytes (512 bits)".
const BYTES_ALLOWED: std::ops::RangeInclusive<usize> = 24..=64;

/// Others leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret to sign with.
pub(super) struct Secret(hmac::Key);

impl Secret {
    /// The secret in `path`, which is made where it does not exist.
    pub(super) fn load(path: &Path, entropy: &dyn Entropy) -> Result<Self, Failure> {
        if !path.exists() {
            make(path, entropy)?;
            tracing::info!(
                file = %path.display(),
                "a secret for webhooks was made: give it to the receiver"
            );
        }
        let text = read_secret("the webhook's secret", path)?;
        Self::parse(&text).ok_or_else(|| {
            let what = format!("{} holds no webhook secret", path.display());
            let cure = "its first line has to be whsec_ and 24 to 64 bytes in base64; \
                        where there is no such file, `cvm serve` makes one";
            Failure::new(Exit::Failed, what).cure(cure)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = LENIENT.decode(text.trim().strip_prefix(PREFIX)?).map(Zeroizing::new).ok()?;
        let is_long_enough = BYTES_ALLOWED.contains(&bytes.len());
        is_long_enough.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// `webhook-signature` of a body that is sent at `timestamp`.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            signing.update(part);
        }
        format!("v1,{}", STANDARD.encode(signing.sign()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

fn make(path: &Path, entropy: &dyn Entropy) -> Result<(), Failure> {
    let mut random = Zeroizing::new([0_u8; BYTES]);
    entropy.fill(&mut *random);
    // Whole from the start: a text that grows leaves copies behind.
    let mut line = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * BYTES));
    line.push_str(PREFIX);
    STANDARD.encode_string(*random, &mut line);
    line.push('\n');
    files::write_new(path, line.as_bytes())
        .map_err(|error| Failure::file("writing the webhook's secret to", path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cvm_pki::SystemEntropy;

    use super::*;

    #[test]
    fn signatures_are_those_of_the_reference_implementation() {
        // Made by the package `standardwebhooks` 1.1.0 for Python.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = secret.sign(id, "1614265330", b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_made_once_and_is_for_its_owner_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify-secret");
        let sign = || Secret::load(&path, &SystemEntropy).unwrap().sign("id", "1", b"body");
        assert_eq!(sign(), sign());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), text.starts_with("whsec_")), (6 + 44 + 1, true));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify-secret");
        for text in ["hunter2", "whsec_hunter2!", "whsec_aHVudGVyMg==", ""] {
            std::fs::write(&path, text).unwrap();
            let failure = Secret::load(&path, &SystemEntropy).unwrap_err();
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
            assert!(!format!("{failure:?}").contains("aHVudGVy"), "{failure:?}");
        }
    }

    #[test]
    fn a_secret_may_come_without_padding_and_is_never_printed() {
        let [with, without] =
            ["whsec_".to_owned() + &"A".repeat(43) + "=", "whsec_".to_owned() + &"A".repeat(43)];
        let sign = |text: &str| Secret::parse(text).unwrap().sign("id", "1", b"");
        assert_eq!(sign(&with), sign(&without));
        assert_eq!(format!("{:?}", Secret::parse(&with)), "Some(Secret(redacted))");
    }
}
