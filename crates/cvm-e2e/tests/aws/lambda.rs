//! CVM as a function: the same routes, statuses and slugs as a server's, over the same table.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cvm_e2e::aws::{DynamoDbLocal, Lambda, Moto, REGION, VARIABLES};
use cvm_e2e::{Environment, Key, Response};
use serde_json::{Value, json};

const PUBLIC_URL: &str = "https://1234567890.execute-api.eu-central-1.amazonaws.com/prod";
const REST: &str = include_str!("../../../cvm-lambda/tests/events/rest.json");
const HTTP: &str = include_str!("../../../cvm-lambda/tests/events/http.json");
const SCHEDULE: &str = include_str!("../../../cvm-lambda/tests/events/schedule.json");

/// A function, and a server over the same table and vault, for operators.
struct Both {
    lambda: Lambda,
    server: Environment,
    settings: Vec<(&'static str, String)>,
}

impl Both {
    fn start(table: &str) -> Result<Self> {
        let mut server = Environment::new(&[])?;
        server.set_binary("cvm-aws");
        for (name, value) in VARIABLES {
            server.set_variable(name, value);
        }
        let endpoint = DynamoDbLocal::shared()?.endpoint();
        let store = format!("\"dynamodb://{table}?region={REGION}&endpoint={endpoint}\"");
        server.set("store.url", &store);
        server.init(&["--unsealed"])?;
        let mut both = Self {
            lambda: Lambda::start()?,
            settings: vec![("store.url", store), ("http.public_url", format!("{PUBLIC_URL:?}"))],
            server,
        };
        both.function(&[])?;
        both.server.serve()?;
        Ok(both)
    }

    /// One more execution environment, with `more` settings.
    fn function(&mut self, more: &[(&str, &str)]) -> Result<u32> {
        let said = self.settings.iter().map(|(key, value)| (*key, value.as_str()));
        let settings: Vec<_> = said.chain(more.iter().copied()).collect();
        self.lambda.function(&self.server.data(), &settings)
    }

    fn vend(&self, serial: &str, token: &str, csr: &str) -> Result<Response> {
        let body = json!({"serialNumber": serial, "token": token, "csr": csr});
        self.lambda.ask("POST", "/v1/certificates", &[], Some(&body))
    }

    /// The attempt called `code`, as the server finds it in the table.
    fn attempt(&self, code: &str) -> Result<Value> {
        self.server.operate("GET", &format!("/v1/attempts?code={code}"), None)?.json()
    }
}

fn slug(answer: &Response) -> (u16, String) {
    (answer.status, answer.slug())
}

#[test]
fn a_device_is_vended_the_same_bytes_by_function_and_server() -> Result<()> {
    let both = Both::start("lambda-vend")?;
    let token = both.server.device_add("SN-1")?;
    let csr = Key::new()?.csr()?;
    let first = both.vend("SN-1", &token, &csr)?;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.json()?["endpoints"]["https"], PUBLIC_URL);
    let again = both.server.vend("SN-1", &token, &csr)?;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(first.text("certificate"), again.text("certificate"));
    assert_eq!(first.text("chain"), again.text("chain"));
    Ok(())
}

#[test]
fn refusals_are_the_same_from_function_and_server_and_their_attempts_are_written() -> Result<()> {
    let both = Both::start("lambda-refusals")?;
    let token = both.server.device_add("SN-1")?;
    let (first, second) = (Key::new()?.csr()?, Key::new()?.csr()?);
    assert_eq!(both.vend("SN-1", &token, &first)?.status, 201);
    let wrong = "a-wrong-token-altogether";
    for (serial, token, csr) in [
        ("SN-1", token.as_str(), second.as_str()),
        ("SN-1", token.as_str(), "no request"),
        ("SN-1", wrong, first.as_str()),
        ("SN-9", wrong, first.as_str()),
    ] {
        let (of_function, of_server) =
            (both.vend(serial, token, csr)?, both.server.vend(serial, token, csr)?);
        assert_eq!(slug(&of_function), slug(&of_server), "{serial} {of_function:?}");
        if serial == "SN-1" {
            // Without waiting: it was written before the answer was handed over.
            let attempt = both.attempt(&of_function.text("attempt"))?;
            assert_eq!(attempt["items"][0]["outcome"], of_function.slug(), "{attempt}");
        }
    }
    for (method, path) in
        [("GET", "/v1/devices"), ("GET", "/v1/nowhere"), ("PUT", "/v1/certificates")]
    {
        let of_function = both.lambda.ask(method, path, &[], None)?;
        let of_server = both.server.device_client()?.request(method, path, &[], None)?;
        assert_eq!(slug(&of_function), slug(&of_server), "{method} {path}");
    }
    Ok(())
}

#[test]
fn a_rest_api_an_http_api_and_a_schedule_call_the_same_function() -> Result<()> {
    let both = Both::start("lambda-events")?;
    let token = both.server.device_add("SN-1")?;
    let mut rest: Value = serde_json::from_str(REST)?;
    let asked = json!({"serialNumber": "SN-1", "token": token, "csr": Key::new()?.csr()?});
    rest["body"] = json!(asked.to_string());
    let answer = both.lambda.invoke(&rest)?;
    assert_eq!(answer["statusCode"], 201, "{answer}");
    let vended: Value = serde_json::from_str(answer["body"].as_str().context("no body")?)?;
    assert_eq!(vended["thingName"], "SN-1");
    assert_eq!(answer["multiValueHeaders"]["content-type"][0], "application/json");
    let mut http: Value = serde_json::from_str(HTTP)?;
    http["rawPath"] = json!("/prod/v1/trust-bundle");
    let answer = both.lambda.invoke(&http)?;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let roots = std::fs::read_to_string(both.server.data().join("root-ca.pem"))?;
    assert_eq!(answer["body"], roots);
    let ticked = both.lambda.invoke(&serde_json::from_str(SCHEDULE)?)?;
    assert_eq!(ticked["failures"], 0, "{ticked}");
    Ok(())
}

