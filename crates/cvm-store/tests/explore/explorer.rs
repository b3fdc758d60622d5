//! The enumerator: breadth first, so that the first trace to a violation is a shortest one, each
//! state once.
//!
//! Steps are counted in acts: a step in which another act comes in between counts twice, and what
//! it reaches is looked at after all that one act after the other reaches in as many. So a state is
//! called interleaved only where no order of whole acts leads to it as fast.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::act::{self, Act, Fault, Step, Trouble};
use super::invariants::{self, Violation};
use super::key::{Key, key_of};
use super::machine::{Machine, Run};
use super::sabotage::Sabotage;
use super::scene::{Scene, World};
use super::view::View;

/// What was explored, and how it ended.
#[derive(Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// How many states only an interleaving reaches so fast.
    pub(crate) interleaved: usize,
    /// What was answered, without the certificates' names.
    pub(crate) answers: BTreeSet<String>,
    /// The number of acts after which there was no new state, where that came first.
    pub(crate) closed_at: Option<usize>,
    pub(crate) broken: Option<Broken>,
}

/// A violation, and a shortest way to it.
pub(crate) struct Broken {
    pub(crate) violations: Vec<Violation>,
    /// How many acts it takes.
    pub(crate) acts: usize,
    pub(crate) trace: String,
}

/// From which state by which step, and what was answered.
type Reached = (usize, Step, String);

/// An act that was played, and what it came to.
struct Played {
    act: Act,
    accesses: usize,
    has_written: bool,
}

struct Explorer {
    machine: Arc<Machine>,
    seen: HashSet<Key>,
    /// How each state was reached first.
    reached: Vec<Option<Reached>>,
    /// The states that are looked at next.
    next: Vec<(usize, World)>,
    /// What is reached now is judged, and not gone on from.
    is_last: bool,
    /// What interleavings reached, to be looked at one act later.
    later: BTreeMap<Key, (World, Reached)>,
    explored: Explored,
}

/// Explores a scene, with a rule taken out or with none, and tells how much it was.
pub(crate) fn explore(scene: Scene, sabotage: Option<Sabotage>) -> Explored {
    let begun = Instant::now();
    let machine = Machine::new(Arc::new(scene), sabotage);
    let mut explorer = Explorer {
        machine,
        seen: HashSet::new(),
        reached: Vec::new(),
        next: Vec::new(),
        is_last: false,
        later: BTreeMap::new(),
        explored: Explored::default(),
    };
    explorer.explore();
    explorer.explored.states = explorer.reached.len();
    tell(&explorer.machine.scene, sabotage, &explorer.explored, begun);
    explorer.explored
}

impl Explorer {
    fn explore(&mut self) {
        let scene = self.machine.scene.clone();
        self.begin(&scene);
        for level in 0..scene.depth.acts {
            let worlds = std::mem::take(&mut self.next);
            let interleaved = std::mem::take(&mut self.later);
            self.is_last = level + 1 == scene.depth.acts;
            if worlds.is_empty() && interleaved.is_empty() {
                self.explored.closed_at = Some(level);
                return;
            }
            let mut played = Vec::new();
            for (number, world) in worlds {
                let acts = self.expand(number, &world, level);
                if level < scene.depth.windows {
                    played.push((number, world, acts));
                }
            }
            for (key, (world, reached)) in interleaved {
                if !self.seen.contains(&key) {
                    self.explored.interleaved += 1;
                    let view = View::of(&scene, &world);
                    self.visit(key, world, &view, Some(reached));
                }
            }
            for (number, world, acts) in played {
                self.windows(number, &world, &acts);
            }
            if self.explored.broken.is_some() {
                return;
            }
        }
    }

    /// Plays what has happened before, and goes on from there only.
    fn begin(&mut self, scene: &Scene) {
        let first = self.machine.first();
        let view = View::of(scene, &first);
        self.visit(key_of(scene, &view, &first.ghost), first, &view, None);
        for act in &scene.beginning {
            let (number, world) = self.next.pop().expect("a state to go on from");
            self.step(number, &world, Step::plain(*act));
        }
    }

