//! Core dumps: the memory of `serve` and `init` has the CAs' keys in it, that of others tokens, so a
//! crash leaves none of it on a disk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sets the soft limit to nothing; who wants a dump of a process of theirs raises it again.
pub(crate) fn forbid() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // Where that may not be done nothing is worse than before, and `doctor` tells.
    let _unset = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}