#[test]
fn a_crl_comes_whole_though_it_is_binary() -> Result<()> {
    let both = Both::start("lambda-crl")?;
    let token = both.server.device_add("SN-1")?;
    let vended = both.vend("SN-1", &token, &Key::new()?.csr()?)?;
    let pem = both.server.scratch().join("leaf.pem");
    std::fs::write(&pem, vended.text("certificate"))?;
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-ext", "crlDistributionPoints", "-in"])
        .arg(&pem)
        .output()?;
    let shown = String::from_utf8(shown.stdout)?;
    let url = shown.split("URI:").nth(1).and_then(|rest| rest.split_whitespace().next());
    let path = url.and_then(|url| url.strip_prefix(PUBLIC_URL)).context("another CRL URL")?;
    let mut http: Value = serde_json::from_str(HTTP)?;
    http["rawPath"] = json!(format!("/prod{path}"));
    let answer = both.lambda.invoke(&http)?;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(answer["isBase64Encoded"], true);
    let der = both.server.scratch().join("shard.b64");
    std::fs::write(&der, answer["body"].as_str().unwrap_or_default())?;
    let decoded = both.server.scratch().join("shard.crl");
    let mut base64 = Command::new("openssl");
    base64.args(["base64", "-d", "-A", "-in"]).arg(&der).arg("-out").arg(&decoded);
    ensure!(base64.status()?.success(), "not base64");
    let read = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-CAfile"])
        .arg(both.server.data().join("vault/devices-ca.pem"))
        .arg("-in")
        .arg(&decoded)
        .output()?;
    assert!(String::from_utf8_lossy(&read.stderr).contains("verify OK"), "{read:?}");
    Ok(())
}

#[test]
fn a_function_starts_from_a_table_and_a_bucket_and_no_file() -> Result<()> {
    let moto = Moto::shared()?.endpoint();
    bucket_make(&moto, "cvm-lambda-vault")?;
    let mut server = Environment::new(&[])?;
    server.set_binary("cvm-aws");
    for (name, value) in VARIABLES {
        server.set_variable(name, value);
    }
    let dynamodb = DynamoDbLocal::shared()?.endpoint();
    let store = format!("dynamodb://lambda-bucket?region={REGION}&endpoint={dynamodb}");
    let vault = format!("s3://cvm-lambda-vault/home?region={REGION}&endpoint={moto}");
    server.init(&["--unsealed", "--store", &store, "--vault", &vault])?;
    server.serve()?;
    let mut lambda = Lambda::start()?;
    let settings = [
        ("store.url", format!("{store:?}")),
        ("vault.url", format!("{vault:?}")),
        ("http.public_url", format!("{PUBLIC_URL:?}")),
    ];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    lambda.function(std::path::Path::new("/nonexistent"), &settings)?;
    let token = server.device_add("SN-1")?;
    let body = json!({"serialNumber": "SN-1", "token": token, "csr": Key::new()?.csr()?});
    let vended = lambda.ask("POST", "/v1/certificates", &[], Some(&body))?;
    assert_eq!(vended.status, 201, "{vended:?}");
    let again = server.device_client()?.request("POST", "/v1/certificates", &[], Some(&body))?;
    assert_eq!(vended.text("certificate"), again.text("certificate"));
    Ok(())
}

/// Makes a bucket.
fn bucket_make(endpoint: &str, name: &str) -> Result<()> {
    let address = endpoint.strip_prefix("http://").context("no address")?;
    let mut stream = TcpStream::connect(address)?;
    let fields = "Host: localhost\r\nContent-Length: 0\r\nConnection: close";
    write!(stream, "PUT /{name} HTTP/1.1\r\n{fields}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains(" 200 "), "{answer}");
    Ok(())
}

#[test]
fn what_one_execution_environment_began_another_goes_on_with() -> Result<()> {
    let mut both = Both::start("lambda-killed")?;
    let token = both.server.device_add("SN-1")?;
    let csr = Key::new()?.csr()?;
    let first = both.vend("SN-1", &token, &csr)?;
    both.lambda.kill_functions()?;
    both.function(&[])?;
    let again = both.vend("SN-1", &token, &csr)?;
    assert_eq!((first.status, again.status), (201, 200), "{again:?}");
    assert_eq!(first.text("certificate"), again.text("certificate"));
    Ok(())
}

#[test]
fn the_operator_api_is_a_functions_where_it_is_told_so() -> Result<()> {
    let mut both = Both::start("lambda-operator")?;
    both.lambda.kill_functions()?;
    both.function(&[("lambda.routes", "operator")])?;
    let stranger = both.lambda.ask("GET", "/v1/devices", &[], None)?;
    assert_eq!(slug(&stranger), (401, "unauthenticated".to_owned()));
    let token = both.server.admin_token()?;
    let bearer = format!("Authorization: Bearer {token}");
    let listed = both.lambda.ask("GET", "/v1/devices", &[&bearer], None)?;
    assert_eq!(listed.status, 200, "{listed:?}");
    let vend = both.vend("SN-1", "a-wrong-token-altogether", "x")?;
    assert_eq!(slug(&vend), (404, "not-found".to_owned()));
    Ok(())
}