    /// Every step from one state, but for those in which another act comes in between.
    fn expand(&mut self, number: usize, world: &World, level: usize) -> Vec<Played> {
        let scene = self.machine.scene.clone();
        let acts = act::acts(&scene, &View::of(&scene, world), &world.ghost);
        let mut played = Vec::new();
        for act in acts {
            let run = self.step(number, world, Step::plain(act));
            let mut troubles = Vec::new();
            if run.has_taught {
                troubles.push(Trouble::AnswerLost);
            }
            if level < scene.depth.faults {
                let faults = |commit| Fault::ALL.map(|fault| Trouble::Commit(commit, fault));
                troubles.extend((0..run.commits).flat_map(faults));
            }
            for trouble in troubles {
                self.step(number, world, Step { trouble: Some(trouble), ..Step::plain(act) });
            }
            played.push(Played { act, accesses: run.accesses, has_written: run.has_written });
        }
        played
    }

    /// Each act with each other that changes something in each of its windows.
    fn windows(&mut self, number: usize, world: &World, played: &[Played]) {
        for intruder in played.iter().filter(|it| it.has_written) {
            for Played { act, accesses, .. } in played {
                // Before the first access it is only the one after the other.
                for access in 1..*accesses {
                    let intruder = Some((access, intruder.act));
                    self.step(number, world, Step { intruder, ..Step::plain(*act) });
                }
            }
        }
    }

    /// Plays a step, and takes note of the state that it leads to, until something broke.
    fn step(&mut self, from: usize, world: &World, step: Step) -> Run {
        if self.explored.broken.is_some() {
            return Run::none(world);
        }
        let mut run = self.machine.run(world.clone(), &step);
        self.explored.transitions += 1;
        let violations = std::mem::take(&mut run.violations);
        let kind = run.answer.trim_end_matches(|it: char| it.is_ascii_digit());
        if !self.explored.answers.contains(kind) {
            self.explored.answers.insert(kind.to_owned());
        }
        let reached = (from, step, run.answer.clone());
        if !violations.is_empty() {
            self.broke(violations, Some(&reached));
        } else if run.has_moved() {
            let view = View::of(&self.machine.scene, &run.world);
            let key = key_of(&self.machine.scene, &view, &run.world.ghost);
            if self.seen.contains(&key) {
                return run;
            }
            let world = run.world.clone();
            if step.intruder.is_none() {
                self.visit(key, world, &view, Some(reached));
            } else {
                self.later.entry(key).or_insert((world, reached));
            }
        }
        run
    }

    /// Takes note of a new state, and judges it.
    fn visit(&mut self, key: Key, world: World, view: &View, reached: Option<Reached>) {
        let number = self.reached.len();
        self.seen.insert(key);
        let violations = invariants::state(&self.machine, &world, view);
        if !violations.is_empty() {
            self.broke(violations, reached.as_ref());
        }
        self.reached.push(reached);
        if !self.is_last {
            self.next.push((number, world));
        }
    }

    fn broke(&mut self, violations: Vec<Violation>, last: Option<&Reached>) {
        let (mut lines, mut acts) = (Vec::new(), 0);
        let mut last = last;
        while let Some((before, step, answer)) = last {
            acts += 1 + usize::from(step.intruder.is_some());
            lines.push(format!("{step}: {answer}"));
            last = self.reached[*before].as_ref();
        }
        let mut trace = String::new();
        for (number, line) in (1..).zip(lines.iter().rev()) {
            writeln!(trace, "  {number}. {line}").unwrap();
        }
        self.explored.broken = Some(Broken { violations, acts, trace });
    }
}

/// Always printed, past the test runner's capture: how much was explored is part of the result.
fn tell(scene: &Scene, sabotage: Option<Sabotage>, explored: &Explored, begun: Instant) {
    let Explored { states, transitions, interleaved, closed_at, broken, .. } = explored;
    let end = match (broken, closed_at) {
        (Some(broken), _) => {
            let violations: Vec<_> = broken.violations.iter().map(ToString::to_string).collect();
            format!("{}\n{}", violations.join("; "), broken.trace)
        }
        (None, Some(acts)) => format!("no more of them after {acts} acts"),
        (None, None) => format!("all within {} acts", scene.depth.acts),
    };
    let without = sabotage.map_or_else(String::new, |it| format!(" where {it:?}"));
    let line = format!(
        "explored {}{without}: {states} states ({interleaved} by interleaving only), \
         {transitions} transitions, faults within {} acts, interleavings within {}, {:.1} s: {end}\n",
        scene.name,
        scene.depth.faults,
        scene.depth.windows,
        begun.elapsed().as_secs_f32()
    );
    drop(std::io::stderr().write_all(line.as_bytes()));
}
