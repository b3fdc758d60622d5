//! What a tokens file holds, and how much of its end a power cut has left unusable.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cvm_core::id::SerialNumber;
use cvm_core::token::Token;
use zeroize::Zeroizing;

/// The first line.
pub(super) const HEADER: &str = "serial,token";

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The tokens by serial number.
    pub(super) tokens: HashMap<Box<str>, Token>,
    /// So many bytes from the beginning are good.
    pub(super) whole: usize,
    /// What has to be written behind those before anything else.
    pub(super) missing: &'static str,
}

/// Reads the lines of a tokens file.
///
/// The last line may be cut short, and where the power went while a block was written the last
/// `torn_max` bytes may have zeros in them: what lies there was never synced, so it was never sent.
/// Whatever else does not fit is somebody's edit, which nothing here may throw away.
///
/// # Errors
/// What does not fit, without repeating it.
pub(super) fn lines(bytes: &[u8], torn_max: usize) -> Result<Found, String> {
    const FIRST: &str = "serial,token\n";
    let zero = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    if bytes.len() - zero > torn_max {
        return Err(String::from("is no tokens file: it holds zeros"));
    }
    // The line that has the first zero in it is torn as well.
    let usable = bytes.get(..zero).unwrap_or_default();
    let mut found = Found { tokens: HashMap::new(), whole: 0, missing: "" };
    for (number, line) in (1_u64..).zip(usable.split_inclusive(|byte| *byte == b'\n')) {
        let is_last = found.whole + line.len() == usable.len();
        let (text, has_end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_torn = is_last && !has_end;
        if number == 1 {
            if text != HEADER.as_bytes() && !(is_torn && HEADER.as_bytes().starts_with(text)) {
                let what = format!("is no tokens file: its first line is not {HEADER}");
                return Err(format!("{what}; give another --tokens-out"));
            }
        } else if is_torn && zero < bytes.len() {
            break;
        } else {
            match pair(text) {
                Some((serial, token)) => add(&mut found.tokens, serial, token, number)?,
                None if is_torn => break,
                None => {
                    let what = "is not a serial number, a comma and a token";
                    return Err(format!("has been edited: line {number} {what}; mend it"));
                }
            }
        }
        if is_torn && number == 1 {
            break;
        }
        found.whole += line.len();
        found.missing = if has_end { "" } else { "\n" };
    }
    if found.whole == 0 {
        found.missing = FIRST;
    }
    Ok(found)
}

fn pair(line: &[u8]) -> Option<(SerialNumber, Token)> {
    let (serial, token) = std::str::from_utf8(line).ok()?.split_once(',')?;
    let token = Token::brought(Zeroizing::new(token.to_owned())).ok()?;
    Some((serial.parse().ok()?, token))
}

fn add(
    tokens: &mut HashMap<Box<str>, Token>,
    serial: SerialNumber,
    token: Token,
    number: u64,
) -> Result<(), String> {
    match tokens.entry(serial.as_str().into()) {
        Entry::Vacant(place) => {
            place.insert(token);
            Ok(())
        }
        Entry::Occupied(there) if there.get().expose() == token.expose() => Ok(()),
        Entry::Occupied(_) => {
            Err(format!("has two tokens for {serial}, the second on line {number}: remove one"))
        }
    }
}
