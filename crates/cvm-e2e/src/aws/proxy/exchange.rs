//! One connection: a request, what is to become of it, and the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use super::http::{Request, closing};
use super::operation::{operation, service};
use super::plan::{Fault, Plan};

/// How long an upstream may take on two cores full of other tests.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A stream that is read by lines and written to.
struct Duplex(BufReader<TcpStream>);

impl Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Duplex {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.get_mut().flush()
    }
}

pub(super) fn serve(stream: TcpStream, upstream: &str, plan: &Plan) -> Result<()> {
    let mut caller = Duplex(BufReader::new(stream));
    let Some(request) = Request::read(&mut caller)? else { return Ok(()) };
    let answer = match plan.note(&operation(&request)) {
        None => Some(send(&request, upstream)?),
        Some(fault) => strike(&request, upstream, plan, fault)?,
    };
    if let Some(answer) = answer {
        caller.write_all(&closing(&answer)?)?;
        caller.flush()?;
    }
    // Both directions, or a caller that pools connections takes this one for idle.
    Ok(caller.0.get_ref().shutdown(Shutdown::Both)?)
}

/// The answer that a caller gets; none where the connection closes without one.
fn strike(request: &Request, upstream: &str, plan: &Plan, fault: Fault) -> Result<Option<Vec<u8>>> {
    let answer = match fault {
        Fault::NotSent => None,
        Fault::AnswerLost => {
            send(request, upstream)?;
            None
        }
        Fault::NeverAnswered => {
            plan.wait_healed();
            None
        }
        Fault::AnswerNeverComes => {
            send(request, upstream)?;
            plan.wait_healed();
            None
        }
        Fault::Throttled => Some(throttled(request)),
        Fault::ServerError => Some(out_of_order(request)),
        Fault::ErrorAfterEffect => {
            send(request, upstream)?;
            Some(out_of_order(request))
        }
        Fault::Twice => {
            send(request, upstream)?;
            Some(send(request, upstream)?)
        }
        Fault::Frozen => {
            plan.freeze();
            Some(send(request, upstream)?)
        }
    };
    Ok(answer)
}

fn send(request: &Request, upstream: &str) -> Result<Vec<u8>> {
    let mut stream =
        TcpStream::connect(upstream).with_context(|| format!("connecting to {upstream}"))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_nodelay(true)?;
    stream.write_all(&request.to_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn throttled(request: &Request) -> Vec<u8> {
    match service(request) {
        "s3" => refusal(503, "SlowDown", "s3"),
        // The model of IoT says 400, and so do those of DynamoDB and KMS.
        service => refusal(400, "ThrottlingException", service),
    }
}

fn out_of_order(request: &Request) -> Vec<u8> {
    match service(request) {
        "s3" => refusal(500, "InternalError", "s3"),
        "iot" => refusal(500, "InternalFailureException", "iot"),
        service => refusal(500, "InternalServerError", service),
    }
}

fn refusal(status: u16, code: &str, service: &str) -> Vec<u8> {
    let (kind, body) = match service {
        "s3" => ("application/xml", format!("<Error><Code>{code}</Code></Error>")),
        "dynamodb" => {
            let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
            ("application/x-amz-json-1.0", format!("{{\"__type\":\"{code}\",\"message\":\"-\"}}"))
        }
        _ => ("application/json", format!("{{\"__type\":\"{code}\",\"message\":\"-\"}}")),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nx-amzn-ErrorType: {code}\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}
