//! `cargo xtask bench`: what a vend costs, beside its floor and, where Go is there, beside the CAs
//! that people use today. `bench timing`: whether refusals can be told apart by their time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::{answers, cargo, command, run};
use crate::workspace;

/// The peers, as their authors publish them, and whether they need C: step-ca does for smart cards
/// only, cfssl for SQLite. cfssl 1.7 asks for a newer Go than most have.
const PEERS: [(&str, &str); 2] = [
    ("github.com/smallstep/certificates/cmd/step-ca@v0.30.2", "0"),
    ("github.com/cloudflare/cfssl/cmd/cfssl@v1.6.5", "1"),
];

const USAGE: &str = "\
usage: cargo xtask bench [--quick] [--peers] [--devices N,N,…] [--write]
       cargo xtask bench timing

  --quick    one short pass at 1 and 8 devices at once
  --peers    step-ca and cfssl too; installs them with Go
  --devices  how many devices the registries have whose growth is measured
  --write    the tables of docs/PERFORMANCE.md, with peers and with 10^3, 10^5 and 10^6 devices";

/// What was asked for.
#[derive(Debug, Default, PartialEq)]
struct Wishes {
    is_quick: bool,
    has_peers: bool,
    writes: bool,
    devices: Option<String>,
}

impl Wishes {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut wishes = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => wishes.is_quick = true,
                "--peers" => wishes.has_peers = true,
                "--write" => wishes.writes = true,
                "--devices" => {
                    wishes.devices = Some((*words.next().context(USAGE)?).to_owned());
                }
                _ => bail!("{USAGE}"),
            }
        }
        if wishes.writes {
            wishes.has_peers = true;
            wishes.devices.get_or_insert_with(|| String::from("1000,100000,1000000"));
        }
        Ok(wishes)
    }

    fn arguments(&self, place: &Path) -> Vec<String> {
        let load = if self.is_quick { ["2", "1", "1,8"] } else { ["4", "2", "1,8,32"] };
        let names = ["--seconds", "--passes", "--at-once"];
        let mut all = vec![String::from("run")];
        let mut put = |name: &str, value: &str| all.extend([name.to_owned(), value.to_owned()]);
        names.into_iter().zip(load).for_each(|(name, value)| put(name, value));
        put("--out", &place.join("results.json").to_string_lossy());
        if let Some(devices) = &self.devices {
            put("--devices", devices);
        }
        if self.has_peers {
            put("--peers", &place.join("bin").to_string_lossy());
        }
        if self.writes {
            let path = workspace::root().join("docs/PERFORMANCE.md");
            put("--write", &path.to_string_lossy());
        }
        all
    }
}

pub(crate) fn bench(words: &[&str]) -> Result<()> {
    match words {
        ["timing"] => measure(|_| Ok(vec![String::from("timing")])),
        _ => {
            let wishes = Wishes::parse(words)?;
            measure(|place| {
                if wishes.has_peers {
                    install_peers(place)?;
                }
                Ok(wishes.arguments(place))
            })
        }
    }
}

/// Everything for a second each, on the debug build: that it runs and yields numbers.
pub(crate) fn smoke() -> Result<()> {
    run(&mut cargo(&["build", "--bin", "cvm"]))?;
    run(&mut cargo(&["test", "--package", "cvm-bench"]))
}

/// Builds what people ship and what measures it, and runs that with the arguments.
fn measure(arguments: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<()> {
    // Apart, because what measures must not turn on features of what is measured.
    run(&mut cargo(&["build", "--profile", "dist", "--bin", "cvm"]))?;
    run(&mut cargo(&["build", "--profile", "dist", "--package", "cvm-bench"]))?;
    let target = workspace::target_directory()?;
    let place = target.join("bench");
    std::fs::create_dir_all(&place)?;
    let arguments = arguments(&place)?;
    let program = |name: &str| -> PathBuf { target.join("dist").join(name) };
    let mut measuring = command(program("cvm-bench"), &[]);
    measuring.args(arguments).arg("--cvm").arg(program("cvm")).arg("--place").arg(place);
    run(&mut measuring)
}

fn install_peers(place: &Path) -> Result<()> {
    if !answers(&["go", "version"]) {
        bail!("the peers are built with Go: install it, or leave --peers out");
    }
    for (package, needs_c) in PEERS {
        let mut install = command("go", &["install", package]);
        install.env("GOBIN", place.join("bin")).env("GOPATH", place.join("go"));
        install.env("CGO_ENABLED", needs_c);
        // Go's own default makes its cache read-only, which `cargo clean` could not remove.
        install.env("GOCACHE", place.join("go-build")).env("GOFLAGS", "-modcacherw");
        run(&mut install)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_the_tables_asks_for_everything_in_them() {
        let wishes = Wishes::parse(&["--write"]).unwrap();
        assert!(wishes.has_peers);
        assert_eq!(wishes.devices.as_deref(), Some("1000,100000,1000000"));
        let wishes = Wishes::parse(&["--devices", "5000", "--write", "--quick"]).unwrap();
        assert_eq!(wishes.devices.as_deref(), Some("5000"));
        let arguments = wishes.arguments(Path::new("place"));
        assert!(arguments.iter().any(|it| it.ends_with("PERFORMANCE.md")));
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        assert!(Wishes::parse(&["--fast"]).is_err());
        assert!(Wishes::parse(&["--devices"]).is_err());
    }
}
