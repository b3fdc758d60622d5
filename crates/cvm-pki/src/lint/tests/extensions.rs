//! The rules for extensions, each broken alone.

use rcgen::{
    BasicConstraints, CrlDistributionPoint, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose,
};

use super::*;

#[test]
fn extensions_once() {
    let bench = Bench::new();
    let twice = bench.extensions(|list| list.push(list[0].clone()));
    assert_eq!(twice, ["extensions-once"]);
}

#[test]
fn extensions_known() {
    let bench = Bench::new();
    for arcs in [&[1, 2, 3][..], &[2, 5, 29, 54]] {
        let broken = bench.leaf(|params| {
            let extension = CustomExtension::from_oid_content(arcs, vec![2, 1, 0]);
            params.custom_extensions.push(extension);
        });
        assert_eq!(broken, ["extensions-known"]);
    }
}

#[test]
fn critical_default() {
    let bench = Bench::new();
    let broken = bench.extensions(|list| {
        let at = index_of(list, 35);
        list[at] = with_critical(&list[at], FALSE);
    });
    assert_eq!(broken, ["critical-default"]);
}

/// An extension is left out, and made critical.
fn absent_and_critical(bench: &Bench, last: u8) -> [Vec<&'static str>; 2] {
    let absent = bench.extensions(|list| drop(list.remove(index_of(list, last))));
    let critical = bench.extensions(|list| {
        let at = index_of(list, last);
        list[at] = with_critical(&list[at], TRUE);
    });
    [absent, critical]
}

/// The extension with another value.
fn with_value(raw: &[u8], value: &[u8]) -> Vec<u8> {
    let mut fields = elements(Reader::new(raw).any().unwrap().content);
    fields.pop();
    fields.push(der::element(der::OCTET_STRING, &[value]));
    sequence(&fields)
}

fn changed(bench: &Bench, last: u8, value: &[u8]) -> Vec<&'static str> {
    bench.extensions(|list| {
        let at = index_of(list, last);
        list[at] = with_value(&list[at], value);
    })
}

#[test]
fn authority_key_identifier() {
    let bench = Bench::new();
    for broken in absent_and_critical(&bench, 35) {
        assert_eq!(broken, ["authority-key-identifier"]);
    }
    let id = |byte: u8| der::element(0x80, &[&[byte; 20]]);
    assert_eq!(changed(&bench, 35, &sequence(&[id(9)])), [""; 0]);
    assert_eq!(changed(&bench, 35, &sequence(&[id(8)])), ["authority-key-identifier"]);
    let with_serial = sequence(&[id(9), der::element(0x82, &[&[1]])]);
    let broken = changed(&bench, 35, &with_serial);
    assert!(broken.contains(&"authority-key-identifier"), "{broken:?}");
}

#[test]
fn subject_key_identifier() {
    let bench = Bench::new();
    for broken in absent_and_critical(&bench, 14) {
        assert_eq!(broken, ["subject-key-identifier"]);
    }
    let other = der::element(der::OCTET_STRING, &[&[9; 20]]);
    assert_eq!(changed(&bench, 14, &other), ["subject-key-identifier"]);
}

