//! Results while lines still come, over real connections; peers that stall, read nothing or go.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cvm_api::Limits;
use cvm_core::operator::{Actor, Role};
use cvm_core::ports::{Operators as _, Store as _};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{brief, results, row, rows};
use crate::harness::{ADMIN_TOKEN, eventually};
use crate::socket::{Protocol, Server, client_config, tls};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const LONG: Duration = Duration::from_secs(60);

/// A body that is made while it is sent.
struct Lines(mpsc::Receiver<String>);

impl Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.0.poll_recv(context);
        next.map(|next| next.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}

/// An import that is going on.
struct Import {
    lines: Option<mpsc::Sender<String>>,
    answer: Response<Incoming>,
    begun: Vec<u8>,
    connection: tokio::task::JoinHandle<()>,
}

impl Import {
    /// Begins with the first of `lines`, because no answer begins before that.
    async fn begin(server: &Server, protocol: Protocol, first: &str) -> Self {
        let begun = Self::ask(server, protocol, first).await;
        assert_eq!(begun.answer.status(), 200);
        begun
    }

    async fn ask(server: &Server, protocol: Protocol, first: &str) -> Self {
        let (lines, body) = mpsc::channel(1);
        lines.send(first.to_owned()).await.unwrap();
        let request = Request::post("https://localhost/v1/devices:import")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .header("content-type", "application/x-ndjson")
            .body(Lines(body))
            .unwrap();
        let address = server.operator.local_addr();
        let io = TokioIo::new(tls(address, client_config(protocol, None)).await.unwrap());
        let (connection, answer) = match protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = http1::handshake(io).await.unwrap();
                let connection = tokio::spawn(async move { drop(connection.await) });
                let mut request = request;
                *request.uri_mut() = super::PATH.parse().unwrap();
                (connection, sender.send_request(request).await)
            }
            Protocol::Http2 => {
                let (mut sender, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.unwrap();
                let connection = tokio::spawn(async move { drop(connection.await) });
                (connection, sender.send_request(request).await)
            }
        };
        let answer = answer.unwrap();
        Self { lines: Some(lines), answer, begun: Vec::new(), connection }
    }

    async fn send(&self, lines: &str) {
        let lines = self.lines.as_ref().unwrap().send(lines.to_owned());
        timeout(LONG, lines).await.expect("the server reads on").unwrap();
    }

    /// The next `count` results.
    async fn read(&mut self, count: usize) -> Vec<Value> {
        loop {
            let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let ready = results(&self.begun[..whole]);
            if ready.len() >= count {
                assert_eq!(ready.len(), count);
                self.begun.drain(..whole);
                return ready;
            }
            let frame = timeout(LONG, self.answer.frame()).await.expect("a result comes");
            let frame = frame.expect("results go on").expect("the answer is whole");
            self.begun.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }

    /// The rest of the results, and whether the answer was whole.
    async fn finish(mut self) -> (Vec<Value>, bool) {
        loop {
            match timeout(LONG, self.answer.frame()).await.expect("the answer ends") {
                Some(Ok(frame)) => {
                    self.begun.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                Some(Err(_)) => return (results(&self.begun), false),
                None => return (results(&self.begun), true),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_while_lines_still_go() {
    let server = Server::start().await;
    for (protocol, prefix) in BOTH.into_iter().zip(["one", "two"]) {
        let mut import = Import::begin(&server, protocol, &row(&format!("{prefix}-0"))).await;
        assert_eq!(brief(&import.read(1).await[0]), (1, 201, ""));
        for number in 1..20 {
            // In two pieces, of which the first is no line yet.
            let line = row(&format!("{prefix}-{number}"));
            let (head, tail) = line.split_at(9);
            import.send(head).await;
            import.send(tail).await;
            assert_eq!(brief(&import.read(1).await[0]), (number + 1, 201, ""));
        }
        import.send(row(&format!("{prefix}-last")).trim_end()).await;
        import.lines = None;
        let (rest, is_whole) = import.finish().await;
        assert_eq!(rest.iter().map(brief).collect::<Vec<_>>(), [(21, 201, "")]);
        assert!(is_whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_as_many_imports_at_once_as_they_may_and_the_next_waits() {
    const AT_ONCE: usize = 8;
    let server = Server::start().await;
    let mut imports = Vec::new();
    for number in 0..AT_ONCE {
        let mut import =
            Import::begin(&server, Protocol::Http1, &row(&format!("SN-{number}"))).await;
        assert_eq!(brief(&import.read(1).await[0]), (1, 201, ""));
        imports.push(import);
    }
    let refused = Import::ask(&server, Protocol::Http1, &row("SN-next")).await;
    assert_eq!(refused.answer.status(), 429);
    assert!(refused.answer.headers().contains_key("retry-after"));
    let mut ended = imports.pop().unwrap();
    ended.lines = None;
    assert!(ended.finish().await.1);
    eventually(async || {
        let again = Import::ask(&server, Protocol::Http1, &row("SN-next")).await;
        again.answer.status() == 200
    })
    .await;
    for mut import in imports {
        import.send(&row("SN-more")).await;
        assert_eq!(import.read(1).await.len(), 1, "who has a place goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_no_line_in_time_is_cut_off_and_what_was_answered_stays() {
    let server = Server::limited(Limits { request_seconds_max: 3, ..Limits::default() }).await;
    for (protocol, prefix) in BOTH.into_iter().zip(["one", "two"]) {
        let mut import = Import::begin(&server, protocol, &row(prefix)).await;
        assert_eq!(import.read(1).await.len(), 1);
        import.send("{\"serialNumber\": \"half a li").await;
        let (rest, is_whole) = import.finish().await;
        assert_eq!((rest.len(), is_whole), (0, false), "{protocol:?}");
        let found = server.store.device_find(&prefix.parse().unwrap()).await.unwrap();
        assert!(found.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_may_last_longer_than_a_request() {
    const SECONDS: u64 = 2;
    let limits = Limits { request_seconds_max: SECONDS, ..Limits::default() };
    let server = Server::limited(limits).await;
    let import = async |protocol| {
        let mut import = Import::begin(&server, protocol, &row("SN")).await;
        let mut number = 1;
        let began = std::time::Instant::now();
        // Four times as long an answer may take in all.
        while began.elapsed() <= Duration::from_secs(4 * SECONDS + 1) {
            assert_eq!(import.read(1).await.len(), 1);
            tokio::time::sleep(Duration::from_millis(200)).await;
            number += 1;
            import.send(&row("SN")).await;
        }
        import.lines = None;
        let (rest, is_whole) = import.finish().await;
        assert!(is_whole, "{protocol:?}");
        assert_eq!(rest.iter().map(brief).collect::<Vec<_>>(), [(number, 200, "")]);
    };
    tokio::join!(import(Protocol::Http1), import(Protocol::Http2));
}

/// How many of the devices there are.
async fn registered(server: &Server, count: usize) -> usize {
    let serials = (0..count).map(|number| format!("SN-{number}").parse().unwrap()).collect();
    let found = server.store.devices_find(serials).await;
    found.into_iter().filter(|found| matches!(found, Ok(Some(_)))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_results_is_not_read_and_then_goes_on() {
    // Bad lines are short, and their results long: 20 MB, more than sockets hold.
    const GOOD: usize = 100;
    let lines: String =
        (0..GOOD).map(|number| row(&format!("SN-{number}")) + &"x\n".repeat(999)).collect();
    for protocol in BOTH {
        let server = Server::start().await;
        let mut import = Import::begin(&server, protocol, "\n").await;
        import.send(&lines).await;
        import.lines = None;
        let mut before = 0;
        eventually(async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = registered(&server, GOOD).await;
            now > 0 && std::mem::replace(&mut before, now) == now
        })
        .await;
        assert!(before < GOOD, "{protocol:?}: all was read");
        let (results, is_whole) = import.finish().await;
        assert!(is_whole, "{protocol:?}");
        assert_eq!(results.len(), 1_000 * GOOD);
        assert!((2..).zip(&results).all(|(line, result)| brief(result).0 == line));
        assert_eq!(registered(&server, GOOD).await, GOOD);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_results_is_cut_off() {
    let server = Server::limited(Limits { request_seconds_max: 1, ..Limits::default() }).await;
    let import = Import::begin(&server, Protocol::Http1, "\n").await;
    let lines = import.lines.clone().unwrap();
    let sending = tokio::spawn(async move { while lines.send(rows(1_000)).await.is_ok() {} });
    timeout(LONG, sending).await.expect("the connection is cut off").unwrap();
    timeout(LONG, import.connection).await.expect("the connection is cut off").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_operators_import_ends() {
    let server = Server::start().await;
    for (protocol, prefix) in BOTH.into_iter().zip(["one", "two"]) {
        let mut import = Import::begin(&server, protocol, &row(prefix)).await;
        assert_eq!(import.read(1).await.len(), 1);
        if protocol == Protocol::Http2 {
            let mut others = server.store.admin_token_show("op-1").await.unwrap().unwrap();
            others.id = String::from("op-2");
            others.name = "another".parse().unwrap();
            others.mac.0[0] ^= 1;
            others.role = Role::Owner;
            let event = cvm_core::provisioning::admin_token_created_event(&others, Actor::Server);
            server.store.admin_token_add(others, event.clone()).await.unwrap();
            server.store.admin_token_revoke("op-1", crate::harness::NOW, event).await.unwrap();
            import.send(&row("too late")).await;
            let (rest, is_whole) = import.finish().await;
            assert_eq!((rest.len(), is_whole), (0, false));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_imports_and_answers_what_it_took() {
    for protocol in BOTH {
        let server = Server::start().await;
        let mut import = Import::begin(&server, protocol, &row("SN-0")).await;
        assert_eq!(import.read(1).await.len(), 1);
        let store = Arc::clone(&server.store);
        let draining = tokio::spawn(server.operator.drain());
        let (_, is_whole) = import.finish().await;
        assert!(!is_whole, "{protocol:?}");
        timeout(LONG, draining).await.expect("nothing holds the server up").unwrap();
        assert!(store.device_find(&"SN-0".parse().unwrap()).await.unwrap().is_some());
    }
}
