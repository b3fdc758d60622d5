//! What CVM is held against: the floor's server, step-ca and cfssl, each with the durable store
//! that its authors make the default.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rcgen::KeyPair;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Process, Server, TestPki, free_address};
use crate::request::Provisioner;

/// cfssl's own schema for SQLite.
const CFSSL_SCHEMA: &str = "CREATE TABLE certificates (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
    status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
    issued_at timestamp, not_before timestamp, metadata blob, sans blob, common_name text,
    PRIMARY KEY (serial_number, authority_key_identifier))";

/// Where the peers' programs are, and what they are set up with.
pub(crate) struct Peers<'a> {
    pub(crate) programs: &'a Path,
    pub(crate) pki: &'a TestPki,
    pub(crate) place: &'a Path,
}

impl Peers<'_> {
    /// The key of step-ca's provisioner, PKCS #8.
    pub(crate) fn provisioner_key(&self) -> PathBuf {
        self.place.join("provisioner.key")
    }

    /// step-ca with badger.
    pub(crate) fn step_ca(&self) -> Result<Server> {
        let data = self.make_place("step-ca")?;
        let key = KeyPair::generate()?;
        std::fs::write(self.provisioner_key(), key.serialized_der())?;
        let provisioner = Provisioner::from_pkcs8(key.serialized_der())?;
        let address = free_address()?;
        let claims = json!({ "maxTLSCertDuration": "2160h", "defaultTLSCertDuration": "2160h" });
        let provisioner =
            json!({ "type": "JWK", "name": "bench", "key": provisioner.jwk(), "claims": claims });
        let settings = json!({
            "root": self.pki.file("root.crt"),
            "crt": self.pki.file("ca.crt"),
            "key": self.pki.file("ca.key"),
            "address": address.to_string(),
            "dnsNames": ["localhost", "127.0.0.1"],
            "logger": { "format": "text" },
            "db": { "type": "badgerv2", "dataSource": data },
            "authority": { "provisioners": [provisioner] },
            "tls": { "minVersion": 1.2, "maxVersion": 1.3, "renegotiation": false },
        });
        let settings = self.write("step-ca.json", &settings)?;
        let mut command = Command::new(self.programs.join("step-ca"));
        let process = Process::start(command.arg(settings), &self.place.join("step-ca.log"))?;
        self.server("step-ca", address, data, process)
    }

    /// cfssl with SQLite.
    pub(crate) fn cfssl(&self) -> Result<Server> {
        let data = self.make_place("cfssl")?;
        let database = data.join("certs.db");
        Connection::open(&database)?.execute_batch(CFSSL_SCHEMA)?;
        let address = free_address()?;
        let usages = json!({ "expiry": "2160h", "usages": ["digital signature", "client auth"] });
        let settings = self.write("cfssl.json", &json!({ "signing": { "default": usages } }))?;
        let store = json!({ "driver": "sqlite3", "data_source": database });
        let store = self.write("cfssl-db.json", &store)?;
        let mut command = Command::new(self.programs.join("cfssl"));
        command.args(["serve", "-address", "127.0.0.1", "-port", &address.port().to_string()]);
        command.arg("-config").arg(settings).arg("-db-config").arg(store);
        let files = [
            ("-ca", "ca.crt"),
            ("-ca-key", "ca.key"),
            ("-tls-cert", "server.crt"),
            ("-tls-key", "server.key"),
        ];
        for (option, file) in files {
            command.arg(option).arg(self.pki.file(file));
        }
        let process = Process::start(&mut command, &self.place.join("cfssl.log"))?;
        self.server("cfssl", address, data, process)
    }

    fn server(
        &self,
        name: &'static str,
        address: std::net::SocketAddr,
        data: PathBuf,
        mut process: Process,
    ) -> Result<Server> {
        process.wait_for_port(address).with_context(|| format!("{name}: see its log"))?;
        let (roots, intermediate) = (self.pki.file("root.crt"), self.pki.file("ca.crt"));
        Ok(Server { name, address, roots, intermediate, data: Some(data), metrics: None, process })
    }

    fn make_place(&self, name: &str) -> Result<PathBuf> {
        let place = self.place.join(name);
        std::fs::create_dir(&place)?;
        Ok(place)
    }

    fn write(&self, name: &str, value: &Value) -> Result<PathBuf> {
        let path = self.place.join(name);
        std::fs::write(&path, value.to_string())?;
        Ok(path)
    }
}

/// The floor's server, in a process of its own.
pub(crate) fn null(pki: &TestPki, place: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["null-server", "--listen", &address.to_string()]);
    command.arg("--chain").arg(pki.file("server.crt"));
    command.arg("--key").arg(pki.file("server.key"));
    let mut process = Process::start(&mut command, &place.join("null-server.log"))?;
    process.wait_for_port(address)?;
    let (roots, intermediate) = (pki.file("root.crt"), pki.file("ca.crt"));
    Ok(Server { name: "floor", address, roots, intermediate, data: None, metrics: None, process })
}
