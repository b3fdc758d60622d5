//! Many at once with one token.

use anyhow::{Result, ensure};
use cvm_e2e::Key;
use cvm_e2e::aws::run_python;
use serde_json::json;

use crate::device::{Act, Device};
use crate::site::{POLICY, Signer, Site};

const RACERS: usize = 20;

#[test]
fn twenty_requests_with_one_token_make_one_certificate() -> Result<()> {
    for signer in [Signer::Aws, Signer::OwnCa] {
        let site = Site::start(signer)?;
        let mut device = Device::register(&site.server, "SN-1")?;
        let (server, asking) = (&site.server, &device);
        let answers = std::thread::scope(|scope| {
            let racers: Vec<_> =
                (0..RACERS).map(|_| scope.spawn(|| asking.answered(Act::Vend, server))).collect();
            racers.into_iter().map(|it| it.join().expect("a racer panicked")).collect::<Vec<_>>()
        });
        for answer in answers {
            device.take(Act::Vend, &answer?)?;
        }
        let held = device.held.clone().expect("nobody was answered");
        ensure!(site.certificates()?.len() == 1, "{:?}", site.certificates()?);
        let asked = [&site.iot.endpoint(), &held.id, "SN-1", POLICY, &held.certificate];
        run_python("read_back.py", &asked)?;
    }
    Ok(())
}

#[test]
fn twenty_keys_with_one_token_get_one_certificate() -> Result<()> {
    let site = Site::start(Signer::Aws)?;
    let token = site.server.device_add("SN-1")?;
    let ask = || -> Result<(u16, String)> {
        let csr = Key::new()?.csr()?;
        loop {
            let answer = site.server.vend("SN-1", &token, &csr)?;
            if answer.status != 503 {
                return Ok((answer.status, answer.slug()));
            }
        }
    };
    let answers = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(ask)).collect();
        racers.into_iter().map(|it| it.join().expect("a racer panicked")).collect::<Vec<_>>()
    });
    let mut answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    answers.sort();
    ensure!(answers.remove(0).0 == 201, "{answers:?}");
    ensure!(answers.iter().all(|it| *it == (409, "already-issued".to_owned())), "{answers:?}");
    ensure!(site.active_of("SN-1")?.len() == 1, "{}", json!(site.certificates()?));
    Ok(())
}