#[test]
fn key_usage() {
    let bench = Bench::new();
    let with =
        |usages: &[KeyUsagePurpose]| bench.leaf(|params| params.key_usages = usages.to_vec());
    assert_eq!(with(&[]), ["key-usage"]);
    assert_eq!(with(&[KeyUsagePurpose::KeyCertSign]), ["key-usage"]);
    let both = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    assert_eq!(with(&both), ["key-usage"]);
    let plain = bench.extensions(|list| {
        let at = index_of(list, 15);
        let fields = elements(Reader::new(&list[at]).any().unwrap().content);
        list[at] = sequence(&[fields[0].clone(), fields[2].clone()]);
    });
    assert_eq!(plain, ["key-usage"]);
    let ca = bench.other(Profile::DevicesCa, ca_params(), |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    assert_eq!(ca, ["key-usage"]);
}

#[test]
fn subject_alternative_name() {
    let bench = Bench::new();
    for broken in absent_and_critical(&bench, 17) {
        assert_eq!(broken, ["subject-alternative-name"]);
    }
    let empty = bench.leaf(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    assert_eq!(empty, ["subject-alternative-name"], "not critical with an empty subject");
    let dns = sequence(&[der::element(0x82, &[b"a.example"])]);
    assert_eq!(changed(&bench, 17, &dns), ["subject-alternative-name"]);
    let identifier = |inner: &[&[u8]]| {
        let name = der::element(der::OBJECT_IDENTIFIER, &[oid::PERMANENT_IDENTIFIER]);
        let value = der::element(0xA0, &[&der::element(der::SEQUENCE, inner)]);
        sequence(&[der::element(0xA0, &[&name, &value])])
    };
    let text = der::element(der::UTF8_STRING, &[b"SN-1"]);
    let assigner = der::element(der::OBJECT_IDENTIFIER, &[oid::ED25519]);
    assert_eq!(changed(&bench, 17, &identifier(&[&text])), [""; 0]);
    for inner in [&[][..], &[&[der::UTF8_STRING, 0][..]], &[&text[..], &assigner]] {
        assert_eq!(changed(&bench, 17, &identifier(inner)), ["subject-alternative-name"]);
    }
    let names = |names: Vec<rcgen::SanType>| {
        bench.other(Profile::Server, server_params(), |params| {
            params.custom_extensions.clear();
            params.subject_alt_names = names;
        })
    };
    let dns = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
    assert_eq!(names(vec![dns("a.example")]), [""; 0]);
    assert_eq!(names(vec![dns("a_b")]), ["subject-alternative-name"]);
    let mail = rcgen::SanType::Rfc822Name("a@b".try_into().unwrap());
    assert_eq!(names(vec![dns("a.example"), mail]), ["subject-alternative-name"]);
    let ca = bench.other(Profile::DevicesCa, ca_params(), |params| {
        params.subject_alt_names = vec![dns("a.example")];
    });
    assert_eq!(ca, ["subject-alternative-name"]);
}

#[test]
fn basic_constraints() {
    let bench = Bench::new();
    let absent = bench.extensions(|list| drop(list.remove(index_of(list, 19))));
    assert_eq!(absent, ["basic-constraints"]);
    let ca = bench.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(ca, ["basic-constraints"]);
    for constraints in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(1)] {
        let broken = bench.other(Profile::DevicesCa, ca_params(), |params| {
            params.is_ca = IsCa::Ca(constraints);
        });
        assert_eq!(broken, ["basic-constraints"]);
    }
}

#[test]
fn extended_key_usage() {
    let bench = Bench::new();
    for broken in absent_and_critical(&bench, 37) {
        assert_eq!(broken, ["extended-key-usage"]);
    }
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, Other, ServerAuth};
    for purposes in [
        vec![ServerAuth],
        vec![ClientAuth, ServerAuth],
        vec![ClientAuth, Any],
        vec![ClientAuth, Other(vec![1, 2, 3])],
    ] {
        let broken = bench.leaf(|params| params.extended_key_usages = purposes);
        assert_eq!(broken, ["extended-key-usage"]);
    }
    let servers = bench.other(Profile::ServersCa, ca_params(), |_| {});
    assert_eq!(servers, ["extended-key-usage"]);
}

#[test]
fn crl_distribution_points() {
    let bench = Bench::new();
    for broken in absent_and_critical(&bench, 31) {
        assert_eq!(broken, ["crl-distribution-points"]);
    }
    let with = |points: &[&[&str]]| {
        bench.leaf(|params| {
            let point = |uris: &&[&str]| CrlDistributionPoint {
                uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            };
            params.crl_distribution_points = points.iter().map(point).collect();
        })
    };
    let good = format!("{BASE}5a.crl");
    assert_eq!(with(&[&[&good]]), [""; 0]);
    let (other_shard, other_ca) = (format!("{BASE}5b.crl"), good.replacen("09", "08", 1));
    let ldap = good.replacen("http", "ldap", 1);
    for points in [
        &[&[&*other_shard][..]][..],
        &[&[&other_ca]],
        &[&[&ldap]],
        &[&[&good, &good]],
        &[&[&good], &[&good]],
    ] {
        assert_eq!(with(points), ["crl-distribution-points"], "{points:?}");
    }
    let server = bench.other(Profile::Server, server_params(), |params| {
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![good.clone()] }];
    });
    assert_eq!(server, ["crl-distribution-points"]);
}
