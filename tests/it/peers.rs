//! Clients that are slow, idle, or gone: what they hold, how long they hold it, and that others do not notice.
//!
//! The clients are plain sockets, so that no library hides what is on the wire. Waits end with the awaited event, and have
//! a bound for a slow machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use volume_snapshots_host::{ClientTimeouts, MemoryStore, Options};

use crate::socket::Server;
use crate::support::component::{ComponentService, runtime};
use crate::support::faults::{CallKind, Fault, Faults, When};
use crate::support::{OPS_TOKEN, client};

/// The bound of a wait.
const BOUND: Duration = Duration::from_secs(20);

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_secs(1);

/// The body of a request that creates a volume.
const VOLUME: &str = r#"{"volume":{"size":1}}"#;

/// A client's connection.
struct Peer(TcpStream);

impl Peer {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        Self(stream)
    }

    /// Sends bytes on a new connection.
    fn sends(address: SocketAddr, bytes: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.send(bytes);
        peer
    }

    fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).expect("written");
    }

    /// Closes the client's side. The client can still read.
    fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("closed");
    }

    /// Reads until the host closes the connection, which must be within [`BOUND`].
    fn rest(&mut self) -> String {
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("still open: {error}, after {}", String::from_utf8_lossy(&answer)),
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Reads the first bytes of an answer.
    fn first(&mut self) -> String {
        let mut part = [0; 4096];
        let length = self.0.read(&mut part).expect("an answer");
        String::from_utf8_lossy(&part[..length]).into_owned()
    }
}

/// Returns the head of a request that creates a volume, without its end.
fn post() -> String {
    "POST /v3/a1/volumes HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo:a1\r\nContent-Type: application/json\r\n".to_owned()
}

fn post_with_length(length: usize, body: &str) -> String {
    format!("{}Content-Length: {length}\r\n\r\n{body}", post())
}

