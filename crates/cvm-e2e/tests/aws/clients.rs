//! Our own clients over the AWS home: a device's, and a virtual fleet.

use anyhow::{Result, ensure};
use cvm_e2e::Environment;
use serde_json::{Value, json};

use crate::site::{Signer, Site};

const SIGNERS: [Signer; 2] = [Signer::Aws, Signer::OwnCa];

fn enroll(server: &Environment) -> Result<String> {
    let (url, root) = (server.device_url(), server.data().join("root-ca.pem"));
    let root = root.to_string_lossy();
    let whom = ["--server", &url, "--serial", "SN-1", "--token-file", "token", "--out", "sn-1"];
    server.succeed(&[&["device", "enroll", "--root-ca", &root][..], &whom].concat())
}

/// The id of the certificate in the device's directory.
fn held(server: &Environment) -> Result<String> {
    let record = std::fs::read_to_string(server.scratch().join("sn-1/device.json"))?;
    let record: Value = serde_json::from_str(&record)?;
    Ok(record["certificateId"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_device_enrolls_and_renews_whoever_signs() -> Result<()> {
    for signer in SIGNERS {
        let site = Site::start(signer)?;
        let server = &site.server;
        server.succeed(&["device", "add", "SN-1", "--token-out", "token"])?;
        enroll(server)?;
        let first = held(server)?;
        ensure!(site.active_of("SN-1")? == [first.as_str()], "{signer:?}");
        enroll(server)?;
        ensure!(held(server)? == first, "{signer:?}: enrolled again, it keeps what it has");
        server.succeed(&["device", "renew", "--dir", "sn-1"])?;
        let second = held(server)?;
        ensure!(second != first && site.active_of("SN-1")?.contains(&second), "{signer:?}");
    }
    Ok(())
}

#[test]
fn a_virtual_fleet_loses_answers_and_nothing_else_whoever_signs() -> Result<()> {
    for signer in SIGNERS {
        let site = Site::start(signer)?;
        let run = ["--devices", "20", "--loss", "20%", "--confirm", "--renew", "--seed", "11"];
        let run = [&["rehearse", "--output", "json"][..], &run].concat();
        let (code, report, stderr) = site.server.run(&run)?;
        ensure!(code == 0, "{signer:?}: {stderr}\n{report}");
        let report: Value = serde_json::from_str(&report)?;
        let audit = &report["audit"];
        ensure!((&audit["given"], &audit["stored"]) == (&json!(40), &json!(40)), "{audit}");
    }
    Ok(())
}
