//! The worst moments to lose the power: the server has answered, and the device has not kept it.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};

use cvm_e2e::{Change, Loss, Power};

use super::*;

/// Which answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Certificate,
    Confirmation,
}

impl Answer {
    /// What the server knows then.
    fn state(self) -> &'static str {
        match self {
            Self::Certificate => "unconfirmed",
            Self::Confirmation => "current",
        }
    }

    /// What the device has.
    fn files(self) -> [&'static str; 2] {
        match self {
            Self::Certificate => ["key.pem", "root-ca.pem"],
            Self::Confirmation => ["next.pem", "root-ca.pem"],
        }
    }

    /// The first change after it.
    fn is_before(self, change: &Change) -> bool {
        match (self, change) {
            (Self::Certificate, Change::Create { path, .. }) => path.starts_with("files/next"),
            (Self::Confirmation, Change::Remove { path }) => path == "files/key.pem",
            _ => false,
        }
    }

    fn is_lost_by(self, site: &Site, device: &Device) -> bool {
        let files = device.files();
        self.files().iter().all(|name| files.iter().any(|file| file == name))
            && (self == Self::Confirmation || !files.contains(&String::from("next.pem")))
            && site.states(device) == [self.state()]
    }
}

/// Cuts the power of a recipe that is one process, in the step after the answer.
fn cut_after_steps(device: &Device, steps: usize) {
    let mut power = Power::watch(&device.home, device.home.parent().unwrap()).unwrap();
    let output = device.command().envs(power.variables_until(steps)).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{:?}", device.recipe);
    power.cut(Loss::Everything).unwrap();
}

/// In which step of a run the first change after the answer is.
fn steps_until(site: &Site, recipe: Recipe, answer: Answer) -> usize {
    let device = site.device(recipe, &format!("SN-{answer:?}"), "default");
    let power = Power::watch(&device.home, device.home.parent().unwrap()).unwrap();
    let output = device.command().envs(power.variables()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let changes = power.changes().unwrap();
    changes.iter().position(|change| answer.is_before(change)).unwrap() + 1
}

/// Kills `sh` and all that it runs once `curl` has the answer.
fn kill_after_curl(device: &Device, answer: Answer) {
    let path = match answer {
        Answer::Certificate => "/v1/certificates",
        Answer::Confirmation => "/v1/certificates/confirm",
    };
    let script = format!(
        "PATH=${{PATH#*:}}\ncurl \"$@\"\nfor last; do :; done\n\
         case $last in *{path}) kill -KILL 0 ;; esac\n"
    );
    let path = device.stand_ins(&["curl"], &script);
    // A group of its own, which is what the stand-in kills.
    let output = device.command().env("PATH", path).process_group(0).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A device that has lost this answer.
fn lose(site: &Site, recipe: Recipe, answer: Answer) -> Device {
    if recipe == Recipe::Shell {
        let device = site.device(recipe, &format!("SN-{answer:?}"), "default");
        kill_after_curl(&device, answer);
        assert!(
            answer.is_lost_by(site, &device),
            "{:?} {:?}",
            device.files(),
            site.states(&device)
        );
        return device;
    }
    let steps = steps_until(site, recipe, answer);
    // The number of what is sent over TLS may differ by a few.
    for (number, steps) in (steps.saturating_sub(3)..=steps + 3).rev().enumerate() {
        let device = site.device(recipe, &format!("SN-{answer:?}-{number}"), "default");
        cut_after_steps(&device, steps);
        if answer.is_lost_by(site, &device) {
            return device;
        }
    }
    panic!("{recipe:?}: no run was cut where the answer is lost");
}

fn check(recipe: Recipe) {
    let site = Site::new(&[]);
    for answer in [Answer::Certificate, Answer::Confirmation] {
        let device = lose(&site, recipe, answer);
        device.succeed();
        site.assert_works(&device);
        assert_eq!(site.states(&device), ["current"], "{recipe:?}: {answer:?}");
    }
}

each_recipe!(check, Build::Plain);
