use super::*;

fn thing_for(serial: &str) -> Result<String, IdError> {
    ThingName::for_serial(&serial.parse().unwrap()).map(String::from)
}

#[test]
fn a_serial_number_is_1_to_64_allowed_bytes_and_never_trimmed() {
    for good in ["a", "SN-0001", "a:b.c_d/e+f-g", &"x".repeat(64)] {
        assert_eq!(good.parse::<SerialNumber>().unwrap().as_str(), good);
    }
    for bad in ["", " SN", "SN ", "SN\n", "é", "a b", "a\0b", "?", &"x".repeat(65)] {
        assert_eq!(bad.parse::<SerialNumber>(), Err(IdError::SerialNumber), "{bad:?}");
    }
}

#[test]
fn no_device_can_be_called_nobody() {
    assert!(SerialNumber::nobody().as_str().parse::<SerialNumber>().is_err());
}

#[test]
fn the_default_thing_name_is_the_serial_number_where_it_fits() {
    assert_eq!(thing_for("SN_1:a-b").unwrap(), "SN_1:a-b");
}

#[test]
fn other_bytes_are_escaped_and_then_the_underscore_too() {
    assert_eq!(thing_for("a/b_c").unwrap(), "a_2fb_5fc");
    assert_eq!(thing_for("a+b").unwrap(), "a_2bb");
}

#[test]
fn a_default_thing_name_above_128_characters_is_refused() {
    assert_eq!(thing_for(&format!("{}{}", "/".repeat(32), "a".repeat(32))).unwrap().len(), 128);
    assert_eq!(
        thing_for(&format!("{}{}", "/".repeat(33), "a".repeat(31))),
        Err(IdError::ThingNameTooLong)
    );
}

#[test]
fn digests_accept_colons_and_upper_case() {
    let text = hex(&[0xAB; 32]);
    let typed = vec!["AB"; 32].join(":");
    assert_eq!(digest_from_hex(&typed).unwrap(), [0xAB; 32]);
    assert_eq!(digest_from_hex(&text).unwrap(), [0xAB; 32]);
    for bad in ["", "ab", &text[1..], &format!("{text}0"), &"g".repeat(64)] {
        assert_eq!(digest_from_hex(bad), Err(IdError::Digest));
    }
}

#[test]
fn attempt_codes_survive_printing_and_typing() {
    for random in [0, 1, 0x0002_3456_789A_BCDE, u64::MAX] {
        let code = AttemptCode::from_random(random);
        let shown = code.to_string();
        assert_eq!(shown.len(), 11);
        assert_eq!(shown.parse(), Ok(code));
        assert_eq!(shown.to_lowercase().replace('-', "").parse(), Ok(code));
    }
    for bad in ["", "K7QF2-M8WX", "K7QF2-M8WXAA", "K7QF2-M8WXU", "💥"] {
        assert_eq!(bad.parse::<AttemptCode>(), Err(IdError::AttemptCode));
    }
}
