//! Core dumps: a server's memory has the CA's key in it, so a crash leaves none of it on a disk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sets the soft limit to nothing; who wants a dump of a process of theirs raises it again.
pub(super) fn forbid() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum }) {
        tracing::warn!(%error, "a crash would write this process's memory, keys and all, to a disk");
    }
}
