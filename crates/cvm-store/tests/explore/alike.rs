//! That worlds with one key go on alike: what the explorer takes for one state is one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cvm_core::profile::Reissue;

use super::act::{Step, acts};
use super::key::{Key, key_of};
use super::machine::Machine;
use super::scene::{Depth, Scene, World};
use super::view::View;

/// The states to which the acts in `world` lead, and the worlds in which they arrive.
fn next(machine: &Arc<Machine>, world: &World) -> Vec<(Key, World)> {
    let scene = &machine.scene;
    let key = |world: &World| key_of(scene, &View::of(scene, world), &world.ghost);
    let steps = acts(scene, &View::of(scene, world), &world.ghost).into_iter().map(Step::plain);
    let worlds = steps.map(|step| machine.run(world.clone(), &step).world);
    worlds.map(|world| (key(&world), world)).collect()
}

/// Goes so many acts far, and asserts of every world that it goes on as the first with its key did.
/// Returns how many there were beside the first.
fn compare(scene: Scene, depth: usize) -> usize {
    let machine = Machine::new(Arc::new(scene), None);
    let first = machine.first();
    let mut worlds = vec![next(&machine, &first)];
    let mut known = HashMap::<Key, BTreeSet<Key>>::new();
    let mut compared = 0;
    for _ in 0..depth {
        let mut further = Vec::new();
        for (key, world) in worlds.into_iter().flatten() {
            let led_to = next(&machine, &world);
            let keys = led_to.iter().map(|(key, _)| key.clone()).collect();
            match known.get(&key) {
                Some(known) => {
                    assert_eq!(*known, keys, "{key:?}");
                    compared += 1;
                }
                None => {
                    known.insert(key, keys);
                    further.push(led_to);
                }
            }
        }
        worlds = further;
    }
    compared
}

const NO_DEPTH: Depth = Depth { acts: 0, faults: 0, windows: 0 };

#[test]
fn worlds_with_one_key_go_on_alike() {
    for (name, reissue, unit) in [
        ("never", Reissue::Never, 601),
        ("same-key", Reissue::SameKey, 1_000),
        ("approval", Reissue::Approval, 604_801),
    ] {
        assert!(compare(Scene::of(name, reissue, unit, NO_DEPTH), 4) > 500);
    }
    let scene = Scene::of("two devices", Reissue::SameKey, 1_000, NO_DEPTH);
    assert!(compare(scene.with_a_second_device(), 4) > 500);
}
