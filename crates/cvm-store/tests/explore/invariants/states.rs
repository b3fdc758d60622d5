//! What must hold in every state: by the records, and by asking in a copy of it.

use std::sync::Arc;

use cvm_core::certificate::{CertificateState, Origin};
use cvm_core::device::TokenState;
use cvm_core::profile::Reissue;

use super::{Invariant, Violation};
use crate::act::{Act, Cert, Step};
use crate::ghost::{Burnt, is_unproven};
use crate::machine::{Machine, Run};
use crate::scene::World;
use crate::view::{Judged, TEN_MINUTES, View};

/// Everything that is wrong with a state.
pub(crate) fn state(machine: &Arc<Machine>, world: &World, view: &View) -> Vec<Violation> {
    let mut found = Vec::new();
    let scene = &machine.scene;
    let all: Vec<Judged> =
        (0..scene.serials.len()).map(|device| view.judged(scene, device)).collect();
    for (device, judged) in all.iter().enumerate() {
        found.extend(single(machine, judged));
        found.extend(kept(view, world, device));
        found.extend(burnt(world, view, device));
        let probe = Probe { machine, world, device, judged };
        probe.uses(&mut found);
        probe.lost_answers(&mut found);
    }
    found.extend(owned(world, &all));
    found
}

/// I1: "a device has at most one certificate that is unconfirmed or current, one candidate (beside
/// a current one only) and one retiring". I2: "otherwise never two live unconfirmed ones".
///
/// Counted by the record, and by the rows: what the world is told.
fn single(machine: &Machine, judged: &Judged) -> Vec<Violation> {
    let by_record = judged.device.live.iter().map(|live| live.state).collect::<Vec<_>>();
    let by_rows = judged.states.iter().copied().flatten().collect::<Vec<_>>();
    let mut found = Vec::new();
    for (source, states) in [("record", by_record), ("rows", by_rows)] {
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        let candidates = count(CertificateState::Candidate);
        let current = count(CertificateState::Current);
        let unconfirmed = count(CertificateState::Unconfirmed);
        let is_fine = current + unconfirmed <= 1
            && candidates <= current
            && count(CertificateState::Retiring) <= 1;
        if !is_fine {
            let what = format!("by its {source} a device has {states:?}");
            found.push(Violation::new(Invariant::I1, what));
        }
        let is_bound = matches!(machine.scene.profile.reissue, Reissue::Never | Reissue::SameKey);
        if !is_bound && candidates + unconfirmed > 1 {
            let what = format!("by its {source} two are unconfirmed");
            found.push(Violation::new(Invariant::I2, what));
        }
    }
    found
}

/// I3: "every certificate that left the process is in the store".
fn kept(view: &View, world: &World, device: usize) -> Option<Violation> {
    let mut certs = world.ghost.devices[device].certs.iter().zip(&view.devices[device].rows);
    let is_gone = certs.any(|(cert, row)| cert.has_left && row.is_none());
    is_gone.then(|| Violation::new(Invariant::I3, "a certificate has gone from the store"))
}

/// I9: "a confirmed certificate's token is burnt (but for `approval`, `always`)".
fn burnt(world: &World, view: &View, device: usize) -> Option<Violation> {
    let known = &world.ghost.devices[device].tokens;
    let mut tokens = view.devices[device].device.tokens.iter();
    let unburnt = tokens.find(|token| {
        let by = known[token.generation as usize - 1].burnt;
        let is_burnt = match &token.state {
            TokenState::BurntByConfirmation | TokenState::BurntByOperator(_) => true,
            TokenState::Expired | TokenState::Unused | TokenState::Used { .. } => false,
        };
        by == Some(Burnt::Confirmation) && !is_burnt
    })?;
    let what = format!("token {} was confirmed and is not burnt", unburnt.generation);
    Some(Violation::new(Invariant::I9, what))
}

/// I11: "a live confirmed key has one device, and a compromised key none".
fn owned(world: &World, all: &[Judged]) -> Vec<Violation> {
    let mut holders = [[false; 2]; 2];
    for (device, judged) in all.iter().enumerate() {
        for (cert, state) in world.ghost.devices[device].certs.iter().zip(&judged.states) {
            let is_confirmed =
                matches!(state, Some(CertificateState::Current | CertificateState::Retiring));
            holders[cert.key][device] |= is_confirmed;
        }
    }
    let mut found = Vec::new();
    for (key, holders) in holders.iter().enumerate() {
        let count = holders.iter().filter(|is_holder| **is_holder).count();
        let most = usize::from(!world.ghost.compromised[key]);
        if count > most {
            let what = format!("{count} devices hold a key that {most} may hold");
            found.push(Violation::new(Invariant::I11, what));
        }
    }
    found
}

