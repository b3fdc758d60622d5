//! Connections at their limits and past them, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use cvm_api::Limits;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::harness::TOKEN;
use crate::socket::{Client, Protocol, Server, client_config, get, post, tls, tls_over};

const SOON: Duration = Duration::from_secs(8);

async fn raw(address: SocketAddr) -> TlsStream<TcpStream> {
    tls(address, client_config(Protocol::Http1, None)).await.unwrap()
}

/// All that comes until the connection ends, and after how long it ended.
async fn rest(stream: &mut TlsStream<TcpStream>) -> (String, Duration) {
    let began = Instant::now();
    let mut bytes = Vec::new();
    // A connection that is cut off is as good as one that is closed.
    let _cut = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("it stays open");
    (String::from_utf8(bytes).unwrap(), began.elapsed())
}

fn one_second() -> Limits {
    Limits {
        handshake_seconds_max: 1,
        header_seconds_max: 1,
        request_seconds_max: 1,
        idle_seconds_max: 1,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_a_place() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let server = Server::limited(limits).await;
    let address = server.device_addr();
    let first = Client::connect(address, Protocol::Http1, None).await;
    let _second = Client::connect(address, Protocol::Http2, None).await;
    let third = tokio::spawn(Client::connect(address, Protocol::Http1, None));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!third.is_finished());
    drop(first);
    let mut third = timeout(SOON, third).await.unwrap().unwrap();
    assert_eq!(third.send(get("/healthz")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let server = Server::limited(one_second()).await;
    let mut stream = TcpStream::connect(server.device_addr()).await.unwrap();
    let mut byte = [0];
    let read = timeout(SOON, stream.read(&mut byte)).await.expect("it stays open");
    assert!(!matches!(read, Ok(1)));
}

#[tokio::test]
async fn a_header_that_drips_is_cut_off() {
    let server = Server::limited(one_second()).await;
    let mut stream = raw(server.device_addr()).await;
    let dripping = async {
        loop {
            if stream.write_all(b"GET /").await.is_err() || stream.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, dripping).await.expect("it stays open");
}

#[tokio::test]
async fn a_second_header_that_stops_is_cut_off_before_an_idle_connection_is() {
    let limits = Limits { idle_seconds_max: 600, ..one_second() };
    let server = Server::limited(limits).await;
    let mut stream = raw(server.device_addr()).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut bytes = vec![0; 1_024];
    assert!(stream.read(&mut bytes).await.unwrap() > 0);
    stream.write_all(b"GET /heal").await.unwrap();
    let (_, took) = rest(&mut stream).await;
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::limited(one_second()).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = Client::connect(server.device_addr(), protocol, None).await;
        for _ in 0..3 {
            assert_eq!(client.send(get("/healthz")).await.unwrap().status, 200);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        timeout(SOON, client.connection).await.expect("it stays open").unwrap();
    }
}

#[tokio::test]
async fn a_body_that_stops_is_408() {
    let server = Server::limited(one_second()).await;
    let mut stream = raw(server.device_addr()).await;
    let header = "POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
                  Content-Type: application/json\r\n\r\n{\"serial";
    stream.write_all(header.as_bytes()).await.unwrap();
    let (said, took) = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("request-timeout"));
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let server = Server::start().await;
    for (length, status) in [(65_536, "400"), (65_537, "413")] {
        let mut stream = raw(server.device_addr()).await;
        let header = "POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                      Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n";
        stream.write_all(header.as_bytes()).await.unwrap();
        let mut left = length;
        while left > 0 {
            let now = left.min(8_000);
            let chunk = format!("{now:x}\r\n{}\r\n", " ".repeat(now));
            stream.write_all(chunk.as_bytes()).await.unwrap();
            left -= now;
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let (said, _) = rest(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{length}: {said}");
    }
}

#[tokio::test]
async fn an_announced_length_that_is_too_large_is_413_without_the_body() {
    let server = Server::start().await;
    let mut stream = raw(server.device_addr()).await;
    let header = "POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\
                  Expect: 100-continue\r\nContent-Type: application/json\r\n\r\n";
    stream.write_all(header.as_bytes()).await.unwrap();
    let (said, _) = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_in_bytes() {
    let server = Server::start().await;
    let fields = |count: usize, length: usize| {
        let mut request = Request::get("/healthz");
        for number in 0..count {
            request = request.header(format!("x-{number}"), "v".repeat(length));
        }
        request.body(bytes::Bytes::new()).unwrap()
    };
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let status = async |request| {
            let mut client = Client::connect(server.device_addr(), protocol, None).await;
            client.send(request).await.unwrap().status.as_u16()
        };
        // HTTP/1.1 has a Host field of its own.
        let most = if protocol == Protocol::Http1 { 63 } else { 64 };
        assert_eq!(status(fields(most, 1)).await, 200, "{protocol:?}");
        assert_eq!(status(fields(most + 1, 1)).await, 431, "{protocol:?}");
        assert_eq!(status(fields(1, 15_000)).await, 200, "{protocol:?}");
        assert_eq!(status(fields(1, 16 * 1_024)).await, 431, "{protocol:?}");
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_for_ever() {
    let server = Server::limited(one_second()).await;
    let mut stream = raw(server.device_addr()).await;
    let request = b"GET /v1/trust-bundle HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    let asking = async { while stream.write_all(&request).await.is_ok() {} };
    timeout(2 * SOON, asking).await.expect("it stays open");
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = Server::start().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = Client::connect(server.device_addr(), protocol, None).await;
        for _ in 0..100 {
            let body = crate::harness::vend_body("nobody", TOKEN, "x");
            let refused = client.send(post("/v1/certificates", &body)).await.unwrap();
            assert!(matches!(refused.status.as_u16(), 403 | 429));
            assert_eq!(client.send(get("/healthz")).await.unwrap().status, 200);
        }
    }
}

#[tokio::test]
async fn two_lengths_are_no_request() {
    let server = Server::start().await;
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Transfer-Encoding: gzip",
    ] {
        let mut stream = raw(server.device_addr()).await;
        let request = format!(
            "POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n0\r\n\r\n\
             GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _cut = timeout(SOON, stream.read_to_end(&mut bytes)).await;
        let said = String::from_utf8(bytes).unwrap();
        assert!(!said.contains("HTTP/1.1 200"), "{fields}: {said}");
    }
}

#[tokio::test]
async fn answers_that_are_taken_late_but_in_time_are_whole() {
    // Idleness does not count while there is something to take.
    let limits = Limits { idle_seconds_max: 1, ..Limits::default() };
    let server = Server::limited(limits).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let tcp = socket.connect(server.device_addr()).await.unwrap();
    let mut stream = tls_over(tcp, client_config(Protocol::Http1, None)).await.unwrap();
    // More than the kernel holds: the last of them wait until somebody reads.
    let requests = b"GET /v1/trust-bundle HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(8_000);
    let last = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let asking = async { writing.write_all(&[&requests[..], last].concat()).await.unwrap() };
    let taking = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut bytes = Vec::new();
        let _cut = reading.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    };
    let both = async { tokio::join!(asking, taking).1 };
    let said = timeout(Duration::from_secs(120), both).await.expect("it stays open");
    assert_eq!(said.matches("HTTP/1.1 200").count(), 8_000);
    assert!(said.contains("HTTP/1.1 404"), "it was not cut off");
}
