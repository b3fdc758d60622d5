//! Every check by its name, which stays as it is once it was released: programs read it.
//! `docs/DOCTOR.md` has a line for each, and a test holds it to this list.

use serde::Serialize;

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What is looked at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub(super) enum Check { $($(#[$doc])* #[serde(rename = $text)] $name,)+ }

        impl Check {
            /// All of them.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in reports.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

checks! {
    /// What devices are told, and who reaches it.
    Addresses = "addresses",
    /// Operators' credentials.
    AdminTokens = "admin-tokens",
    /// Alarms of the last day.
    Alarms = "alarms",
    /// Whether our certificates belong together.
    Chains = "chains",
    /// The time.
    Clock = "clock",
    /// RSA moduli that share a factor.
    CommonFactors = "common-factors",
    /// The configuration's faults.
    Configuration = "configuration",
    /// Whether a crash would write keys to a disk.
    CoreDumps = "core-dumps",
    /// Where certificates say that their CRL is.
    CrlUrl = "crl-url",
    /// CRLs past their end.
    Crls = "crls",
    /// How many files may be open.
    Descriptors = "descriptors",
    /// Room on the disk.
    Disk = "disk",
    /// Whether what is acknowledged is on the disk.
    Durability = "durability",
    /// The ends of certificates.
    Expiry = "expiry",
    /// What is open to others without need.
    Exposure = "exposure",
    /// On what the store lies.
    FileSystem = "file-system",
    /// Modes and owners.
    Files = "files",
    /// Keys in the vault.
    Keys = "keys",
    /// Listeners that answer, or addresses that are free.
    Listeners = "listeners",
    /// The store's log.
    Log = "log",
    /// The names of the certificate that devices are shown.
    Names = "names",
    /// Tokens that never end.
    Reissue = "reissue",
    /// Questions to humans.
    Reviews = "reviews",
    /// The server.
    Server = "server",
    /// Keys of several devices.
    SharedKeys = "shared-keys",
    /// The store.
    Store = "store",
    /// What the timer should have done.
    Timers = "timers",
    /// The certificate that devices are shown.
    Tls = "tls",
    /// The vault.
    Vault = "vault",
    /// Keys that were made badly.
    WeakKeys = "weak-keys",
    /// Who is sent alarms.
    Webhooks = "webhooks",
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The cells of each line of the document's table, under its heading.
    fn lines() -> Vec<Vec<String>> {
        let text = fs::read_to_string(root().join("docs/DOCTOR.md")).unwrap();
        let is_row = |line: &&str| line.starts_with("| `");
        let cells =
            |line: &str| line.trim_matches('|').split('|').map(|it| it.trim().into()).collect();
        text.lines().filter(is_row).map(cells).collect()
    }

    #[test]
    fn the_document_has_a_line_for_each_check_and_no_other() {
        let lines = lines();
        let told: Vec<&str> = lines.iter().map(|cells| cells[0].trim_matches('`')).collect();
        let mut all: Vec<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
        all.sort_unstable();
        assert_eq!(told, all);
        assert!(
            lines.iter().all(|cells| cells.len() == 4 && cells.iter().all(|it| !it.is_empty()))
        );
    }

    #[test]
    fn each_line_names_a_test_that_is_there() {
        let mut sources = String::new();
        let directories = ["crates/cvm-e2e/tests/it/doctor", "crates/cvm/src/command/doctor"];
        for directory in directories.map(|name| root().join(name)) {
            for entry in fs::read_dir(&directory).unwrap() {
                sources.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
            }
            sources.push_str(&fs::read_to_string(directory.with_extension("rs")).unwrap());
        }
        for cells in lines() {
            for name in cells[3].split(", ").map(|name| name.trim_matches('`')) {
                assert!(sources.contains(&format!("fn {name}(")), "{}: no {name}", cells[0]);
            }
        }
    }
}
