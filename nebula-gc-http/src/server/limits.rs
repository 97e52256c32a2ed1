use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many are open at once; more wait until one ends, in the queue of the operating system.
    pub connections: usize,
    /// How many of them one source address has (of IPv6, a /64); one more is closed at once. Behind a
    /// reverse proxy all are of one address.
    pub connections_per_address: usize,
    /// How many bytes of bodies all requests together may have under way; one address a quarter.
    pub body_bytes: usize,
    /// How long a response may take to be taken by who asked for it, from when it does not fit into
    /// the operating system's buffers.
    pub response_time: Duration,
    /// How long one may take until the whole head of a request is there: from its beginning, and
    /// from the end of the former answer. So an idle one ends after it too.
    pub header_time: Duration,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long requests may take to finish once the server was asked to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 2_000,
            body_bytes: 64 << 20,
            response_time: Duration::from_secs(60),
            header_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }
}

/// Lets this process open as many files as it may (`RLIMIT_NOFILE`): each connection is one.
/// Answers how many those are; nothing where there is no bound.
pub fn raise_file_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    }
}
