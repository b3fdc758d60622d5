//! PEM (RFC 7468): one block in, one block out. Secrets stay in zeroized memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A block's label and its bytes.
pub(crate) type Labelled<'a> = (&'a str, Zeroizing<Vec<u8>>);

/// The one block in `text` with nothing but white space around it: its label and its bytes.
///
/// # Errors
/// Says what was found instead.
pub(crate) fn single(text: &str) -> Result<Labelled<'_>, &'static str> {
    let (label, bytes, rest) = block(text.trim_ascii_start())?;
    if rest.trim_ascii().is_empty() {
        Ok((label, bytes))
    } else {
        Err("something follows the block")
    }
}

/// Every block in `text`, with anything between them ignored, as tools write keys and chains.
pub(crate) fn all(text: &str) -> Result<Vec<Labelled<'_>>, &'static str> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let (label, bytes, after) = block(rest.get(at..).unwrap_or_default())?;
        blocks.push((label, bytes));
        rest = after;
    }
    Ok(blocks)
}

type Block<'a> = (&'a str, Zeroizing<Vec<u8>>, &'a str);

fn block(text: &str) -> Result<Block<'_>, &'static str> {
    let after = text.strip_prefix("-----BEGIN ").ok_or("it does not begin with -----BEGIN")?;
    let (label, body) = after.split_once("-----").ok_or("the first line is cut off")?;
    let (body, end) = body.split_once("-----END ").ok_or("the -----END line is missing")?;
    let rest = end
        .strip_prefix(label)
        .and_then(|rest| rest.strip_prefix("-----"))
        .ok_or("the -----END line does not fit the first one")?;
    let mut compact = Zeroizing::new(Vec::with_capacity(body.len()));
    compact.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; compact.len() / 4 * 3 + 3]);
    let length =
        STANDARD.decode_slice(&compact, &mut bytes).map_err(|_| "its content is not base64")?;
    bytes.truncate(length);
    Ok((label, bytes, rest))
}

/// A block with this label, in lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text =
        Zeroizing::new(String::with_capacity(body.len() / 64 * 65 + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// A certificate as PEM.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der).to_string()
}

/// A certificate request as PEM.
#[must_use]
pub fn certificate_request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der).to_string()
}

/// A private key in PKCS #8 as PEM.
#[must_use]
pub fn private_key(key: &cvm_core::key::PrivateKey) -> Zeroizing<String> {
    encode("PRIVATE KEY", &key.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_survives_the_round_trip() {
        for length in [0, 1, 47, 48, 49, 1_000] {
            let bytes = vec![0xA5; length];
            let text = encode("THING", &bytes);
            assert_eq!(single(&text).map(|(l, b)| (l, b.to_vec())), Ok(("THING", bytes)));
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn only_white_space_may_stand_around_it() {
        let text = encode("A", b"x");
        assert!(single(&format!(" \r\n{}\n\t ", *text)).is_ok());
        assert_eq!(
            single(&format!("x{}", *text)).unwrap_err(),
            "it does not begin with -----BEGIN"
        );
        assert_eq!(single(&format!("{}x", *text)).unwrap_err(), "something follows the block");
        assert_eq!(
            single("-----BEGIN A-----\neA==\n").unwrap_err(),
            "the -----END line is missing"
        );
        let mixed = "-----BEGIN A-----\neA==\n-----END B-----";
        assert_eq!(single(mixed).unwrap_err(), "the -----END line does not fit the first one");
        for body in ["eA=", "eA", "eB==", "Proc-Type: 4,ENCRYPTED\n\neA=="] {
            let text = format!("-----BEGIN A-----\n{body}\n-----END A-----");
            assert_eq!(single(&text).unwrap_err(), "its content is not base64", "{body}");
        }
    }

    #[test]
    fn all_blocks_are_found_among_other_text() {
        let text = format!("subject=x\n{}between\n{}", *encode("A", b"1"), *encode("B", b"2"));
        let labels: Vec<&str> = all(&text).unwrap().into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels, ["A", "B"]);
    }
}
