//! A home whose keys are on AWS, its registry a file: the vault in a bucket, the CA's key in KMS.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use cvm_e2e::aws::{Fault, FaultProxy, Lasting, Moto, REGION, VARIABLES, run_python};
use cvm_e2e::{Environment, Key};

/// A directory for `cvm` with AWS, whose calls to KMS go to `kms`.
fn environment(kms: &str) -> Result<Environment> {
    let mut environment = Environment::new(&[])?;
    environment.set_binary("cvm-aws");
    for (name, value) in VARIABLES {
        environment.set_variable(name, value);
    }
    environment.set_variable("AWS_ENDPOINT_URL_KMS", kms);
    Ok(environment)
}

fn vault_url(bucket: &str, moto: &str) -> String {
    format!("s3://{bucket}/home?region={REGION}&endpoint={moto}")
}

fn openssl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("openssl").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_server_signs_by_kms_and_keeps_no_key_on_its_disk() -> Result<()> {
    let moto = Moto::shared()?.endpoint();
    let proxy = FaultProxy::start(&[("kms", &moto)])?;
    let key = run_python("s3_and_kms_make.py", &[&moto, "keys-home", "ECC_NIST_P384"])?;
    let mut server = environment(&proxy.endpoint("kms")?)?;
    let (vault, key) = (vault_url("keys-home", &moto), format!("kms:{}", key.trim()));
    server.init(&["--unsealed", "--vault", &vault, "--ca-key", &key])?;
    assert!(!server.data().join("vault").exists(), "the vault is in the bucket");

    server.serve()?;
    let token = server.device_add("SN-1")?;
    let vended = server.vend("SN-1", &token, &Key::new()?.csr()?)?;
    assert_eq!(vended.status, 201, "{vended:?}");
    let file = |name: &str, text: String| -> Result<String> {
        let path = server.scratch().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let (leaf, chain) = (vended.text("certificate"), vended.text("chain"));
    let (leaf, chain) = (file("leaf.pem", leaf)?, file("chain.pem", chain)?);
    let root = file("root.pem", server.root_ca()?)?;
    openssl(&["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &chain, &leaf])?;
    let read = openssl(&["x509", "-in", &leaf, "-noout", "-text"])?;
    assert!(read.contains("Signature Algorithm: ecdsa-with-SHA384"), "{read}");
    Ok(())
}

#[test]
fn while_kms_is_down_devices_are_told_to_come_back_and_the_rest_goes_on() -> Result<()> {
    let moto = Moto::shared()?.endpoint();
    let proxy = FaultProxy::start(&[("kms", &moto)])?;
    let key = run_python("s3_and_kms_make.py", &[&moto, "keys-down", "ECC_NIST_P256"])?;
    let mut server = environment(&proxy.endpoint("kms")?)?;
    let (vault, key) = (vault_url("keys-down", &moto), format!("kms:{}", key.trim()));
    server.init(&["--unsealed", "--vault", &vault, "--ca-key", &key])?;
    proxy.fail(0, Fault::ServerError, Lasting::Onwards);
    server.serve()?;
    assert!(server.log().contains("no certificate can be issued"), "{}", server.log());
    let (token, csr) = (server.device_add("SN-1")?, Key::new()?.csr()?);
    let refused = server.vend("SN-1", &token, &csr)?;
    assert_eq!(refused.status, 503, "{refused:?}");
    proxy.clear();
    let vended = server.vend("SN-1", &token, &csr)?;
    assert_eq!(vended.status, 201, "{vended:?}");
    proxy.fail(0, Fault::ServerError, Lasting::Onwards);
    let again = server.vend("SN-1", &token, &csr)?;
    assert_eq!(again.status, 200, "the same certificate needs no signature: {again:?}");
    Ok(())
}

#[test]
fn a_second_init_finds_the_vault_and_leaves_nothing_behind() -> Result<()> {
    let moto = Moto::shared()?.endpoint();
    let key = run_python("s3_and_kms_make.py", &[&moto, "keys-twice", "RSA_2048"])?;
    let (vault, key) = (vault_url("keys-twice", &moto), format!("kms:{}", key.trim()));
    let first = environment(&moto)?;
    first.init(&["--unsealed", "--vault", &vault, "--ca-key", &key])?;
    let second = environment(&moto)?;
    let (code, _, said) = second.run(&["init", "--unsealed", "--vault", &vault])?;
    assert_ne!(code, 0);
    assert!(said.contains("there is a vault in s3://keys-twice/home"), "{said}");
    let left = fs::read_dir(second.scratch())?.count();
    assert_eq!(left, 0, "nothing is left behind");
    Ok(())
}

#[test]
fn an_init_for_a_key_that_is_none_says_so() -> Result<()> {
    let moto = Moto::shared()?.endpoint();
    let key = run_python("s3_and_kms_make.py", &[&moto, "keys-other", "ECC_NIST_P256"])?;
    let server = environment(&moto)?;
    let said = |key: &str| -> Result<String> {
        let vault = vault_url("keys-other", &moto);
        let (code, _, said) =
            server.run(&["init", "--unsealed", "--vault", &vault, "--ca-key", key])?;
        assert_ne!(code, 0, "{key}");
        Ok(said)
    };
    let absent = said("kms:11112222-3333-4444-5555-666677778888")?;
    assert!(absent.contains("NotFoundException"), "{absent}");
    let wrong = said(key.trim())?;
    assert!(wrong.contains("expected kms:"), "{wrong}");
    Ok(())
}
