//! The parts of the floor that are no connection: one check of a certificate request, one
//! certificate, one row, each with the libraries CVM uses and nothing around them.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::request::csr;
use crate::system::own_cpu;

/// What a vend writes: a device's record, a certificate's row and a journal's, some 2 kB.
const ROW_BYTES: usize = 2_000;

/// CPU in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Floor {
    pub(crate) request_check: f64,
    pub(crate) certificate: f64,
    pub(crate) insert: f64,
    /// How many rows shared a commit.
    pub(crate) group: usize,
}

impl Floor {
    /// Measures each part `times` times; rows in groups of `group`, in a new database in `place`.
    pub(crate) fn measure(place: &Path, times: usize, group: usize) -> Result<Self> {
        Ok(Self {
            request_check: request_check(times)?,
            certificate: certificate(times)?,
            insert: insert(place, times, group.max(1))?,
            group: group.max(1),
        })
    }

    /// All of it together.
    pub(crate) fn sum(&self) -> f64 {
        self.request_check + self.certificate + self.insert
    }
}

fn request_check(times: usize) -> Result<f64> {
    let pem = csr(&KeyPair::generate()?, None)?;
    each(times, |_| {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes())?;
        let (_, request) = X509CertificationRequest::from_der(&pem.contents)?;
        let info = &request.certification_request_info;
        let key = UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_ASN1,
            &*info.subject_pki.subject_public_key.data,
        );
        key.verify(info.raw, &request.signature_value.data).context("a bad signature")
    })
}

fn certificate(times: usize) -> Result<f64> {
    let subject = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "Bench Issuing CA");
    let issuer = Issuer::new(authority, KeyPair::generate()?);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "SN-0000000001");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    assert_point(&subject)?;
    each(times, |_| {
        std::hint::black_box(params.signed_by(&subject, &issuer)?);
        Ok(())
    })
}

fn assert_point(subject: &KeyPair) -> Result<()> {
    anyhow::ensure!(subject.der_bytes().len() == 65, "the floor is measured on P-256");
    Ok(())
}

fn insert(place: &Path, times: usize, group: usize) -> Result<f64> {
    let directory = tempfile::tempdir_in(place)?;
    let connection = Connection::open(directory.path().join("floor.db"))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
         CREATE TABLE row (id BLOB NOT NULL PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )?;
    let bytes = vec![0x5A; ROW_BYTES];
    let mut ids = vec![[0_u8; 32]; times];
    for id in &mut ids {
        aws_lc_rs::rand::fill(id)?;
    }
    each(times, |n| {
        if n % group == 0 {
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        let id = ids.get(n).context("an id for each row")?;
        connection.prepare_cached("INSERT INTO row VALUES (?1, ?2)")?.execute((id, &bytes))?;
        if (n + 1) % group == 0 || n + 1 == times {
            connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    })
}

/// CPU of one of `times` calls, in milliseconds.
fn each(times: usize, mut act: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let before = own_cpu();
    for n in 0..times {
        act(n)?;
    }
    Ok((own_cpu() - before).as_secs_f64() * 1_000.0 / times as f64)
}
