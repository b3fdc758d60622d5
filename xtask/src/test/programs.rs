//! The programs of others that tests run, installed with apt-get where they are missing.

use anyhow::{Result, bail};

use crate::process::{answers, command, output, run};

struct Program {
    name: &'static str,
    /// Words that succeed, quietly, if the program is there and works.
    probe: &'static [&'static str],
    /// The Debian package that brings it.
    package: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { name: "openssl", probe: &["openssl", "version"], package: "openssl" },
    Program { name: "curl", probe: &["curl", "--version"], package: "curl" },
    Program { name: "faketime", probe: &["faketime", "--version"], package: "faketime" },
    Program {
        name: "systemd-analyze",
        probe: &["systemd-analyze", "--version"],
        package: "systemd",
    },
    Program {
        name: "rsvg-convert",
        probe: &["rsvg-convert", "--version"],
        package: "librsvg2-bin",
    },
    Program { name: "zbarimg", probe: &["zbarimg", "--version"], package: "zbar-tools" },
    // A proxy that ends TLS.
    Program { name: "nginx", probe: &["nginx", "-v"], package: "nginx-light" },
    // For the recipes of `examples/`.
    Program { name: "node", probe: &["node", "--version"], package: "nodejs" },
    Program { name: "make", probe: &["make", "--version"], package: "make" },
    Program {
        name: "mbedTLS",
        probe: &["cc", "-fsyntax-only", "-include", "mbedtls/ssl.h", "-x", "c", "/dev/null"],
        package: "libmbedtls-dev",
    },
    // For DynamoDB Local.
    Program { name: "java", probe: &["java", "--version"], package: "default-jre-headless" },
    Program { name: "mvn", probe: &["mvn", "--version"], package: "maven" },
    Program { name: "python3", probe: &["python3", "--version"], package: "python3" },
    Program {
        name: "python3 -m venv",
        probe: &["python3", "-c", "import ensurepip, venv"],
        package: "python3-venv",
    },
];

pub(crate) fn install_missing() -> Result<()> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        let found = answers(program.probe);
        println!("{}: {}", program.name, if found { "found" } else { "missing" });
        if !found {
            missing.push(program);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    if !(is_root() && answers(&["apt-get", "--version"])) {
        bail!("install {} first, then run this command again", packages.join(", "));
    }
    println!("installing {}", packages.join(", "));
    run(&mut command("apt-get", &["update", "--quiet"]))?;
    run(command("apt-get", &["install", "--yes", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    match missing.iter().find(|program| !answers(program.probe)) {
        Some(program) => bail!("`{}` does not work after its installation", program.name),
        None => Ok(()),
    }
}

fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}
