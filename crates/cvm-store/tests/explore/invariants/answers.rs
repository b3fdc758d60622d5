//! What is answered, judged at the moment when it leaves: all that came before is in the world,
//! and nothing that comes after.

use cvm_core::certificate::CertificateState;
use cvm_core::id::AttemptCode;
use cvm_core::ports::Store as _;
use cvm_core::profile::Reissue;
use cvm_core::provisioning::Refusal;

use super::{Given, Invariant, Violation};
use crate::act::{Act, Cert};
use crate::ghost::{Burnt, GhostCert, GhostToken};
use crate::scene::{Scene, World};
use crate::view::{TEN_MINUTES, View, at_once, late_from};

/// A certificate is answered.
pub(crate) fn answered(
    scene: &Scene,
    world: &World,
    act: Act,
    given: &Given,
    attempt: AttemptCode,
) -> Vec<Violation> {
    let (device, key) = match act {
        Act::Vend { device, key, .. } => (device, key),
        Act::Renew(cert, key) => (cert.device, key),
        other => panic!("{other} is not answered a certificate"),
    };
    let mut found: Vec<Violation> = recorded(scene, world, device, given, attempt).collect();
    let mine = &world.ghost.devices[device];
    let certs = &mine.certs;
    let number = certs.iter().position(|cert| cert.id == given.certificate.id);
    let number = number.expect("it was recorded");
    let cert = &certs[number];
    found.extend(living(scene, world, device, number, key));
    found.extend(held_by_word(world, device, cert));
    found.extend(lost(world, device, cert));
    let mut is_rule_3 = false;
    if let Act::Vend { generation, .. } = act {
        let token = &mine.tokens[generation as usize - 1];
        is_rule_3 = token.burnt == Some(Burnt::Confirmation);
        found.extend(token_used(scene, world, token, given));
    }
    if world.now > cert.last_tenth_at() && !cert.is_proven && !is_rule_3 {
        let what = "less than a tenth is left of a life that was never confirmed";
        found.push(Violation::new(Invariant::I12, what));
    }
    if let Act::Renew(shown, _) = act {
        found.extend(accepted(scene, world, Act::Renew(shown, key)));
    }
    found
}

/// I3: "every certificate that left the process is in the store with who, when, why".
fn recorded(
    scene: &Scene,
    world: &World,
    device: usize,
    given: &Given,
    attempt: AttemptCode,
) -> impl Iterator<Item = Violation> {
    let id = &given.certificate.id;
    let row = at_once(world.store.holding_find(id)).unwrap().map(|held| held.certificate);
    let what = match row {
        None => Some("a certificate was answered that is not in the store"),
        Some(row) if row.der != given.certificate.der => Some("other bytes are in the store"),
        Some(row) if row.serial_number != scene.serials[device] => Some("it is another device's"),
        Some(row) if given.is_new && (row.attempt, row.issued_at) != (attempt, world.now) => {
            Some("its row does not say by which request it came, and when")
        }
        Some(_) => None,
    };
    what.map(|what| Violation::new(Invariant::I3, what)).into_iter()
}

/// I9: "bytes answered are those of a live certificate with the asked key".
fn living(
    scene: &Scene,
    world: &World,
    device: usize,
    number: usize,
    key: usize,
) -> Option<Violation> {
    // That it is missing is I3's.
    let state = View::of(scene, world).judged(scene, device).states[number]?;
    // Where confirmation burns no token, a retiring one is live, and that is enough.
    let is_over = state == CertificateState::Retiring && scene.profile.reissue.confirmation_burns();
    let what = if is_over || !state.is_live() {
        format!("a {state} certificate is answered")
    } else if world.ghost.devices[device].certs[number].key != key {
        String::from("a certificate of another key is answered")
    } else {
        return None;
    };
    Some(Violation::new(Invariant::I9, what))
}

/// I10: "after `new-token`, `revoke`, `disable`, `delete` nothing that they end or burn is
/// answered, accepted".
fn held_by_word(world: &World, device: usize, cert: &GhostCert) -> Option<Violation> {
    let mine = &world.ghost.devices[device];
    let what = if mine.is_deleted {
        "the device is deleted"
    } else if mine.is_disabled {
        "the device is disabled"
    } else if cert.is_ended {
        "an operator's word ended the certificate"
    } else {
        return None;
    };
    Some(Violation::new(Invariant::I10, what))
}

