//! What is read, and that everything that is wrong is named.

use super::*;

const FINGERPRINT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, Path::new("/etc")).map_err(|faults| faults.0)
}

fn minimal() -> String {
    format!("server = 'https://cvm:8443'\nserial = 'SN-1'\nfingerprint = '{FINGERPRINT}'\n")
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(&minimal()).unwrap();
    assert_eq!(
        (config.server.as_str(), config.serial_number.as_str()),
        ("https://cvm:8443", "SN-1")
    );
    assert_eq!(config.directory, Path::new("/var/lib/cvm-agent"));
    assert_eq!((config.token_file, config.on_renewed), (None, None));
    assert_eq!((config.key_algorithm, config.used_token), (None, UsedToken::Keep));
    assert!(matches!(config.trust, Trust::Fingerprint(_)));
}

#[test]
fn everything_that_is_said_is_read_and_paths_start_beside_the_file() {
    let text = "server = 'cvm'\nserial = 'a:b/c'\nroot_ca = 'root.pem'\ndirectory = '/data'\n\
                token_file = 'token'\nremove_token = true\nkey_algorithm = 'EC_P384'\n\
                on_renewed = 'systemctl reload x'\n";
    let config = parse(text).unwrap();
    assert!(matches!(config.trust, Trust::RootFile(path) if path == Path::new("/etc/root.pem")));
    assert_eq!(config.directory, Path::new("/data"));
    assert_eq!(config.token_file.as_deref(), Some(Path::new("/etc/token")));
    assert_eq!(config.used_token, UsedToken::Remove);
    assert_eq!(config.key_algorithm, Some(KeyAlgorithm::EcP384));
    assert_eq!(config.on_renewed.as_deref(), Some("systemctl reload x"));
}

#[test]
fn every_fault_is_named_at_once() {
    let text = "server = 'http://cvm'\nserial = 'SN 1'\nfingerprint = 'abc'\ndirectory = ''\n\
                token = 'cvm1-NOBODY-MAY-SEE-THIS'\nremove_token = 1\nkey_algorithm = 'DSA'\n\
                on_renewed = 7\nroot = 'x'\n";
    let faults = parse(text).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    let all = [
        "server",
        "serial",
        "fingerprint",
        "key_algorithm",
        "directory",
        "remove_token",
        "on_renewed",
        "root",
        "token",
    ];
    assert_eq!(places, all, "{faults:#?}");
    assert!(!faults.concat().contains("NOBODY"), "{faults:#?}");
}

#[test]
fn what_is_needed_is_missed() {
    let faults = parse("").unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    assert_eq!(places, ["server", "serial", "fingerprint"]);
    let two = format!("{}root_ca = 'x'\nserial_file = 'y'\nremove_token = true\n", minimal());
    assert_eq!(parse(&two).unwrap_err().len(), 3);
    let broken = parse("server = 'https://cvm'\nserial = cvm1-NOBODY\n").unwrap_err();
    assert!(broken[0].starts_with("line 2: ") && broken.len() == 1, "{broken:?}");
}

#[test]
fn a_serial_number_may_come_from_a_file_of_the_system() {
    let home = tempfile::tempdir().unwrap();
    let text = minimal().replace("serial = 'SN-1'", "serial_file = 'serial'");
    for (content, serial) in [
        ("SN-7\n", Some("SN-7")),
        ("10000000abcdef01\0", Some("10000000abcdef01")),
        ("SN-7\r\nmore", Some("SN-7")),
        ("\n", None),
        (" SN-7", None),
        ("", None),
    ] {
        std::fs::write(home.path().join("serial"), content).unwrap();
        let read = Config::parse(&text, home.path());
        let read = read.ok().map(|config| config.serial_number);
        assert_eq!(read.as_deref(), serial, "{content:?}");
    }
    std::fs::remove_file(home.path().join("serial")).unwrap();
    let faults = Config::parse(&text, home.path()).unwrap_err().0;
    assert!(faults.len() == 1 && faults[0].contains("serial_file"), "{faults:?}");
}

#[test]
fn an_unknown_key_is_answered_with_the_known_ones() {
    assert!(KEYS.is_sorted());
    let fault = parse(&format!("{}x = 1\n", minimal())).unwrap_err().concat();
    assert!(fault.contains(&KEYS.join(", ")), "{fault}");
}

#[test]
fn a_file_that_others_can_write_is_refused_with_the_cure() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("agent.toml");
    std::fs::write(&path, minimal()).unwrap();
    for (mode, is_read) in [
        (0o600, true),
        (0o644, true),
        (0o444, true),
        (0o664, false),
        (0o646, false),
        (0o620, false),
        (0o602, false),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        match Config::read(&path) {
            Ok(_) => assert!(is_read, "{mode:o}"),
            Err(faults) => {
                assert!(!is_read, "{mode:o}: {faults}");
                assert!(faults.0[0].contains("chmod go-w"), "{faults}");
            }
        }
    }
}
