//! nginx in front of the server: it ends TLS, with a certificate of a root of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cvm_e2e::{Environment, wait_for};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;

const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// A server behind nginx.
pub(super) struct Site {
    pub(super) environment: Environment,
    pub(super) url: String,
    directory: PathBuf,
    nginx: Child,
}

/// A signed request as it passed.
pub(super) struct Passed {
    pub(super) path: String,
    pub(super) request: Value,
}

impl Site {
    /// `settings` are the server's.
    pub(super) fn start(settings: &[(&str, &str)]) -> Self {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(settings) {
                Ok(site) => return site,
                // Somebody took the port between finding it and using it.
                Err(_) if tries < 3 => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn try_start(settings: &[(&str, &str)]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let url = format!("https://localhost:{port}");
        let ours = [("http.public_url", url.as_str()), ("http.trusted_proxies", "[\"127.0.0.1\"]")];
        let environment = Environment::start(&[&ours, settings].concat())?;
        let directory = environment.scratch().join("nginx");
        std::fs::create_dir(&directory)?;
        certify(&directory)?;
        let root = environment.data().join("root-ca.pem");
        let configuration = directory.join("nginx.conf");
        let text = configuration_text(&directory, port, &environment.ready("http"), &root);
        std::fs::write(&configuration, text)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&directory).arg("-c").arg(&configuration).arg("-e").arg("error.log");
        let mut nginx = nginx.stdin(Stdio::null()).spawn().context("nginx")?;
        let log = directory.join("error.log");
        let accepts = wait_for("nginx to accept", STARTED_WITHIN, || {
            if let Some(status) = nginx.try_wait()? {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("nginx ended with {status}: {log}");
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        });
        let site = Self { environment, url, directory, nginx };
        accepts.map(|_| site)
    }

    /// What devices pin.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root.pem")
    }

    /// The signed requests that passed, in order.
    pub(super) fn passed(&self) -> Vec<Passed> {
        let log = std::fs::read_to_string(self.directory.join("access.log")).unwrap();
        let signed = log.lines().filter_map(|line| line.split_once(" application/jose+json "));
        let passed = signed.map(|(path, body)| Passed {
            path: path.to_owned(),
            request: serde_json::from_str(body).unwrap(),
        });
        passed.collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _killed = self.nginx.kill();
        let _ended = self.nginx.wait();
    }
}

/// A root, and a certificate of it for `localhost`.
fn certify(directory: &Path) -> Result<()> {
    let (root_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key)?;
    let mut leaf = CertificateParams::new([String::from("localhost")])?;
    // Not the root's: openssl tells by the names who signed what.
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    let leaf = leaf.signed_by(&key, &Issuer::from_params(&params, &root_key))?;
    std::fs::write(directory.join("root.pem"), root.pem())?;
    std::fs::write(directory.join("leaf.pem"), leaf.pem())?;
    Ok(std::fs::write(directory.join("leaf.key"), key.serialize_pem())?)
}

/// It tells who has asked, and passes on nothing that a client says of that.
fn configuration_text(directory: &Path, port: u16, server: &str, root: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {}/{name};\n", directory.display()));
    format!(
        "daemon off;
master_process off;
pid {dir}/nginx.pid;
events {{ worker_connections 64; }}
http {{
{temporary}    log_format signed escape=none '$uri $content_type $request_body';
    access_log {dir}/access.log signed;
    client_body_buffer_size 128k;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {dir}/leaf.pem;
        ssl_certificate_key {dir}/leaf.key;
        location / {{
            proxy_pass https://{server};
            proxy_http_version 1.1;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_trusted_certificate {root};
            proxy_ssl_verify_depth 3;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Forwarded \"\";
            proxy_set_header Client-Cert \"\";
        }}
    }}
}}
",
        dir = directory.display(),
        temporary = temporary.concat(),
        root = root.display(),
    )
}