/// I11: "a live confirmed key has one device, and a compromised key none". Section 1: what lost to
/// another device's proof "is refused from that commit on".
fn lost(world: &World, device: usize, cert: &GhostCert) -> Option<Violation> {
    let what = if world.ghost.is_lost(cert.key, device) {
        "the key is another device's, or compromised"
    } else if cert.is_lost {
        "a certificate that lost its key has come back"
    } else {
        return None;
    };
    Some(Violation::new(Invariant::I11, what))
}

/// I9: "a burnt token issues nothing". I10, for those that a word burnt. I12: "`never` its 10
/// minutes"; but a token whose key was lost is released under every policy (section 1).
fn token_used(
    scene: &Scene,
    world: &World,
    token: &GhostToken,
    given: &Given,
) -> Option<Violation> {
    let is_late = || token.first_issue.is_some_and(|first| world.now > first.plus(TEN_MINUTES));
    match token.burnt {
        Some(Burnt::Word) => {
            Some(Violation::new(Invariant::I10, "an operator's word burnt the token"))
        }
        Some(Burnt::Confirmation) if given.is_new => {
            Some(Violation::new(Invariant::I9, "a token that confirmation burnt issues"))
        }
        Some(Burnt::Confirmation) if scene.profile.reissue == Reissue::Never => {
            Some(Violation::new(Invariant::I12, "`never` answers after confirmation"))
        }
        None if scene.profile.reissue == Reissue::Never && is_late() && !token.was_released => {
            Some(Violation::new(Invariant::I12, "`never` answers after its ten minutes"))
        }
        Some(Burnt::Confirmation) | None => None,
    }
}

/// A certificate is accepted: it opens a connection, confirms or renews.
pub(crate) fn accepted(scene: &Scene, world: &World, act: Act) -> Vec<Violation> {
    let Some(Cert { device, number }) = act.shown() else { return Vec::new() };
    let mine = &world.ghost.devices[device];
    let cert = &mine.certs[number];
    let mut found: Vec<Violation> = held_by_word(world, device, cert).into_iter().collect();
    found.extend(lost(world, device, cert));
    let grace = if matches!(act, Act::Renew(..)) { scene.profile.renew_after_expiry.0 } else { 0 };
    if world.now.0 > cert.not_after.0 + grace {
        found.push(Violation::new(Invariant::I12, "a certificate is accepted after its notAfter"));
    }
    if mine.retiring.is_some_and(|(retiring, end)| retiring == number && world.now > end) {
        found.push(Violation::new(Invariant::I12, "a retiring certificate outlived its grace"));
    }
    found.extend(candidate_over(scene, world, device, number));
    found
}

/// I12: "nothing outlives its time: […] a candidate its overlap once the current one was used after
/// it". The use that is judged was written already.
fn candidate_over(scene: &Scene, world: &World, device: usize, used: usize) -> Option<Violation> {
    let mine = &world.ghost.devices[device];
    if mine.working != Some(used) {
        return None;
    }
    let has_over = mine
        .certs
        .iter()
        .any(|cert| !cert.is_proven && world.now > cert.issued_at.plus(scene.profile.overlap));
    if !has_over {
        return None;
    }
    let judged = View::of(scene, world).judged(scene, device);
    let is_over = |(cert, state): (&GhostCert, &Option<CertificateState>)| {
        let overlap_end = cert.issued_at.plus(scene.profile.overlap);
        *state == Some(CertificateState::Candidate) && world.now > overlap_end
    };
    let is_over = mine.certs.iter().zip(&judged.states).any(is_over);
    is_over.then(|| Violation::new(Invariant::I12, "a candidate outlived its overlap"))
}

/// I12: "in the last 10 % of a life, or the overlap, no renewal is 409".
pub(crate) fn refused(scene: &Scene, world: &World, act: Act, refusal: &Refusal) -> Vec<Violation> {
    let (Act::Renew(cert, _), Refusal::TokenPending) = (act, refusal) else { return Vec::new() };
    let judged = View::of(scene, world).judged(scene, cert.device);
    let current = judged.device.live_in(CertificateState::Current);
    let is_late = current
        .is_some_and(|live| world.now > live.last_tenth_at() || world.now > late_from(live, scene));
    let late = is_late.then(|| Violation::new(Invariant::I12, "a late renewal is 409"));
    late.into_iter().collect()
}
