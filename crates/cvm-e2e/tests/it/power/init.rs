//! What a power cut leaves of `cvm init`, at every step.

use std::collections::BTreeSet;

use cvm_e2e::{Environment, Loss, Power};

const INIT: [&str; 6] =
    ["init", "--unsealed", "--root-key-out", "out/root.key", "--admin-token-out", "out/token"];

/// Where `cvm init` works before it moves what it made to its place: nobody looks there again.
const BUILDING: &str = "data.init-";

/// A place for a data directory, and one for what goes elsewhere.
fn place() -> Environment {
    let environment = Environment::new(&[]).unwrap();
    std::fs::create_dir_all(environment.scratch().join("root/out")).unwrap();
    environment
}

/// `cvm init` below `root`, with more in its environment: exit code and standard error.
fn init(
    environment: &Environment,
    data: &str,
    arguments: &[&str],
    power: Option<&Power>,
) -> (i32, String) {
    let root = environment.scratch().join("root");
    let mut command = environment.command(arguments).unwrap();
    command.current_dir(&root).env("CVM_DATA_DIR", root.join(data));
    command.envs(power.iter().flat_map(|power| power.variables()));
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server over what there is, asked with the token that `init` wrote.
fn assert_serves(environment: &mut Environment, step: &str) {
    let root = environment.scratch().join("root");
    let token = std::fs::read_to_string(root.join("out/token"));
    let token = token.unwrap_or_else(|error| panic!("{step}: the admin token: {error}"));
    let key = std::fs::read_to_string(root.join("out/root.key"));
    let key = key.unwrap_or_else(|error| panic!("{step}: the root key: {error}"));
    assert!(key.trim_end().ends_with("-----END PRIVATE KEY-----"), "{step}");
    std::fs::rename(root.join("data"), environment.data()).unwrap();
    std::fs::write(environment.data().join("admin-token"), token).unwrap();
    environment.serve().unwrap_or_else(|error| panic!("{step}: {error:#}"));
    environment.device_add("SN-1").unwrap_or_else(|error| panic!("{step}: {error:#}"));
    environment.kill().unwrap();
    std::fs::remove_dir_all(environment.data()).unwrap();
}

#[test]
fn init_that_is_cut_at_any_step_is_done_or_can_be_done_again() {
    let mut environment = place();
    let root = environment.scratch().join("root");
    let power = Power::watch(&root, environment.scratch()).unwrap();
    let (code, stderr) = init(&environment, "data", &INIT, Some(&power));
    assert_eq!(code, 0, "{stderr}");
    let (mut disk, changes) = (power.before(), power.changes().unwrap());
    let steps = changes.len();
    assert!(steps > 200, "{steps} steps are not what init takes: was it recorded?");
    let mut seen = BTreeSet::new();
    for (step, change) in (1..).zip(changes) {
        disk.apply(change).unwrap();
        let seed = u64::try_from(step).unwrap();
        for loss in [Loss::Everything, Loss::Nothing, Loss::Contents, Loss::Some(seed)] {
            let tree = disk.after_power_cut(loss).unwrap();
            if !seen.insert(tree.clone().without(&format!(".{BUILDING}")).digest()) {
                continue;
            }
            let told = format!("step {step} of {steps}, {loss:?}");
            tree.write_to(&root).unwrap();
            if !root.join("data").exists() {
                assert!(step < steps || loss != Loss::Everything, "{told}: said and not done");
                again(&environment, &told);
            }
            assert_serves(&mut environment, &told);
        }
    }
}

/// The same command again, and where a file of the first stands in its way, without that.
fn again(environment: &Environment, told: &str) {
    let out = environment.scratch().join("root/out");
    for _ in ["root.key", "token"] {
        let (code, stderr) = init(environment, "data", &INIT, None);
        if code == 0 {
            return;
        }
        assert!(stderr.contains("exists already"), "{told}: {stderr}");
        let name = if stderr.contains("root.key") { "root.key" } else { "token" };
        std::fs::remove_file(out.join(name)).unwrap();
    }
    let (code, stderr) = init(environment, "data", &INIT, None);
    assert_eq!(code, 0, "{told}: {stderr}");
}

#[test]
fn init_in_directories_that_it_makes_is_there_once_it_says_so() {
    let environment = place();
    let root = environment.scratch().join("root");
    let mut power = Power::watch(&root, environment.scratch()).unwrap();
    let arguments = ["init", "--unsealed"];
    let (code, stderr) = init(&environment, "a/b/data", &arguments, Some(&power));
    assert_eq!(code, 0, "{stderr}");
    power.cut(Loss::Everything).unwrap();
    for name in ["root-ca.pem", "admin-token", "cvm.db", "server", "vault/vault.json"] {
        assert!(root.join("a/b/data").join(name).exists(), "{name}");
    }
}
