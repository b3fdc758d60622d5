//! Every server under every load, taking turns, so that what changes on the machine changes for all.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Run;
use crate::fill::{Filling, Standing};
use crate::floor::Floor;
use crate::plan::{Connections, Groups, Measured, Peer, Plan};
use crate::registry::Pick;
use crate::report::{Results, Row};
use crate::servers::{Cvm, Peers, Server, TestPki, null};

/// How devices connect: what is agreed on costs once a connection, so kept ones are measured once.
pub(crate) const WAYS: [(Connections, Groups); 3] = [
    (Connections::New, Groups::X25519),
    (Connections::New, Groups::Hybrid),
    (Connections::Kept, Groups::X25519),
];

/// More vends a second than a machine of two cores does, to know how many devices are needed.
const VENDS_PER_SECOND_MAX: f64 = 4_000.0;

/// The load at which the floor's rows are grouped as the run's were.
pub(crate) const MAIN_AT_ONCE: usize = 8;

/// Measures and adds to `results`.
pub(crate) fn measure(run: &Run, place: &Path, results: &mut Results) -> Result<()> {
    let pki_place = place.join("pki");
    std::fs::create_dir(&pki_place)?;
    let pki = TestPki::create(&pki_place)?;
    let cvm = Cvm::init(&run.cvm, place)?;
    let loads = run.at_once.len() * WAYS.len() * run.passes;
    let devices = devices_for(run, loads);
    println!("filling a registry with {devices} devices");
    Filling::open(cvm.data())?.fill(0..devices, |_| Standing::Waiting)?;
    let mut pick = Pick { of: devices, from: 0 };

    let mut servers = vec![null(&pki, place)?, cvm.serve()?.0];
    let programs = run.peers.as_deref();
    let peers = programs.map(|programs| Peers { programs, pki: &pki, place });
    if let Some(peers) = &peers {
        servers.extend([peers.step_ca()?, peers.cfssl()?]);
    }
    for pass in 1..=run.passes {
        for &at_once in &run.at_once {
            for way in WAYS {
                for server in &servers {
                    let peer = peer_of(server, pick, peers.as_ref())?;
                    let plan = server.plan(peer, way, at_once);
                    let measured = load(&Plan { seconds: run.seconds, ..plan })?;
                    if server.name == "cvm" {
                        pick.from += measured.devices_used;
                    }
                    let (server, (connections, groups)) = (server.name.to_owned(), way);
                    let row = Row { server, connections, groups, at_once, pass, measured };
                    println!("{row}");
                    results.rows.push(row);
                }
            }
        }
        let group = results.group_at(MAIN_AT_ONCE).unwrap_or(MAIN_AT_ONCE);
        results.floors.push(Floor::measure(place, run.floor_times, group)?);
    }
    Ok(())
}

#[expect(clippy::cast_sign_loss, reason = "seconds are positive")]
fn devices_for(run: &Run, loads: usize) -> u64 {
    let each = VENDS_PER_SECOND_MAX * run.seconds + 512.0;
    (each * loads as f64) as u64
}

fn peer_of(server: &Server, devices: Pick, peers: Option<&Peers<'_>>) -> Result<Peer> {
    Ok(match server.name {
        "cfssl" => Peer::Cfssl,
        "cvm" => Peer::Cvm { devices },
        "step-ca" => {
            let provisioner_key = peers.context("step-ca is a peer")?.provisioner_key();
            Peer::StepCa { provisioner_key }
        }
        _ => Peer::Null,
    })
}

/// Runs a load in a process of its own.
pub(crate) fn load(plan: &Plan) -> Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("load").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting the load")?;
    let input = child.stdin.take().context("no standard input")?;
    serde_json::to_writer(input, plan)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the load failed: {}", output.status);
    let measured: Measured = serde_json::from_slice(&output.stdout)?;
    ensure!(measured.answered > 0, "nothing was answered: {:?}", measured.failures);
    Ok(measured)
}
