//! Text without anything that is more than text: line ends, escape codes, marks that turn the
//! direction of writing.

use std::fmt::{self, Write};

/// How what is not shown is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As Rust writes it in a text.
    Text,
    /// As JSON does.
    Json,
}

/// Writes to another writer what is shown as it is, and the rest by its number.
pub(super) struct Clean<'a, W> {
    to: &'a mut W,
    form: Form,
}

impl<'a, W: Write> Clean<'a, W> {
    pub(super) fn text(to: &'a mut W) -> Self {
        Self { to, form: Form::Text }
    }

    pub(super) fn json(to: &'a mut W) -> Self {
        Self { to, form: Form::Json }
    }
}

impl<W: Write> Write for Clean<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return self.to.write_str(text);
        }
        for c in text.chars() {
            match (is_shown(c), self.form) {
                (true, _) => self.to.write_char(c)?,
                (false, Form::Text) => write!(self.to, "{}", c.escape_debug())?,
                (false, Form::Json) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.to, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_shown(c: char) -> bool {
    // What `Debug` escapes of a text, but for what only delimits one.
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().eq([c])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\n\r\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{2028}\u{0}z é \"\\";

    #[test]
    fn what_is_more_than_text_is_written_by_its_number() {
        let mut text = String::new();
        Clean::text(&mut text).write_str(HOSTILE).unwrap();
        let numbers = "a\\n\\r\\u{1b}[31m\\u{7f}\\u{9b}2J\\u{202e}\\u{2028}\\0z é \"\\";
        assert_eq!(text, numbers);
    }

    #[test]
    fn json_says_what_was_said() {
        let quoted = serde_json::to_string(HOSTILE).unwrap();
        let mut json = String::new();
        Clean::json(&mut json).write_str(&quoted).unwrap();
        assert!(json.chars().all(|c| !c.is_control() && !"\u{202e}\u{2028}".contains(c)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), HOSTILE);
    }
}
