//! Floods, most of them by HTTP/2: the connection ends, others are served, and memory stays bounded.

use std::io::{Read, Write};

use cvm_e2e::{Client, Environment, wait_for};

use super::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, HEADERS, Http2, PING,
    REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, fields, frame,
};
use super::{SOON, assert_others_are_served, memory_kib, rest};

/// What `docs/LIMITS.md` says that one address can take, in KiB.
const OF_ONE_ADDRESS_KIB: u64 = 124 * 1_024;

/// That `attack` leaves others served, and memory bounded.
fn assert_bounded(environment: &Environment, attack: impl FnOnce(&Client)) {
    let before = memory_kib(environment, "VmRSS");
    attack(&environment.device_client().unwrap());
    assert_others_are_served(environment);
    let peak = memory_kib(environment, "VmHWM");
    assert!(peak < before + OF_ONE_ADDRESS_KIB, "{before} KiB before, {peak} KiB at the peak");
}

fn is_health(end: &End) -> bool {
    matches!(end, End::Answered(body) if !body.contains("/problems/"))
}

#[test]
fn a_connection_has_as_many_streams_as_it_may_and_the_next_is_refused() {
    let environment = Environment::start(&[("limits.streams", "2")]).unwrap();
    let mut http2 = Http2::connect(&environment.device_client().unwrap());
    for stream in [1, 3] {
        http2.begin_post(stream, "/v1/certificates");
    }
    http2.get(5, "/healthz");
    assert_eq!(http2.end_of(5), End::Reset(REFUSED_STREAM));
    assert_others_are_served(&environment);
    for stream in [1, 3] {
        http2.finish_post(stream);
        let end = http2.end_of(stream);
        assert!(
            matches!(&end, End::Answered(body) if body.contains("/problems/invalid-request")),
            "{end:?}"
        );
    }
    http2.get(7, "/healthz");
    let end = http2.end_of(7);
    assert!(is_health(&end), "{end:?}");
}

#[test]
fn streams_of_one_connection_share_the_places_of_their_address() {
    let settings =
        [("limits.requests", "8"), ("limits.requests_per_address", "2"), ("limits.streams", "8")];
    let environment = Environment::start(&settings).unwrap();
    let mut http2 = Http2::connect(&environment.device_client().unwrap());
    for stream in [1, 3] {
        http2.begin_post(stream, "/v1/certificates");
    }
    http2.get(5, "/v1/trust-bundle");
    let end = http2.end_of(5);
    assert!(matches!(&end, End::Answered(body) if body.contains("/problems/slow-down")), "{end:?}");
    assert_others_are_served(&environment);
    http2.finish_post(1);
    assert!(matches!(http2.end_of(1), End::Answered(_)));
    wait_for("a place", SOON, || {
        let mut other = Http2::connect(&environment.device_client()?);
        other.get(1, "/v1/trust-bundle");
        let end = other.end_of(1);
        Ok(matches!(end, End::Answered(body) if body.contains("BEGIN CERTIFICATE")).then_some(()))
    })
    .unwrap();
}

/// `count` requests that are reset as soon as they were sent (CVE-2023-44487).
fn reset_at_once(count: u32) -> Vec<u8> {
    let block = fields("GET", "/healthz");
    let cancel = 8_u32.to_be_bytes();
    let pair = |stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
    };
    (0..count).flat_map(|number| pair(2 * number + 1)).collect()
}

#[test]
fn as_many_resets_as_may_be_are_borne_and_a_flood_of_them_ends_the_connection() {
    let environment = Environment::start(&[("limits.reset_streams", "5")]).unwrap();
    assert_bounded(&environment, |client| {
        let mut http2 = Http2::connect(client);
        http2.send(&reset_at_once(5)).unwrap();
        http2.get(11, "/healthz");
        let end = http2.end_of(11);
        assert!(is_health(&end), "{end:?}");

        let mut http2 = Http2::connect(client);
        // It may be cut off before it has sent all.
        let _broken_pipe = http2.send(&reset_at_once(5_000));
        let end = http2.end();
        assert!([End::GoneAway(ENHANCE_YOUR_CALM), End::Cut].contains(&end), "{end:?}");
    });
}

#[test]
fn a_header_without_end_ends_the_connection() {
    let environment = Environment::start(&[("limits.header_bytes", "4096")]).unwrap();
    assert_bounded(&environment, |client| {
        let mut http2 = Http2::connect(client);
        let mut flood = frame(HEADERS, END_STREAM, 1, &fields("GET", "/healthz"));
        for _ in 0..20_000 {
            flood.extend(frame(CONTINUATION, 0, 1, &field("x", "y")));
        }
        let _broken_pipe = http2.send(&flood);
        let end = http2.end();
        assert!([End::GoneAway(ENHANCE_YOUR_CALM), End::Cut].contains(&end), "{end:?}");
    });
}