/// Asks in a copy of the world.
struct Probe<'a> {
    machine: &'a Arc<Machine>,
    world: &'a World,
    device: usize,
    judged: &'a Judged,
}

impl Probe<'_> {
    fn ask(&self, act: Act) -> Run {
        self.machine.run(self.world.clone(), &Step::plain(act))
    }

    /// Uses every certificate there is or was.
    ///
    /// I5: "the working certificate is never taken away before its successor is proven, except by
    /// an operator's word". I10: "nothing that they end or burn is […] accepted, or lives on". I12.
    fn uses(&self, found: &mut Vec<Violation>) {
        let mine = &self.world.ghost.devices[self.device];
        let mut seen = Vec::new();
        for (number, state) in self.judged.states.iter().enumerate() {
            let cert = &mine.certs[number];
            let is_working = mine.working == Some(number);
            let is_retiring = mine.retiring.is_some_and(|(retiring, _)| retiring == number);
            let class = (*state, cert.key, cert.is_ended, is_working, is_retiring);
            if seen.contains(&class) {
                continue;
            }
            seen.push(class);
            let shown = Cert { device: self.device, number };
            let run = self.ask(Act::Connect(shown));
            found.extend(run.violations);
            let is_open = !mine.is_disabled && !mine.is_deleted;
            if is_working && is_open && run.answer != "accepted" {
                let what = format!("the working certificate is {}", run.answer);
                found.push(Violation::new(Invariant::I5, what));
            }
            if state.is_some_and(|state| !state.is_live()) {
                found.extend(self.ask(Act::Confirm(shown)).violations);
                found.extend(self.ask(Act::Renew(shown, cert.key)).violations);
            }
            if cert.is_ended && state.is_some_and(CertificateState::is_live) {
                let what = "what an operator's word ended lives on";
                found.push(Violation::new(Invariant::I10, what));
            }
        }
    }

    /// I4: "a device that lost the answer gets it by asking again, with no operator, while its
    /// certificate lives (but under `never` after its 10 minutes, its replays or confirmation;
    /// under `approval`; […]; after a revocation; for the loser of section 1; once another key with
    /// a right to the device was proven; a renewal waits while a token's candidate does)".
    fn lost_answers(&self, found: &mut Vec<Violation>) {
        let mine = &self.world.ghost.devices[self.device];
        let reissue = self.machine.scene.profile.reissue;
        // What is disabled waits for its operator.
        if mine.is_disabled || mine.is_deleted {
            return;
        }
        for (number, state) in self.judged.states.iter().enumerate() {
            let Some(state) = state.filter(|state| state.is_live()) else { continue };
            let cert = &mine.certs[number];
            if cert.is_lost {
                continue;
            }
            let token = &mine.tokens[cert.generation as usize - 1];
            let is_never_over = reissue == Reissue::Never
                && (token.burnt.is_some()
                    || token
                        .first_issue
                        .is_some_and(|first| self.world.now > first.plus(TEN_MINUTES)));
            let vend =
                Act::Vend { device: self.device, generation: cert.generation, key: cert.key };
            let current = self.number_in(CertificateState::Current);
            let again = match (state, cert.origin, current) {
                (CertificateState::Retiring, ..) => continue,
                (_, Origin::Renewal, Some(current)) if is_unproven(state) => {
                    Act::Renew(Cert { device: self.device, number: current }, cert.key)
                }
                _ if is_never_over || token.burnt == Some(Burnt::Word) => continue,
                _ => vend,
            };
            let run = self.ask(again);
            // Rule 2's new one; and `renew` drops a candidate whose overlap is over (section 7).
            let overlap_end = cert.issued_at.plus(self.machine.scene.profile.overlap);
            let is_dropped = matches!(again, Act::Renew(..)) && self.world.now > overlap_end;
            let is_over = is_dropped || self.world.now > cert.last_tenth_at();
            let is_over = is_over && is_unproven(state);
            let same = format!("answered again C{}", number + 1);
            let is_given = run.answer == same || (is_over && run.answer.starts_with("issued"));
            found.extend(run.violations);
            if !is_given {
                let what = format!("{again}, for {same}: {}", run.answer);
                found.push(Violation::new(Invariant::I4, what));
            }
        }
    }

    fn number_in(&self, wanted: CertificateState) -> Option<usize> {
        self.judged.states.iter().position(|state| *state == Some(wanted))
    }
}
