//! PEM of private keys (RFC 7468), in buffers that are zeroized; the usual crates leave copies.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::KeyError;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const LINE: usize = 64;

/// The form of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// RFC 8017.
    Pkcs1,
    /// RFC 5208.
    Pkcs8,
    /// RFC 5915.
    Sec1,
}

/// The first private key in a text; other sections, such as `EC PARAMETERS`, are skipped.
pub(super) fn decode(text: &[u8]) -> Result<(Label, Zeroizing<Vec<u8>>), KeyError> {
    let mut rest = std::str::from_utf8(text).map_err(|_| KeyError::NotPem)?;
    while let Some((_, tail)) = rest.split_once(BEGIN) {
        let (name, tail) = tail.split_once(DASHES).ok_or(KeyError::NotPem)?;
        let end = format!("-----END {name}-----");
        let (body, tail) = tail.split_once(&end).ok_or(KeyError::NotPem)?;
        let label = match name {
            "PRIVATE KEY" => Some(Label::Pkcs8),
            "EC PRIVATE KEY" => Some(Label::Sec1),
            "RSA PRIVATE KEY" => Some(Label::Pkcs1),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            _ => None,
        };
        if let Some(label) = label {
            return Ok((label, decode_body(body)?));
        }
        rest = tail;
    }
    Err(KeyError::NotPem)
}

fn decode_body(body: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // RFC 1421, section 4.6: the old way to encrypt.
    if body.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let mut packed = Zeroizing::new(Vec::with_capacity(body.len()));
    packed.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; packed.len()]);
    let length = STANDARD.decode_slice(&*packed, &mut der).map_err(|_| KeyError::NotPem)?;
    der.truncate(length);
    Ok(der)
}

/// PKCS#8 in PEM.
pub(super) fn encode(pkcs8: &[u8]) -> Zeroizing<String> {
    let packed = Zeroizing::new(STANDARD.encode(pkcs8));
    // Full size from the start: a text that grows leaves copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(packed.len() * 2 + 128));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = packed.as_str();
    while let Some((line, tail)) = rest.split_at_checked(rest.len().min(LINE)) {
        if line.is_empty() {
            break;
        }
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
