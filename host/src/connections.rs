//! The open connections of a server: how many there may be, and which of them wait for their client.
//!
//! It must not know HTTP. A connection waits for its client while it has no complete request and while its answer has
//! not been taken. It is closed when that takes too long, or earlier if its place is needed.
//!
//! One sweep bounds all these waits. hyper itself only has a timeout for the head of a request, and sets a timer for
//! each request for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The time between two searches for connections that have waited too long.
const SWEEP: Duration = Duration::from_millis(250);

/// The open connections of a server.
pub(crate) struct Connections {
    /// The largest number of connections.
    bound: usize,
    open: Mutex<Open>,
    /// Notified when a connection has been closed.
    closed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    peers: HashMap<u64, Arc<Peer>>,
}

/// The other side of a connection.
#[derive(Debug)]
struct Peer {
    state: Mutex<State>,
    /// Notified when the connection must be closed.
    close: Notify,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Waits for the client.
    Waiting { since: Instant, limit: Duration },
    /// Works for the client.
    Working,
    /// Closes.
    Closing,
}

/// The place of one connection, which is free again when this is dropped.
pub(crate) struct Connection {
    connections: Arc<Connections>,
    number: u64,
    peer: Arc<Peer>,
}

impl Connections {
    /// Returns no connections, with a bound on their number.
    pub(crate) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self { bound, open: Mutex::default(), closed: Notify::new() })
    }

    /// Takes a place for a connection, whose client has `limit` to send its first request.
    ///
    /// If no place is free, the connection that has waited for its client the longest is closed, so that idle and slow
    /// clients cannot keep out others, however many connections they have. If no connection waits for its client, all of
    /// them work, and the new one waits until one is closed or waits for its client. The kernel queues further
    /// connections meanwhile.
    pub(crate) async fn place(self: &Arc<Self>, limit: Duration) -> Connection {
        loop {
            let mut closed = std::pin::pin!(self.closed.notified());
            closed.as_mut().enable();
            {
                let mut open = self.open();
                if open.peers.len() < self.bound {
                    return self.occupy(&mut open, limit);
                }
                close_longest_waiting(&open);
            }
            // A connection that begins to wait sends no notice, so look again after some time.
            let _ = tokio::time::timeout(SWEEP, closed).await;
        }
    }

    fn occupy(self: &Arc<Self>, open: &mut Open, limit: Duration) -> Connection {
        let state = Mutex::new(State::Waiting { since: Instant::now(), limit });
        let peer = Arc::new(Peer { state, close: Notify::new() });
        let number = open.next;
        open.next += 1;
        open.peers.insert(number, peer.clone());
        Connection { connections: self.clone(), number, peer }
    }

    /// Closes connections that have waited too long, until this future is dropped.
    pub(crate) async fn sweep(&self) {
        let mut interval = interval(SWEEP);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = interval.tick().await;
            for peer in self.open().peers.values() {
                peer.close_if(|since, limit| now.saturating_duration_since(since) > limit);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close_longest_waiting(open: &Open) {
    let mut longest: Option<(Instant, &Peer)> = None;
    for peer in open.peers.values() {
        match *peer.state() {
            State::Waiting { since, .. } if longest.is_none_or(|(earliest, _)| since < earliest) => {
                longest = Some((since, peer));
            }
            // Its place is about to be free.
            State::Closing => return,
            State::Waiting { .. } | State::Working => {}
        }
    }
    if let Some((earliest, peer)) = longest {
        peer.close_if(|since, _| since == earliest);
    }
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection if it waits, and has waited for as long as `condition` says.
    fn close_if(&self, condition: impl FnOnce(Instant, Duration) -> bool) {
        let mut state = self.state();
        if let State::Waiting { since, limit } = *state
            && condition(since, limit)
        {
            *state = State::Closing;
            self.close.notify_one();
        }
    }

    fn change(&self, to: State) -> bool {
        let mut state = self.state();
        let is_open = !matches!(*state, State::Closing);
        if is_open {
            *state = to;
        }
        is_open
    }
}

impl Connection {
    /// Returns a handle that a request can keep.
    pub(crate) fn client(&self) -> Client {
        Client(self.peer.clone())
    }

    /// Completes when the connection must be closed.
    pub(crate) async fn closing(&self) {
        self.peer.close.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.open().peers.remove(&self.number);
        self.connections.closed.notify_one();
    }
}

/// The client of a connection, as its requests see it.
#[derive(Clone)]
pub(crate) struct Client(Arc<Peer>);

impl Client {
    /// States that the connection waits for the client from now on, and how long it may wait.
    pub(crate) fn wait(&self, limit: Duration) {
        self.0.change(State::Waiting { since: Instant::now(), limit });
    }

    /// States that the connection works for the client. Returns false if it closes, so that nobody would get the answer.
    pub(crate) fn work(&self) -> bool {
        self.0.change(State::Working)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn the_longest_waiting_connection_makes_room() {
        let connections = Connections::new(2);
        let first = connections.place(LONG).await;
        let second = connections.place(LONG).await;
        // The first gets an answer, so the second has waited longer.
        assert!(first.client().work());
        first.client().wait(LONG);
        let third = tokio::spawn({
            let connections = connections.clone();
            async move { connections.place(LONG).await }
        });
        second.closing().await;
        assert!(!second.client().work(), "nobody waits for its answer");
        drop(second);
        third.await.unwrap();
        assert!(first.client().work());
    }

    #[tokio::test]
    async fn a_working_connection_keeps_its_place() {
        let connections = Connections::new(1);
        let first = connections.place(LONG).await;
        assert!(first.client().work());
        let second = tokio::spawn({
            let connections = connections.clone();
            async move { connections.place(LONG).await }
        });
        let closing = first.closing();
        assert!(tokio::time::timeout(Duration::from_secs(1), closing).await.is_err());
        first.client().wait(LONG);
        first.closing().await;
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_limit() {
        const LIMIT: Duration = Duration::from_secs(1);
        let connections = Connections::new(9);
        let sweep = tokio::spawn({
            let connections = connections.clone();
            async move { connections.sweep().await }
        });
        let begin = Instant::now();
        let (idle, working) = (connections.place(LIMIT).await, connections.place(Duration::ZERO).await);
        assert!(working.client().work());
        idle.closing().await;
        assert!(begin.elapsed() >= LIMIT && begin.elapsed() < 20 * LIMIT);
        assert!(working.client().work());
        sweep.abort();
    }
}
