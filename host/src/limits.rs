//! The bounds of a server: how long it waits for clients, and how many connections its files allow.
//!
//! It must not know what is bounded.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// The files that the server keeps free of clients: those of the store and of the program, and one for each request that
/// a guest sends.
const OTHER_FILES: usize = 320;

/// The times that a client has. When one has passed, its connection is closed without an answer.
#[derive(Debug, Clone, Copy)]
pub struct ClientTimeouts {
    /// The time to send the head of the first request. By default 30 seconds.
    pub head: Duration,
    /// The time to send the body of a request, once its head has arrived. By default 30 seconds.
    pub body: Duration,
    /// The time to take an answer and send the head of the next request. By default a minute.
    pub idle: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), body: Duration::from_secs(30), idle: Duration::from_mins(1) }
    }
}

/// Raises the soft limit of open files to the hard limit, as servers do. The soft limit is low for the sake of programs
/// that use `select`, which cannot handle files with high numbers. If this fails, the limit stays.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Returns the number of connections that the limit of open files allows.
pub(crate) fn connections_by_files() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    files.map_or(usize::MAX, |files| connections_of(usize::try_from(files).unwrap_or(usize::MAX)))
}

/// Returns the number of connections for a limit of open files: at least half of it, and at least one.
fn connections_of(files: usize) -> usize {
    (files - OTHER_FILES.min(files / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_others() {
        for (files, connections) in [(1024, 704), (65_536, 65_216), (640, 320), (100, 50), (0, 1)] {
            assert_eq!(connections_of(files), connections, "{files}");
        }
    }
}
