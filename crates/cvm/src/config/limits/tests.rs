use super::super::read::Origin;
use super::super::{Config, parse};

/// Each number with the least and the most that it may be.
const NUMBERS: [(&str, u32, u32); 16] = [
    ("body_bytes", 4_096, 65_536),
    ("client_chain_bytes", 1_024, 65_536),
    ("connections", 1, 1_000_000),
    ("connections_per_address", 1, 1_000_000),
    ("drain_seconds", 1, 600),
    ("handshake_seconds", 1, 600),
    ("header_bytes", 1_024, 65_536),
    ("header_seconds", 1, 600),
    ("headers", 16, 256),
    ("idle_seconds", 1, 3_600),
    ("metrics_connections", 1, 1_000),
    ("request_seconds", 1, 600),
    ("requests", 1, 1_000_000),
    ("requests_per_address", 1, 1_000_000),
    ("reset_streams", 1, 1_000),
    ("streams", 1, 256),
];

fn faults(limits: &str) -> Vec<String> {
    match parse(&format!("[limits]\n{limits}"), std::iter::empty()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn config(limits: &str) -> Config {
    parse(&format!("[limits]\n{limits}"), std::iter::empty()).unwrap().config
}

/// `key = value`, and where it is one address's part, as much for everyone.
fn line(key: &str, value: u32) -> String {
    let all = key.strip_suffix("_per_address").map(|all| format!("{all} = 1000000\n"));
    format!("{}{key} = {value}\n", all.unwrap_or_default())
}

#[test]
fn every_number_is_taken_at_its_edges_and_a_fault_past_them() {
    for (key, least, most) in NUMBERS {
        for inside in [least, most] {
            assert_eq!(faults(&line(key, inside)), [""; 0], "{key} = {inside}");
        }
        for outside in [least - 1, most + 1] {
            let faults = faults(&line(key, outside));
            let wanted = format!("[limits] {key}: expected a whole number from {least} to {most}");
            assert_eq!(faults, [wanted], "{key} = {outside}");
        }
    }
}

#[test]
fn every_key_that_is_a_number_is_in_the_list_of_numbers() {
    let loaded = parse("", std::iter::empty()).unwrap();
    let limits = loaded.settings.iter().filter(|setting| setting.section == "limits");
    let numbers = limits.filter(|setting| setting.value.parse::<u32>().is_ok());
    let mut keys: Vec<_> = numbers.map(|setting| setting.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, NUMBERS.map(|(key, ..)| key));
}

#[test]
fn one_address_has_a_quarter_unless_somebody_says_otherwise_and_never_more_than_all() {
    let of = |limits: &str| {
        let door = config(limits).limits.door;
        (door.connections_per_address_max, door.requests_per_address_max)
    };
    assert_eq!(of(""), (256, 256));
    assert_eq!(of("connections = 1\nrequests = 10\n"), (1, 3));
    assert_eq!(of("connections = 8\nconnections_per_address = 8\n"), (8, 256));
    for key in ["connections", "requests"] {
        let faults = faults(&format!("{key} = 8\n{key}_per_address = 9\n"));
        let wanted = format!("[limits] {key}_per_address: one address cannot have 9");
        assert!(faults.len() == 1 && faults[0].starts_with(&wanted), "{faults:?}");
    }
}

#[test]
fn what_is_in_force_without_a_word_is_what_the_api_takes_for_granted() {
    let (ours, theirs) = (config("").limits.door, cvm_api::Limits::default());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn the_file_that_init_writes_has_every_key_with_its_default() {
    let template = include_str!("../../command/init/cvm.toml");
    let (_, section) = template.split_once("\n[limits]\n").unwrap();
    let (section, _) = section.split_once("\n[").unwrap();
    let written: String =
        section.lines().map(|line| format!("{}\n", &line[2.min(line.len())..])).collect();
    let in_force = |text: &str| {
        let loaded = parse(text, std::iter::empty()).unwrap();
        let limits = loaded.settings.into_iter().filter(|setting| setting.section == "limits");
        limits.map(|it| (it.key, it.value, it.origin)).collect::<Vec<_>>()
    };
    let (written, defaults) = (in_force(&format!("[limits]\n{written}")), in_force(""));
    for ((key, value, origin), (_, default, _)) in written.into_iter().zip(defaults) {
        assert_eq!((value, origin), (default, Origin::File), "{key}");
    }
}
