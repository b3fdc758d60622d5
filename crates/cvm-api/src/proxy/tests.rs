//! What is believed of whom.

use super::*;

const PROXY: &str = "10.0.0.1";
/// `Client-Cert` of a certificate whose DER is `abc`.
const CERTIFICATE: (&str, &str) = ("client-cert", ":YWJj:");

fn peer(address: &str) -> Peer {
    let own = Some(CertificateId([9; 32]));
    Peer { address: address.parse().unwrap(), certificate: own }
}

fn behind(address: &str, fields: &[(&str, &str)]) -> Result<Peer, Refused> {
    let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    peer_behind(&trusted, peer(address), &map)
}

fn address(fields: &[(&str, &str)]) -> String {
    behind(PROXY, fields).unwrap().address.to_string()
}

#[test]
fn of_who_is_no_trusted_proxy_nothing_is_believed() {
    for stranger in ["192.0.2.1", "11.0.0.1", "2001:db8:2::1"] {
        let fields = [CERTIFICATE, ("forwarded", "for=10.9.9.9"), ("x-forwarded-for", "10.8.8.8")];
        let found = behind(stranger, &fields).unwrap();
        assert_eq!(found.address, peer(stranger).address);
        assert_eq!(found.certificate, peer(stranger).certificate);
    }
}

#[test]
fn a_trusted_proxy_tells_the_certificate_and_shows_none_of_its_own() {
    let shown = |fields: &[(&str, &str)]| behind(PROXY, fields).unwrap().certificate;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(shown(&[CERTIFICATE]).unwrap().to_string(), abc);
    assert_eq!(shown(&[]), None);
    for bad in ["YWJj", ":YWJj", ":YW Jj:", ":YWJj:;a=b", "::", ":%:", "\"YWJj\"", ":YWJj:, :YWJj:"]
    {
        assert_eq!(shown(&[("client-cert", bad)]), None, "{bad}");
    }
    assert_eq!(shown(&[CERTIFICATE, CERTIFICATE]), None);
}

#[test]
fn the_address_is_the_one_that_the_last_trusted_proxy_has_seen() {
    for (list, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("198.51.100.1,192.0.2.7 ,2001:db8:1::5,10.0.0.2", "192.0.2.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, unknown", PROXY),
        ("192.0.2.7, rubbish, 10.0.0.2", "10.0.0.2"),
        ("", PROXY),
    ] {
        assert_eq!(address(&[("x-forwarded-for", list)]), expected, "{list}");
    }
    assert_eq!(address(&[]), PROXY);
    let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(address(&lines), "192.0.2.7");
}

#[test]
fn forwarded_is_read_as_its_rfc_has_it() {
    for (list, expected) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("For=\"[2001:db8::17]:4711\"", "2001:db8::17"),
        ("for=\"192.0.2.60:80\"", "192.0.2.60"),
        ("for=198.51.100.1, proto=https; for=192.0.2.60", "192.0.2.60"),
        ("for=192.0.2.60, for=10.0.0.2", "192.0.2.60"),
        ("for=192.0.2.60;host=\"a,b;for=1.2.3.4\"", "192.0.2.60"),
        ("host=\"\\\", for=1.2.3.4, \";for=192.0.2.60", "192.0.2.60"),
        ("for=192.0.2.60, for=unknown", PROXY),
        ("for=192.0.2.60, for=_hidden", PROXY),
        ("proto=https", PROXY),
        // What the client sent, and what the proxy wrote behind it.
        ("for=6.6.6.6;x=\", for=192.0.2.60", PROXY),
        ("for=6.6.6.6;x=\", for=\"[2001:db8::17]\"", PROXY),
        ("for=6.6.6.6;x=\"\\\", for=192.0.2.60", PROXY),
    ] {
        assert_eq!(address(&[("forwarded", list)]), expected, "{list}");
    }
}

#[test]
fn two_fields_that_differ_are_refused_and_two_that_agree_are_not() {
    let both =
        |forwarded, listed| behind(PROXY, &[("forwarded", forwarded), ("x-forwarded-for", listed)]);
    assert!(both("for=1.2.3.4", "192.0.2.7").is_err());
    assert_eq!(both("for=192.0.2.7", "192.0.2.7").unwrap().address, peer("192.0.2.7").address);
}
