//! Every limit of `docs/LIMITS.md` at its edge and past it, with the real binary over real sockets:
//! what fits is served, what does not is refused or cut off, and others are served meanwhile.

mod connections;
mod documented;
mod floods;
mod http2;
mod rates;
mod requests;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use cvm_e2e::{Client, Environment, Response, wait_for};
use rustls::{ClientConnection, StreamOwned};

/// Slow machines that do everything at once get there too.
const SOON: Duration = Duration::from_secs(60);

/// Whoever comes from there is no neighbour of the default, 127.0.0.1.
const NEIGHBOUR: &str = "127.0.0.2";

/// A connection as a client has it.
type Connection = StreamOwned<ClientConnection, TcpStream>;

fn neighbour(environment: &Environment) -> Client {
    environment.device_client().unwrap().from_address(NEIGHBOUR.parse().unwrap())
}

fn health(client: &Client) -> u16 {
    client.request("GET", "/healthz", &[], None).unwrap().status
}

/// That devices at other addresses and operators are served, whatever somebody does meanwhile.
fn assert_others_are_served(environment: &Environment) {
    let answer = neighbour(environment).request("GET", "/v1/trust-bundle", &[], None).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(environment.operate("GET", "/v1/devices", None).unwrap().status, 200);
    assert!(!environment.log().contains("panicked"), "{}", environment.log());
}

/// Waits until a request is answered as it should be again.
fn wait_until_served(client: &Client) {
    wait_for("the server to serve again", SOON, || {
        let answer = client.request("GET", "/v1/trust-bundle", &[], None);
        Ok(answer.ok().filter(|answer| answer.status == 200))
    })
    .unwrap();
}

/// All that comes until the connection ends, however it ends.
fn rest(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => {
                let kind = error.kind();
                let is_late = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                assert!(!is_late.contains(&kind), "the connection stays open");
                break;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A connection on which one request was answered, and which stays open.
fn held_open(client: &Client) -> std::io::Result<Connection> {
    let mut stream = client.connect().unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

/// A request whose last byte of body does not come, and which is in work therefore. The body is one
/// that is refused once it is there.
fn held_request(client: &Client) -> Connection {
    let mut stream = client.connect().unwrap();
    let head = "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // Who is told to go on is in work already.
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{").unwrap();
    stream
}

/// The end of [`held_request`]'s request, and its answer.
fn finish(mut held: Connection) -> String {
    held.write_all(b"}").unwrap();
    rest(&mut held)
}

/// What `curl` says of a request: status and body.
fn curl(environment: &Environment, path: &str, arguments: &[&str]) -> (u16, String) {
    let root = environment.data().join("root-ca.pem");
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60", "-w", "\n%{http_code}", "--cacert"])
        .arg(root)
        .args(["--resolve", &format!("localhost:{}:127.0.0.1", port(environment))])
        .args(arguments)
        .arg(format!("{}{path}", environment.device_url()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn port(environment: &Environment) -> String {
    environment.ready("http").rsplit(':').next().unwrap().to_owned()
}

fn assert_refused(answer: &Response, status: u16, slug: &str) {
    assert_eq!((answer.status, answer.slug().as_str()), (status, slug), "{answer:?}");
    assert_eq!(answer.head.contains("retry-after: "), [429, 503].contains(&status), "{answer:?}");
}

/// A figure of the server's memory in KiB, such as `VmRSS` or `VmHWM`.
fn memory_kib(environment: &Environment, name: &str) -> u64 {
    let status = format!("/proc/{}/status", environment.pid().unwrap());
    let text = std::fs::read_to_string(status).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}
