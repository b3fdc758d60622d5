//! DER as PEM (RFC 7468), without leaving copies behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// 48 bytes are a line of 64 characters.
const LINE_BYTES: usize = 48;

/// One PEM block with a final newline; its room is reserved at once, so it is never moved.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let lines = der.len().div_ceil(LINE_BYTES);
    let room = lines * 65 + 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut text = Zeroizing::new(String::with_capacity(room));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    for line in der.chunks(LINE_BYTES) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters_and_the_room_is_enough() {
        for length in [0, 1, 47, 48, 49, 2_000] {
            let text = encode("PRIVATE KEY", &vec![7; length]);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "-----BEGIN PRIVATE KEY-----");
            assert_eq!(lines[lines.len() - 1], "-----END PRIVATE KEY-----");
            assert!(lines.iter().all(|line| line.len() <= 64));
            assert_eq!(lines.len(), 2 + length.div_ceil(48));
            assert!(text.capacity() < text.len() + 128);
        }
    }
}
