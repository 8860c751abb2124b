//! How many files and sockets may this process have open?
//!
//! The soft limit that shells and systemd hand out is 1,024, for programs that still use `select`; the hard one is what
//! the machine grants. A server raises the one to the other, as systemd's manual advises.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of descriptors to the hard one. What cannot be raised stays: everything that opens sockets
/// asks [`descriptors`].
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // An error leaves it as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// How many descriptors this process may have.
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_descriptors();
        assert_eq!(Some(descriptors()), getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)));
    }
}
