//! CVM as a function: Lambda's own APIs by cargo-lambda, and the `bootstrap` that polls them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::VARIABLES;
use super::process::Process;
use crate::client::{Response, parse, request_bytes};
use crate::programs::binary;

const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Lambda, with functions of this workspace; they are killed when it is dropped.
#[derive(Debug)]
pub struct Lambda {
    apis: Process,
    functions: Vec<Child>,
}

impl Lambda {
    /// Lambda's APIs, and no function yet.
    ///
    /// # Errors
    /// Where they are not installed, or do not start.
    pub fn start() -> Result<Self> {
        Ok(Self { apis: Process::start("lambda_apis.py", &[])?, functions: Vec::new() })
    }

    /// One more execution environment of the function, unpacked in `directory`, with `settings`
    /// (`section.key`, value in TOML's syntax). Returns its process id; whoever is free takes the
    /// next call.
    ///
    /// # Errors
    /// Where there is no `bootstrap` beside these tests.
    pub fn function(&mut self, directory: &Path, settings: &[(&str, &str)]) -> Result<u32> {
        let mut command = Command::new(binary("bootstrap")?);
        command.env_clear().envs(VARIABLES);
        command.env("AWS_LAMBDA_RUNTIME_API", format!("{}/.rt", self.apis.endpoint()));
        command.env("AWS_LAMBDA_FUNCTION_NAME", "_");
        command.env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
        command.env("LAMBDA_TASK_ROOT", directory);
        for (key, value) in settings {
            command.env(format!("CVM_{}", key.replace('.', "__").to_uppercase()), value);
        }
        let function = command.stdin(Stdio::null()).spawn().context("starting bootstrap")?;
        let id = function.id();
        self.functions.push(function);
        Ok(id)
    }

    /// Kills every execution environment, whatever it is about.
    ///
    /// # Errors
    /// Where one cannot be killed.
    pub fn kill_functions(&mut self) -> Result<()> {
        for mut function in self.functions.drain(..) {
            function.kill()?;
            function.wait()?;
        }
        Ok(())
    }

    /// Calls the function with `event`, and returns what it answers.
    ///
    /// # Errors
    /// Where it fails, or nobody takes the call.
    pub fn invoke(&self, event: &Value) -> Result<Value> {
        let path = "/2015-03-31/functions/_/invocations";
        let response = self.exchange(&request_bytes("POST", path, CLOSE, Some(event)))?;
        ensure!(response.status == 200, "the function failed: {response:?}");
        response.json()
    }

    /// Asks the function over its URL, as a device would.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[&str],
        body: Option<&Value>,
    ) -> Result<Response> {
        let fields: Vec<&str> = CLOSE.iter().chain(fields).copied().collect();
        self.exchange(&request_bytes(method, &format!("/lambda-url/_{path}"), &fields, body))
    }

    fn exchange(&self, request: &[u8]) -> Result<Response> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.apis.port()))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer)
    }
}

const CLOSE: &[&str] = &["Connection: close"];

impl Drop for Lambda {
    fn drop(&mut self) {
        let _killed = self.kill_functions();
    }
}
