//! When the listeners' certificate is due.

use super::*;

const NOW: Timestamp = Timestamp(1_772_366_400);

fn days(number: i64) -> Timestamp {
    NOW.plus(Span(number * Span::DAY.0))
}

fn names(list: &[&str]) -> Vec<Host> {
    list.iter().map(|name| Host::read(name).unwrap()).collect()
}

#[test]
fn it_is_due_when_a_third_of_its_life_is_left_or_when_it_no_longer_fits() {
    let root = Authority::create_root(NOW).unwrap();
    let servers = root.create_servers(NOW).unwrap();
    let hosts = names(&["a.example", "::1", "127.0.0.1"]);
    let p256 = KeyAlgorithm::EcP256;
    let identity = issue(&servers, &hosts, p256, NOW).unwrap();
    assert_eq!(identity.not_after, days(90));
    let due = |hosts: &[Host], algorithm, now| is_due(&identity, &servers, hosts, algorithm, now);
    assert!(!due(&hosts, p256, NOW));
    assert!(!due(&hosts, p256, days(60)), "an edge belongs to the time before it");
    assert!(due(&hosts, p256, days(60).plus(Span(1))));
    assert!(due(&names(&["b.example", "::1", "127.0.0.1"]), p256, NOW));
    assert!(due(&hosts[..2], p256, NOW));
    assert!(due(&hosts, KeyAlgorithm::Rsa2048, NOW));
    let other = root.create_servers(NOW).unwrap();
    assert!(is_due(&identity, &other, &hosts, p256, NOW), "another CA");
}

#[test]
fn at_the_end_of_its_ca_it_is_not_issued_over_and_over() {
    let servers = Authority::create_root(NOW).unwrap().create_servers(NOW).unwrap();
    let (hosts, p256) = (names(&["a.example"]), KeyAlgorithm::EcP256);
    let late = servers.certificate.not_after.minus(Span(10 * Span::DAY.0));
    let identity = issue(&servers, &hosts, p256, late).unwrap();
    assert_eq!(identity.not_after, servers.certificate.not_after);
    assert!(!is_due(&identity, &servers, &hosts, p256, late));
}

#[test]
fn key_and_certificate_are_kept_together() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("server");
    let servers = Authority::create_root(NOW).unwrap().create_servers(NOW).unwrap();
    let identity = issue(&servers, &names(&["a.example"]), KeyAlgorithm::EcP256, NOW).unwrap();
    store(&directory, &identity).unwrap();
    let read = load(&directory).unwrap();
    assert_eq!((&read.chain, read.not_after), (&identity.chain, identity.not_after));
    assert_eq!(*read.key.0, *identity.key.0);
    // The crash between the two files.
    let next = issue(&servers, &names(&["a.example"]), KeyAlgorithm::EcP256, NOW).unwrap();
    fs::write(key_path(&directory), pem::private_key(&next.key).as_bytes()).unwrap();
    let error = load(&directory).unwrap_err().to_string();
    assert!(error.ends_with("it is not the key of the server certificate"), "{error}");
    assert!(!format!("{identity:?}").contains("key"));
}

#[test]
fn names_are_read_or_refused() {
    assert!(hosts(&[]).is_err());
    let error = hosts(&["ok.example".to_owned(), "not ok".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "`not ok` is neither a host name nor an IP address");
}
