//! File descriptors: every connection is one, and the usual soft limit is too low for our listeners.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files, databases, timers and the listeners themselves.
pub(super) const OWN: u64 = 64;

/// Raises the soft limit to the hard one, and warns where `needed` files cannot be open at once:
/// connections that get no descriptor wait, and the operator's may be among them.
pub(super) fn raise_limit(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        if let Err(error) = raised {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    let granted = getrlimit(Resource::Nofile).current;
    if let Some(granted) = granted.filter(|granted| *granted < needed) {
        tracing::warn!(
            granted,
            needed,
            "fewer files may be open than [limits] connections needs: raise the limit or lower it"
        );
    }
}
