//! An ext4 on a loop device, and its shutdown.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cvm_e2e::Environment;

/// `EXT4_IOC_SHUTDOWN` without flushing the log: from then on nothing is written back.
///
/// The server is stopped first, with its syncs in flight. Linux (seen with 6.18) answers 0 to an
/// `fdatasync` that was under way when the shutdown came and that is not on the disk afterwards; a
/// server that goes on would tell devices so, which after a power cut nobody does.
const SHUTDOWN: &str = "import fcntl, os, signal, struct, sys\n\
    disk = os.open(sys.argv[1], os.O_RDONLY)\n\
    os.kill(int(sys.argv[2]), signal.SIGSTOP)\n\
    fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))";

/// One loop device for all mounts, so that no two of them have caches of one image.
pub(super) struct Disk {
    device: String,
    place: PathBuf,
}

impl Disk {
    /// Puts a file system in the place of a directory, with what that holds.
    pub(super) fn under(place: &Path, scratch: &Path) -> Result<Self> {
        let (image, kept) = (scratch.join("disk.img"), scratch.join("kept"));
        run(Command::new("cp").arg("-a").arg(place).arg(&kept))?;
        run(Command::new("truncate").args(["-s", "512M"]).arg(&image))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let made = Command::new("losetup").args(["--find", "--show"]).arg(&image).output()?;
        let device = String::from_utf8(made.stdout)?.trim().to_owned();
        ensure!(!device.is_empty(), "losetup finds no loop device: this needs root");
        let disk = Self { device, place: place.to_owned() };
        disk.mount()?;
        run(Command::new("cp").arg("-a").arg(kept.join(".")).arg(place))?;
        disk.sync()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").arg(&self.device).arg(&self.place))
    }

    /// What is on it now is safe.
    pub(super) fn sync(&self) -> Result<()> {
        run(Command::new("sync").arg("-f").arg(&self.place))
    }

    /// Stops the server, shuts the file system down, kills the server, and mounts what is left.
    pub(super) fn cut(&self, environment: &mut Environment) -> Result<()> {
        let pid = environment.pid().context("no server runs")?.to_string();
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.place).arg(pid))?;
        environment.kill()?;
        run(Command::new("umount").arg(&self.place))?;
        self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where the server of a test that failed is still at work on it.
        let _gone = run(Command::new("umount").arg("-l").arg(&self.place));
        let _gone = run(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}; this needs root and loop devices");
    Ok(())
}
