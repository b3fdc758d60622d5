//! Labels, read as a production line would: drawn by librsvg, decoded by `zbarimg`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cvm_e2e::Environment;
use serde_json::Value;

use super::{assert_vends, import, write};

/// What the code on a label says.
fn decoded(label: &Path) -> Value {
    let picture = label.with_extension("png");
    // As finely as a label printer draws, eight dots a module: a screen's two are at times too few.
    let mut draw = Command::new("rsvg-convert");
    let drawn = draw.args(["--zoom", "4", "--output"]).arg(&picture).arg(label).status().unwrap();
    assert!(drawn.success());
    let read = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&picture).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    std::fs::remove_file(picture).unwrap();
    serde_json::from_slice(&read.stdout).unwrap()
}

#[test]
fn a_label_has_what_its_device_needs_and_there_is_one_for_each_device_that_was_registered() {
    let environment = Environment::start(&[]).unwrap();
    let longest = "A".repeat(64);
    let text = format!(
        "serial,policy,token\nSN/1:a,,\nSN-2,,brought \"token\" \u{fc}\u{fc}\n{longest},,\n\
         SN-4,nobody-made-this,\nSN 5,,\n"
    );
    write(&environment, "devices.csv", &text);
    let arguments = ["devices.csv", "--tokens-out", "tokens.csv", "--qr-out", "labels"];
    assert_eq!(import(&environment, &arguments).0, 1, "two rows are refused");
    let directory = environment.scratch().join("labels");
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let names = || {
        let files = std::fs::read_dir(&directory).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let made = names();
    let (slash, plain, long) = ("SN%2F1%3Aa.svg", "SN-2.svg", format!("{longest}.svg"));
    assert_eq!(made, [long.as_str(), slash, plain]);
    for (name, serial) in [(slash, "SN/1:a"), (plain, "SN-2"), (&long, &longest)] {
        let path = directory.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&path).unwrap().contains(&format!(">{serial}</text>")));
        let content = decoded(&path);
        assert_eq!(content["serialNumber"], serial);
        assert_vends(&environment, serial, content["token"].as_str().unwrap());
    }

    // What a kill left out or tore is made by the next run.
    std::fs::remove_file(directory.join(plain)).unwrap();
    std::fs::write(directory.join(slash), "<svg").unwrap();
    import(&environment, &arguments);
    assert_eq!(names(), made);
    assert_eq!(decoded(&directory.join(slash))["serialNumber"], "SN/1:a");
}
