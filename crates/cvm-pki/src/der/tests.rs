//! What is DER and what only looks like it.

use super::*;

fn refused(bytes: &[u8]) -> &'static str {
    check(bytes).unwrap_err().0
}

#[test]
fn canonical_encodings_pass() {
    for good in [
        &[0x30, 0x00][..],
        &[0x02, 0x01, 0x00],
        &[0x02, 0x02, 0x00, 0x80],
        &[0x02, 0x02, 0xFF, 0x7F],
        &[0x01, 0x01, 0xFF],
        &[0x03, 0x01, 0x00],
        &[0x03, 0x02, 0x04, 0xF0],
        &[0x06, 0x03, 0x2B, 0x65, 0x70],
        &[0x06, 0x02, 0x88, 0x37],
        &[0xA0, 0x02, 0x05, 0x00],
    ] {
        assert_eq!(check(good), Ok(()), "{good:02x?}");
    }
}

#[test]
fn what_is_ber_only_is_refused() {
    for (bad, why) in [
        (&[0x30, 0x80, 0x00, 0x00][..], "an indefinite length"),
        (&[0x04, 0x81, 0x01, 0x00], "a length that is not in its shortest form"),
        (&[0x04, 0x82, 0x00, 0x01, 0x00], "a length that is not in its shortest form"),
        (&[0x04, 0x83, 0x00, 0xFF, 0xFF], "a length that is not in its shortest form"),
        (&[0x04, 0x83, 0x01, 0x00, 0x00], "an element is cut off"),
        (&[0x04, 0x84, 0x01, 0x00, 0x00, 0x00], "a length that cannot be"),
        (&[0x01, 0x01, 0x01], "a BOOLEAN that is neither 00 nor FF"),
        (&[0x05, 0x01, 0x00], "a NULL with content"),
        (&[0x02, 0x00], "an empty INTEGER"),
        (&[0x02, 0x02, 0x00, 0x7F], "an INTEGER with a spare zero"),
        (&[0x02, 0x02, 0xFF, 0x80], "an INTEGER with a spare octet"),
        (&[0x03, 0x00], "an empty BIT STRING"),
        (&[0x03, 0x02, 0x08, 0x00], "a BIT STRING with more than seven unused bits"),
        (&[0x03, 0x02, 0x04, 0xF1], "a BIT STRING whose unused bits are not zero"),
        (&[0x03, 0x01, 0x01], "a BIT STRING whose unused bits are not zero"),
        (&[0x06, 0x00], "an OBJECT IDENTIFIER that is cut off"),
        (&[0x06, 0x01, 0x88], "an OBJECT IDENTIFIER that is cut off"),
        (&[0x06, 0x02, 0x80, 0x01], "an OBJECT IDENTIFIER with a spare octet"),
        (&[0x0C, 0x01, 0xFF], "a UTF8String that is not UTF-8"),
        (&[0x24, 0x03, 0x04, 0x01, 0x00], "a constructed string"),
        (&[0x1F, 0x1F, 0x00], "a tag number above 30"),
        (&[0x00, 0x00], "a tag that cannot be"),
        (&[0x30, 0x01, 0x02], "a length that cannot be"),
        (&[0x30, 0x02, 0x02], "an element is cut off"),
        (&[0x05, 0x00, 0x00], "there are trailing bytes"),
        (&[], "an element is missing"),
    ] {
        assert_eq!(refused(bad), why, "{bad:02x?}");
    }
}

#[test]
fn the_depth_is_bounded_at_16() {
    let nested =
        |levels: usize| (0..levels).fold(vec![5, 0], |inner, _| element(SEQUENCE, &[&inner]));
    assert_eq!(check(&nested(16)), Ok(()));
    assert_eq!(refused(&nested(17)), "it is nested too deeply");
}

#[test]
fn what_the_encoder_writes_the_reader_reads() {
    for length in [0, 1, 127, 128, 255, 256, 65_535] {
        let content = vec![7; length];
        let encoded = element(OCTET_STRING, &[&content]);
        assert_eq!(check(&encoded), Ok(()));
        let read = Reader::new(&encoded).any().unwrap();
        assert_eq!((read.tag, read.content, read.raw), (OCTET_STRING, &content[..], &encoded[..]));
    }
}