fn post_in_chunks(chunks: &str) -> String {
    format!("{}Transfer-Encoding: chunked\r\n\r\n{chunks}", post())
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Asserts that other clients are served, and soon.
fn others_are_served(server: &Server) {
    let begin = Instant::now();
    for _ in 0..3 {
        // What was sent before has arrived by then.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(server.call("GET", "/healthcheck", &Value::Null), (200, json!("OK")));
    }
    assert!(begin.elapsed() < BOUND / 2);
}

fn volumes(server: &Server) -> usize {
    let (status, state) = server.call("GET", "/_ops/state", &Value::Null);
    assert_eq!(status, 200);
    state["volumes"].as_array().expect("a list").len()
}

fn timeouts(all: Duration) -> ClientTimeouts {
    ClientTimeouts { head: all, body: all, idle: all }
}

#[test]
fn a_body_that_has_not_arrived_holds_no_instance() {
    let server = Server::start_with(Options { invocations_at_once: 2, ..Options::default() });
    let mut peers: Vec<Peer> = (0..8).map(|_| Peer::sends(server.address, &post_with_length(90_000, "{"))).collect();
    peers.extend((0..8).map(|_| Peer::sends(server.address, &post_in_chunks(&chunk("{")))));
    others_are_served(&server);
    drop(peers);
    server.stop();
}

/// The host does not hold large bodies, but the requests that have one get only a part of the instances.
#[test]
fn large_bodies_that_have_not_arrived_leave_instances_for_others() {
    let server = Server::start_with(Options { invocations_at_once: 2, ..Options::default() });
    let request =
        format!("PUT /_ops/state HTTP/1.1\r\nHost: x\r\nX-Ops-Token: {OPS_TOKEN}\r\nContent-Length: 1000000\r\n\r\n{{");
    let peers: Vec<Peer> = (0..8).map(|_| Peer::sends(server.address, &request)).collect();
    others_are_served(&server);
    drop(peers);
    server.stop();
}

#[test]
fn a_body_that_is_cut_short_is_not_carried_out() {
    let store = Faults::new(Arc::new(MemoryStore::new()));
    let server =
        Server::start_with(Options { store: Arc::new(store.clone()), fires_schedule: false, ..Options::default() });
    others_are_served(&server);
    store.reset();
    let whole = chunk(VOLUME);
    for request in [
        post_with_length(VOLUME.len() + 50, VOLUME),
        post_in_chunks(&whole),
        post_in_chunks(&format!("{:x}\r\n{VOLUME}", VOLUME.len() + 50)),
        post_in_chunks(&format!("{whole}0\r\n")),
        post_in_chunks(&format!("{whole}zz\r\n")),
    ] {
        let mut peer = Peer::sends(server.address, &request);
        peer.end();
        let answer = peer.rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
        // This client does not even wait for an answer.
        drop(Peer::sends(server.address, &request));
    }
    assert_eq!(store.calls(), [], "the component has not started");
    assert_eq!(volumes(&server), 0);
    server.stop();
}

/// On Spin, and for large bodies here, the component reads the body while it arrives.
#[test]
fn a_body_that_fails_while_the_component_reads_it_is_not_carried_out() {
    let service = ComponentService::new(&[]);
    let request = client("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1 } })).map(Bytes::from);
    let answer = runtime().block_on(service.app.handle_cut_short(request)).expect("an answer");
    assert_eq!(answer.status(), 400);
    assert_eq!(service.faults.commits(), 0);
    assert_eq!(service.app.output().lines(), [""; 0], "a client cannot fill the log");
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn a_body_in_chunks_that_is_too_large_is_refused_before_its_end() {
    let server = Server::start_with(Options::default());
    let mut peer = Peer::sends(server.address, &post_in_chunks(""));
    // Two parts more than the component takes. There is no last chunk.
    for _ in 0..9 {
        peer.send(&chunk(&"a".repeat(16 << 10)));
    }
    let answer = peer.rest();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("max_request_body_size"), "{answer}");
    server.stop();
}

#[test]
fn a_body_that_says_that_it_is_too_large_is_refused_before_it_arrives() {
    let server = Server::start_with(Options::default());
    let answer = Peer::sends(server.address, &post_with_length(1_000_000_000, "")).rest();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("max_request_body_size"), "{answer}");
    server.stop();
}

#[test]
fn a_large_body_of_an_operator_arrives_whole() {
    let server = Server::start_with(Options { fires_schedule: false, ..Options::default() });
    let document = json!({ "volumes": [{ "description": "d".repeat(1 << 20) }] }).to_string();
    let head = format!("PUT /_ops/state HTTP/1.1\r\nHost: x\r\nX-Ops-Token: {OPS_TOKEN}\r\nConnection: close\r\n");
    for body in [
        format!("Content-Length: {}\r\n\r\n{document}", document.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk(&document)),
    ] {
        let answer = Peer::sends(server.address, &format!("{head}{body}")).rest();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(volumes(&server), 1);
        assert_eq!(server.call("PUT", "/_ops/state", &json!({})).0, 200);
    }
    server.stop();
}

#[test]
fn a_client_that_keeps_the_host_waiting_is_disconnected() {
    let server = Server::start_with(Options { client_timeouts: timeouts(SHORT), ..Options::default() });
    let get = "GET /healthcheck HTTP/1.1\r\nHost: x\r\n";
    let slow = [
        ("sends nothing", String::new(), ""),
        ("sends a part of a head", get.to_owned(), ""),
        ("sends a part of a body", post_with_length(100, "{"), ""),
        ("sends no second request", format!("{get}\r\n"), "HTTP/1.1 200 "),
        ("sends a part of a second request", format!("{get}\r\n{get}"), "HTTP/1.1 200 "),
    ];
    for (what, request, answered) in slow {
        let begin = Instant::now();
        let answer = Peer::sends(server.address, &request).rest();
        assert!(answer.starts_with(answered) && (answered.is_empty() == answer.is_empty()), "{what}: {answer}");
        assert!(begin.elapsed() >= SHORT, "{what}");
    }
    others_are_served(&server);
    server.stop();
}

#[test]
fn each_step_has_a_time_of_its_own() {
    let server = Server::start_with(Options { client_timeouts: timeouts(3 * SHORT), ..Options::default() });
    let mut peer = Peer::connect(server.address);
    let begin = Instant::now();
    for _ in 0..2 {
        let (head, body) = (post_with_length(VOLUME.len(), ""), VOLUME);
        std::thread::sleep(SHORT);
        peer.send(&head);
        std::thread::sleep(SHORT);
        peer.send(body);
        assert!(peer.first().starts_with("HTTP/1.1 202 "));
    }
    assert!(begin.elapsed() >= 4 * SHORT, "together they take longer than one time");
    drop(peer);
    server.stop();
}

/// The answer must be larger than what the kernel takes for a client that does not read.
#[test]
fn a_client_that_does_not_take_its_answer_is_disconnected() {
    let server =
        Server::start_with(Options { client_timeouts: timeouts(SHORT), fires_schedule: false, ..Options::default() });
    let document = json!({ "volumes": (0..60).map(|number| json!({
        "id": format!("aaaaaaaa-0000-4000-8000-{number:012}"), "description": "d".repeat(1 << 18),
    })).collect::<Vec<_>>() });
    assert_eq!(server.call("PUT", "/_ops/state", &document).0, 200);
    let request = format!("GET /_ops/state HTTP/1.1\r\nHost: x\r\nX-Ops-Token: {OPS_TOKEN}\r\n\r\n");
    let mut peer = Peer::sends(server.address, &request);
    std::thread::sleep(3 * SHORT);
    let answer = peer.rest();
    assert!(answer.len() < document.to_string().len(), "the host has not waited for the client");
    others_are_served(&server);
    server.stop();
}

#[test]
fn clients_without_a_complete_request_make_room_for_others() {
    const CONNECTIONS: usize = 6;
    let server = Server::start_with(Options { connections: CONNECTIONS, ..Options::default() });
    let requests = ["", "GET /healthcheck HTTP/1.1\r\n", &post_with_length(100, "{")];
    let mut peers: Vec<Peer> =
        (0..3 * CONNECTIONS).map(|number| Peer::sends(server.address, requests[number % requests.len()])).collect();
    for _ in 0..CONNECTIONS {
        others_are_served(&server);
    }
    assert_eq!(peers[0].rest(), "", "the first has waited the longest");
    drop(peers);
    server.stop();
}

/// Holds the next write to the store until the returned sender sends. The returned receiver tells when it is reached.
fn hold_next_write(store: &Faults) -> (mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (release, released) = mpsc::channel();
    let (reached, is_reached) = mpsc::channel();
    let released = Mutex::new(released);
    let hold = move || {
        reached.send(()).expect("somebody waits");
        released.lock().expect("one reader").recv_timeout(BOUND).expect("released");
    };
    store.plan(When::Next(CallKind::SetMany), Fault::run(hold));
    (release, is_reached)
}

#[test]
fn a_request_that_waits_too_long_for_an_instance_is_told_to_come_again() {
    let store = Faults::new(Arc::new(MemoryStore::new()));
    let server = Server::start_with(Options {
        store: Arc::new(store.clone()),
        invocations_at_once: 1,
        longest_wait: SHORT,
        fires_schedule: false,
        ..Options::default()
    });
    let (release, is_reached) = hold_next_write(&store);
    let mut first = Peer::sends(server.address, &post_with_length(VOLUME.len(), VOLUME));
    is_reached.recv_timeout(BOUND).expect("the first request writes");
    let begin = Instant::now();
    let answer = Peer::sends(server.address, "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n").first();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(begin.elapsed() >= SHORT);
    release.send(()).expect("the first request waits");
    assert!(first.first().starts_with("HTTP/1.1 202 "));
    others_are_served(&server);
    server.stop();
}

#[test]
fn the_wait_for_an_instance_does_not_count_to_the_deadline() {
    const REQUESTS: u32 = 6;
    let store = Faults::new(Arc::new(MemoryStore::new()));
    let server = Server::start_with(Options {
        store: Arc::new(store.clone()),
        invocations_at_once: 1,
        longest_wait: BOUND,
        deadline: (REQUESTS - 2) * SHORT,
        fires_schedule: false,
        ..Options::default()
    });
    store.plan(When::Every(CallKind::SetMany), Fault::run(|| std::thread::sleep(SHORT)));
    let request = post_with_length(VOLUME.len(), VOLUME);
    let begin = Instant::now();
    let mut peers: Vec<Peer> = (0..REQUESTS).map(|_| Peer::sends(server.address, &request)).collect();
    for peer in &mut peers {
        let answer = peer.first();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
    assert!(begin.elapsed() >= REQUESTS * SHORT, "one after the other");
    drop(peers);
    server.stop();
}

#[test]
fn a_client_that_has_ended_its_side_gets_its_answer() {
    let server = Server::start_with(Options::default());
    for request in ["GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n", &post_with_length(VOLUME.len(), VOLUME)] {
        let mut peer = Peer::sends(server.address, request);
        peer.end();
        let answer = peer.rest();
        assert!(answer.starts_with("HTTP/1.1 20"), "{request}: {answer}");
    }
    server.stop();
}

#[test]
fn a_request_has_one_host() {
    let server = Server::start_with(Options::default());
    for hosts in ["Host: x\r\nHost: y\r\n", "Host: x\r\nHost: x\r\n", "Host: a b@c/d\r\n", ""] {
        let answer = Peer::sends(server.address, &format!("GET /healthcheck HTTP/1.1\r\n{hosts}\r\n")).first();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts}: {answer}");
    }
    // The host of an absolute target counts, and the header is ignored.
    let answer = Peer::sends(server.address, "GET http://target:1/v3/ HTTP/1.1\r\nHost: header:2\r\n\r\n").first();
    assert!(answer.contains("http://target:1/v3/") && !answer.contains("header:2"), "{answer}");
    server.stop();
}

#[test]
fn a_header_of_any_bytes_is_served_and_writes_no_line() {
    let server = Server::start_with(Options::default());
    for name in ["X-Any", "Accept", "X-Auth-Token", "X-Forwarded-Host", "User-Agent", "Cookie", "OpenStack-API-Version"]
    {
        let mut peer = Peer::connect(server.address);
        let head = format!("GET /healthcheck HTTP/1.1\r\nHost: x\r\n{name}: ");
        let request = [head.as_bytes(), &(0x80..=0xff).collect::<Vec<u8>>(), b"\r\n\r\n"].concat();
        peer.0.write_all(&request).expect("written");
        let answer = peer.first();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
    }
    assert_eq!(server.app.output().lines(), [""; 0]);
    server.stop();
}
