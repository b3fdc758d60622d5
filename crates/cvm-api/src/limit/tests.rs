//! Networks as they are typed, and refusals as they are counted.

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn networks_are_read_as_they_are_printed() {
    for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"] {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
    }
    assert_eq!("127.0.0.1".parse::<Network>().unwrap().to_string(), "127.0.0.1/32");
    for bad in ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/+8", "ten"]
    {
        assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
    }
}

#[test]
fn a_network_ends_at_its_edge() {
    let network: Network = "10.4.0.0/14".parse().unwrap();
    assert!(network.contains(address("10.4.0.0")) && network.contains(address("10.7.255.255")));
    assert!(!network.contains(address("10.3.255.255")) && !network.contains(address("10.8.0.0")));
    assert!(network.contains(address("::ffff:10.5.0.1")));
    assert!(!network.contains(address("2001:db8::1")));
    let everything: Network = "::/0".parse().unwrap();
    assert!(
        everything.contains(address("2001:db8::1")) && !everything.contains(address("10.0.0.1"))
    );
}

#[test]
fn the_sixtieth_refusal_passes_and_then_everyone_at_the_address_waits() {
    let limit = AddressLimit::new("60/1m".parse().unwrap(), Vec::new());
    let now = Timestamp(1_000);
    for _ in 0..60 {
        assert_eq!(limit.wait(address("2001:db8::1"), now), None);
        limit.count(address("2001:db8::2"), now);
    }
    assert_eq!(limit.wait(address("2001:db8::ffff:1"), now), Some(Span(1)));
    assert_eq!(limit.wait(address("2001:db8:0:1::1"), now), None);
    assert_eq!(limit.wait(address("2001:db8::1"), Timestamp(1_001)), None);
}

#[test]
fn a_mapped_address_is_the_address_it_maps() {
    let limit = AddressLimit::new("1/1m".parse().unwrap(), Vec::new());
    limit.count(address("::ffff:192.0.2.1"), Timestamp(0));
    assert!(limit.wait(address("192.0.2.1"), Timestamp(0)).is_some());
    assert!(limit.wait(address("192.0.2.2"), Timestamp(0)).is_none());
}

#[test]
fn trusted_networks_are_never_counted() {
    let limit = AddressLimit::new("1/1m".parse().unwrap(), vec!["127.0.0.0/8".parse().unwrap()]);
    for _ in 0..100 {
        limit.count(address("127.0.0.1"), Timestamp(0));
    }
    assert_eq!(limit.wait(address("127.0.0.1"), Timestamp(0)), None);
}
