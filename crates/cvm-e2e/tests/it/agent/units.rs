//! The units for systemd, judged by systemd's own tool.

use super::*;

const UNITS: [&str; 3] = ["cvm-agent.service", "cvm-agent-once.service", "cvm-agent.timer"];

/// Copies the units with the binary of these tests in the place of the installed one, which is not
/// there.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let copies = tempfile::tempdir().unwrap();
    let binary = agent_binary().unwrap();
    let paths = UNITS.map(|name| {
        let text = std::fs::read_to_string(source.join(name)).unwrap();
        let path = copies.path().join(name);
        let text = text.replace("/usr/bin/cvm-agent", binary.to_str().unwrap());
        std::fs::write(&path, text).unwrap();
        path
    });
    let mut there: Vec<_> = std::fs::read_dir(source).unwrap().collect();
    assert_eq!(there.drain(..).count(), UNITS.len(), "each of them is judged");
    (copies, paths.to_vec())
}

fn systemd_analyze(arguments: &[&str], paths: &[PathBuf]) -> (bool, String) {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).args(paths).output();
    let output = output.expect("systemd-analyze is missing: run `cargo xtask test`");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let (_copies, paths) = units();
    let (is_fine, said) = systemd_analyze(&["verify", "--man=no"], &paths);
    // It names other units of the machine as well, if there is something wrong with them.
    let about_ours = said.lines().any(|line| line.contains("cvm-agent"));
    assert!(is_fine && !about_ours, "{said}");
    let path = &paths[0];
    let text = std::fs::read_to_string(path).unwrap().replace("ProtectSystem=", "ProtectSystems=");
    std::fs::write(path, text).unwrap();
    let (_, said) = systemd_analyze(&["verify", "--man=no"], &paths);
    assert!(said.contains("ProtectSystems"), "it would have said so: {said}");
}

#[test]
fn systemd_finds_the_services_hardly_exposed() {
    let (_copies, paths) = units();
    for path in &paths[..2] {
        // In tenths, of ten at most: 30 is what it calls OK at the lower end.
        let arguments = ["security", "--offline=true", "--threshold=30", "--no-pager"];
        let (is_fine, said) = systemd_analyze(&arguments, std::slice::from_ref(path));
        let worst: Vec<_> = said.lines().filter(|line| line.starts_with('✗')).collect();
        assert!(is_fine, "{}\n{}", said.lines().last().unwrap_or_default(), worst.join("\n"));
    }
}