#[test]
fn a_header_that_is_small_until_it_is_unpacked_is_not_kept() {
    let environment = Environment::start(&[]).unwrap();
    // A field of 3,000 bytes that goes into the table, and then is named 10,000 times: 30 MB.
    let large = [vec![0x40], field("x", &"y".repeat(3_000)).split_off(1)].concat();
    let block = [fields("GET", "/healthz"), large, vec![0xBE; 10_000]].concat();
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    assert_bounded(&environment, |client| {
        let mut all: Vec<_> = (0..8).map(|_| Http2::connect(client)).collect();
        for http2 in &mut all {
            let _broken_pipe = http2.send(&request);
        }
        for mut http2 in all {
            let end = http2.end();
            assert!([End::GoneAway(ENHANCE_YOUR_CALM), End::Cut].contains(&end), "{end:?}");
        }
    });
}

#[test]
fn empty_and_tiny_data_without_end_ends_the_connection() {
    let environment = Environment::start(&[]).unwrap();
    assert_bounded(&environment, |client| {
        let mut http2 = Http2::connect(client);
        http2.begin_post(1, "/v1/certificates");
        let _broken_pipe = http2.send(&frame(DATA, 0, 1, &[]).repeat(50_000));
        let end = http2.end();
        assert!([End::GoneAway(ENHANCE_YOUR_CALM), End::Cut].contains(&end), "{end:?}");
    });
}

#[test]
fn frames_that_ask_nothing_keep_no_connection_open_and_pile_up_nowhere() {
    let settings = [("limits.header_seconds", "2"), ("limits.idle_seconds", "2")];
    let environment = Environment::start(&settings).unwrap();
    let floods = [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        // A type that nobody knows.
        frame(0xEE, 0, 0, &[0; 1_000]),
    ];
    assert_bounded(&environment, |client| {
        std::thread::scope(|scope| {
            for flood in &floods {
                // Answers are not read: they have to pile up nowhere either.
                scope.spawn(move || {
                    let mut http2 = Http2::connect(client);
                    let many = flood.repeat(16_384 / flood.len());
                    let cut = wait_for("the end", SOON, || Ok(http2.send(&many).err())).unwrap();
                    let late = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                    assert!(!late.contains(&cut.kind()), "{cut}");
                });
            }
        });
    });
}

#[test]
fn requests_whose_answers_nobody_takes_pile_up_nowhere() {
    let settings = [("limits.request_seconds", "1"), ("limits.streams", "8")];
    let environment = Environment::start(&settings).unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no answer's body may be sent.
    let no_window = [&4_u16.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    assert_bounded(&environment, |client| {
        let mut all: Vec<_> = (0..24)
            .map(|_| {
                let mut http2 = Http2::with_settings(client, &no_window);
                (0..8).for_each(|number| http2.get(2 * number + 1, "/v1/trust-bundle"));
                http2
            })
            .collect();
        assert_others_are_served(&environment);
        for http2 in &mut all {
            let end = http2.end();
            assert!(matches!(end, End::Cut | End::GoneAway(_)), "{end:?}");
        }
    });
}

#[test]
fn requests_one_behind_the_other_are_answered_in_order_and_pile_up_nowhere() {
    let environment = Environment::start(&[]).unwrap();
    assert_bounded(&environment, |client| {
        let mut stream = client.connect().unwrap();
        let fifty = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(50);
        let mut said = String::new();
        let mut buffer = [0; 16_384];
        // Fifty are sent, and then their answers read: neither side waits for the other to read.
        for round in 1..=40 {
            stream.write_all(&fifty).unwrap();
            while said.matches("HTTP/1.1 200").count() < round * 50 {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "{said}");
                said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
        let last = b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(last).unwrap();
        said.push_str(&rest(&mut stream));
        assert!(said.rfind("HTTP/1.1 200") < said.find("HTTP/1.1 404"), "in their order");
    });
}

#[test]
fn the_largest_requests_from_every_connection_of_an_address_take_bounded_memory() {
    let environment = Environment::start(&[("limits.request_seconds", "600")]).unwrap();
    let padding = field("x", &"y".repeat(12_000));
    let block = [fields("POST", "/v1/certificates"), padding].concat();
    let mut request = frame(HEADERS, END_HEADERS, 1, &block);
    request.extend(frame(DATA, 0, 1, &[b' '; 16_000]).repeat(4));
    assert_bounded(&environment, |client| {
        // One less than there may be: somebody has to see that the others are served.
        let held: Vec<_> = (0..255)
            .map(|_| {
                let mut http2 = Http2::connect(client);
                http2.send(&request).unwrap();
                http2
            })
            .collect();
        assert_others_are_served(&environment);
        drop(held);
    });
}
