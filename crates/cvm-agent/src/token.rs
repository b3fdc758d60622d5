//! A device's one-time token: read once, never printed, zeroized.

use std::io::Read;
use std::path::Path;

use cvm_wire::SecretText;
use zeroize::Zeroizing;

use crate::error::Error;

/// `protocol.md`, section 1: a token has 16 to 256 characters. A file with more than this is not
/// one that holds a token.
const TOKEN_BYTES_MAX: usize = 1024;

/// A device's token.
#[derive(Clone)]
pub struct Token(SecretText);

impl Token {
    /// Takes a token as somebody typed or stored it: the first line.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing is on it.
    pub fn new(text: Zeroizing<String>) -> Result<Self, Error> {
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(Error::Usage("the token is empty".to_owned()));
        }
        Ok(Self(SecretText::new(Zeroizing::new(line.to_owned()))))
    }

    /// Reads a token from a file.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be read, [`Error::Usage`] if it holds no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let what = || format!("reading the token from {}", path.display());
        let file = std::fs::File::open(path).map_err(|source| Error::local(what(), source))?;
        Self::read(file, &what())
    }

    /// Reads a token to the end of `source`, such as standard input; `what` names it in an error.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be read, [`Error::Usage`] if it holds no token.
    pub fn read(source: impl Read, what: &str) -> Result<Self, Error> {
        // Full size from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_BYTES_MAX + 1));
        let bound = u64::try_from(TOKEN_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        source
            .take(bound)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::local(what.to_owned(), source))?;
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(Error::Usage(format!(
                "{what}: more than {TOKEN_BYTES_MAX} bytes, which no token has"
            )));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::new(Zeroizing::new(text.to_owned()))
                .map_err(|_| Error::Usage(format!("{what}: it is empty"))),
            Err(_) => Err(Error::Usage(format!("{what}: a token is text"))),
        }
    }

    pub(crate) fn secret(&self) -> &SecretText {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Option<String> {
        Token::read(text.as_bytes(), "reading").ok().map(|token| token.secret().expose().to_owned())
    }

    #[test]
    fn the_first_line_is_taken_and_nothing_of_it_trimmed() {
        assert_eq!(token("abc").as_deref(), Some("abc"));
        assert_eq!(token("abc\n").as_deref(), Some("abc"));
        assert_eq!(token("abc\r\n").as_deref(), Some("abc"));
        assert_eq!(token("abc\n\n").as_deref(), Some("abc"));
        assert_eq!(token("abc\ndef\n").as_deref(), Some("abc"));
        assert_eq!(token(" abc ").as_deref(), Some(" abc "));
    }

    #[test]
    fn nothing_too_much_and_not_text_are_no_tokens() {
        assert_eq!(token(""), None);
        assert_eq!(token("\n"), None);
        assert!(token(&"a".repeat(TOKEN_BYTES_MAX)).is_some());
        assert_eq!(token(&"a".repeat(TOKEN_BYTES_MAX + 1)), None);
        assert!(Token::read(&[0xff][..], "reading").is_err());
    }

    #[test]
    fn a_token_cannot_be_printed() {
        let token = Token::new(Zeroizing::new("tell-nobody".to_owned())).unwrap();
        assert!(!format!("{token:?}").contains("nobody"));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_local_fault() {
        let fault = Token::from_file(Path::new("/nowhere/token")).unwrap_err();
        assert_eq!(fault.exit_code(), 77);
    }
}
