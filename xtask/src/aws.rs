//! `cargo xtask aws`: what the AWS home is tested against, and its tests.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process::{cargo, command, run};
use crate::steps::Steps;
use crate::test::{build_as, programs, python};
use crate::workspace;

const SOURCES: &str = "crates/cvm-e2e/aws";

/// The feature that brings the AWS home into `cvm` and makes `bootstrap`.
pub(crate) const WITH_AWS: &str = "cvm-lambda/aws";

pub(crate) fn aws() -> Result<()> {
    let mut steps = Steps::begin("aws");
    steps.heading("programs of others that tests use");
    programs::install_missing()?;
    steps.heading("stand-ins for AWS");
    let target = workspace::target_directory()?;
    install(&target)?;
    run_in(&mut steps, &target);
    steps.finish()
}

/// The stand-ins alone, for somebody who runs single tests.
pub(crate) fn install_only() -> Result<()> {
    programs::install_missing()?;
    install(&workspace::target_directory()?)
}

/// Fetches what the stand-ins are made of, unless it is there.
pub(crate) fn install(target: &Path) -> Result<()> {
    let aws = target.join("aws");
    fs::create_dir_all(&aws).with_context(|| format!("making {}", aws.display()))?;
    // Pinned whole; what is left out of the list is left out on purpose.
    python::install(&aws.join("venv"), &format!("{SOURCES}/requirements.txt"), &["--no-deps"])?;
    dynamodb_local(&aws)
}

/// The tests that need them, over binaries that speak to AWS.
pub(crate) fn run_in(steps: &mut Steps, target: &Path) {
    steps.step("the cvm binary with AWS, for their tests", || {
        build_as(target, "cvm/aws", "cvm-aws")?;
        let features = ["--features", WITH_AWS, "--bin", "bootstrap"];
        run(cargo(&["build", "--workspace"]).args(features))
    });
    steps.step("tests of the build with AWS, and against its stand-ins", || {
        let which = ["--features", WITH_AWS, "--lib", "--bin", "bootstrap"];
        run(cargo(&["test", "--workspace", "--no-fail-fast"]).args(which))?;
        run(&mut cargo(&["test", "--workspace", "--no-fail-fast", "--test", "aws"]))
    });
}

fn dynamodb_local(aws: &Path) -> Result<()> {
    let pom = format!("{SOURCES}/pom.xml");
    let wanted = fs::read_to_string(workspace::root().join(&pom))
        .with_context(|| format!("reading {pom}"))?;
    let jars = aws.join("dynamodb");
    let stamp = jars.join("pom.stamp");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("{}: as {pom} says", jars.display());
        return Ok(());
    }
    println!("fetching DynamoDB Local");
    if jars.exists() {
        fs::remove_dir_all(&jars).with_context(|| format!("removing {}", jars.display()))?;
    }
    let copy = ["-q", "-B", "-f", &pom, "dependency:copy-dependencies", "-DincludeScope=runtime"];
    run(command("mvn", &copy).arg(format!("-DoutputDirectory={}", jars.display())))?;
    // Written last: a download cut short begins again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}
