//! Killed at any moment, again and again, with the power lost where that can be recorded: the next
//! run goes on, with one key and one certificate.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use cvm_e2e::{Loss, Power};

use super::*;

/// Runs a little longer each time before the kill, until a run comes to its end.
fn cut_until_it_succeeds(device: &Device) {
    std::fs::create_dir_all(&device.home).unwrap();
    // What `sh` runs writes by ways that the recorder does not see.
    let is_recorded = device.recipe != Recipe::Shell;
    let mut power =
        is_recorded.then(|| Power::watch(&device.home, device.home.parent().unwrap()).unwrap());
    let mut milliseconds = 40;
    for seed in 0.. {
        let mut command = device.command();
        command.envs(power.iter().flat_map(Power::variables));
        // A group, since a power cut ends what it runs as well.
        let output = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = output.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let ended = child.try_wait().unwrap();
        if ended.is_none() {
            let group = format!("-{}", child.id());
            let killed = Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            assert!(killed.success(), "{group}");
        }
        child.wait().unwrap();
        if let Some(power) = &mut power {
            let loss = if seed % 2 == 0 { Loss::Some(seed) } else { Loss::Everything };
            power.cut(loss).unwrap();
        }
        if let Some(status) = ended {
            assert!(status.success(), "{:?} after {milliseconds} ms: {status}", device.recipe);
            return;
        }
        milliseconds += 20 + milliseconds / 3;
    }
}

fn check(recipe: Recipe) {
    let site = Site::new(&[]);
    let device = site.device(recipe, "SN-1", "default");
    cut_until_it_succeeds(&device);
    site.assert_works(&device);
    assert_eq!(site.states(&device), ["current"], "{recipe:?}");
    let said = device.succeed();
    assert!(said.contains("nothing to do until 20"), "{said}");

    let device = site.device(recipe, "SN-2", "hurried");
    device.succeed();
    let first = device.read("device.pem");
    cut_until_it_succeeds(&device);
    site.assert_works(&device);
    assert_ne!(device.read("device.pem"), first);
    let states = site.states(&device);
    let count = |state: &str| states.iter().filter(|it| *it == state).count();
    assert_eq!((count("current"), count("candidate")), (1, 0), "{recipe:?}: {states:?}");
}

each_recipe!(check, Build::Plain);
