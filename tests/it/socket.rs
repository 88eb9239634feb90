//! The whole host: on a socket, with the schedule firing by itself, the data in SQLite files, and the machine's clock.
//! Details are tested in process. These tests check that the parts work together.
//!
//! These tests wait for real time. Each wait ends with the awaited event, and has a bound for a slow machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::support::OPS_TOKEN;
use crate::support::component::{application, runtime};
use crate::support::faults::{CallKind, Fault, Faults, When};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use volume_snapshots_host::{App, MemoryStore, Options, Output, SqliteStore, Store};

/// The bound of a wait.
const BOUND: Duration = Duration::from_secs(20);

/// A host that serves a store until it is dropped or stopped.
pub struct Server {
    pub app: App,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    fn start(file: &Path, variables: &[(&str, &str)], fires_schedule: bool) -> Self {
        Self::start_on(Arc::new(SqliteStore::open(file).expect("a SQLite file")), variables, fires_schedule)
    }

    fn start_on(store: Arc<dyn Store>, variables: &[(&str, &str)], fires_schedule: bool) -> Self {
        let options = Options { store, fires_schedule, ..Options::default() };
        Self::start_with(variables.iter().fold(options, |options, (name, value)| options.variable(name, value)))
    }

    /// Starts a host with options. The output is captured, and the operator's routes are open.
    pub fn start_with(options: Options) -> Self {
        runtime().block_on(async {
            let options = Options { output: Output::captured(), ..options }.variable("ops_token", OPS_TOKEN);
            let app = App::new(application(), options).expect("an app");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let (stop, stopped) = oneshot::channel::<()>();
            let served = app.clone();
            let serving = tokio::spawn(async move {
                let stopped = async {
                    let _ = stopped.await;
                };
                served.serve(listener, stopped).await.expect("a clean end");
            });
            Self { app, address, stop: Some(stop), serving: Some(serving) }
        })
    }

    /// Stops the host as a signal does, and waits until it has ended.
    pub fn stop(mut self) {
        let _ = self.stop.take().expect("not stopped").send(());
        let serving = self.serving.take().expect("serving");
        runtime().block_on(serving).expect("a clean end");
        assert_eq!(self.app.traps(), 0, "{:?}", self.app.output().lines());
    }

    /// Makes one call over its own connection. Returns the status and the body.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        call(self.address, method, path, body)
    }

    fn new_volume(&self) -> String {
        let (status, answer) = self.call("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1 } }));
        assert_eq!(status, 202, "{answer}");
        let id = answer["volume"]["id"].as_str().expect("an id").to_owned();
        self.wait_for(&format!("/v3/a1/volumes/{id}"), |status, body| {
            status == 200 && body["volume"]["status"] == "available"
        });
        id
    }

    fn new_snapshot(&self, volume: &str) -> String {
        let body = json!({ "snapshot": { "volume_id": volume, "name": "over the wire" } });
        let (status, answer) = self.call("POST", "/v3/a1/snapshots", &body);
        assert_eq!(status, 202, "{answer}");
        answer["snapshot"]["id"].as_str().expect("an id").to_owned()
    }

    /// Repeats a request until the answer is as wanted.
    fn wait_for(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) {
        let start = Instant::now();
        loop {
            let (status, body) = self.call("GET", path, &Value::Null);
            if wanted(status, &body) {
                return;
            }
            assert!(start.elapsed() < BOUND, "GET {path} still answers {status} {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A minimal client, so that no library between the socket and the test hides what the host writes.
fn call(address: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Auth-Token: demo:a1\r\n\
         X-Ops-Token: {OPS_TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream.write_all(body.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    assert_eq!(length, Some(body.len()), "every answer says how long it is: {head}");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}

/// A directory that is deleted after the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("volume-snapshots-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Returns the path of the file that Spin would use.
    fn file(&self) -> PathBuf {
        self.0.join("sqlite_key_value.db")
    }

    fn has_row(&self, key: &str) -> bool {
        let store = SqliteStore::open(self.file()).expect("a SQLite file");
        runtime().block_on(async { store.exists("default", key) }).expect("a readable file")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn over_a_socket_a_snapshot_lives_and_goes_by_itself_and_a_restart_loses_nothing() {
    let directory = Directory::new("life");
    let variables = [("create_seconds", "0.5"), ("delete_seconds", "0.5")];
    let server = Server::start(&directory.file(), &variables, true);
    assert_eq!(call(server.address, "GET", "/healthcheck", &Value::Null), (200, json!("OK")));
    let volume = server.new_volume();
    let id = server.new_snapshot(&volume);
    let path = format!("/v3/a1/snapshots/{id}");
    server.wait_for(&path, |status, body| {
        let row = &body["snapshot"];
        status == 200 && row["status"] == "available" && row["os-extended-snapshot-attributes:progress"] == "100%"
    });
    let kept = server.new_snapshot(&volume);
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 202);
    server.wait_for(&path, |status, _| status == 404);
    let start = Instant::now();
    while directory.has_row(&format!("vs1:snapshot:{id}")) {
        assert!(start.elapsed() < BOUND, "the schedule has not removed the row");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, state) = server.call("GET", "/_ops/state", &Value::Null);
    assert_eq!(status, 200);
    server.stop();

    let server = Server::start(&directory.file(), &variables, true);
    let (status, body) = server.call("GET", &format!("/v3/a1/snapshots/{kept}"), &Value::Null);
    assert_eq!((status, &body["snapshot"]["name"]), (200, &json!("over the wire")));
    assert_eq!(server.call("GET", &path, &Value::Null).0, 404);
    let (_, after) = server.call("GET", "/_ops/state", &Value::Null);
    assert_eq!((&after["volumes"], &after["quota_usage"]), (&state["volumes"], &state["quota_usage"]));
    server.stop();
}

#[test]
fn a_target_without_a_path_is_the_root() {
    let directory = Directory::new("root");
    let server = Server::start(&directory.file(), &[], false);
    let address = server.address;
    for target in ["/".to_owned(), "/?a=1".to_owned(), format!("http://{address}"), format!("http://{address}?a=1")] {
        let (status, body) = server.call("GET", &target, &Value::Null);
        assert_eq!(status, 300, "{target}: {body}");
    }
    server.stop();
}

/// With `immediate` progression only a tick completes work, so a change of status proves that the cron trigger of
/// `spin.toml` fired.
#[test]
fn the_schedule_of_the_manifest_fires_by_itself() {
    let directory = Directory::new("schedule");
    let server = Server::start(&directory.file(), &[("progression", "immediate")], true);
    let volume = server.new_volume();
    let id = server.new_snapshot(&volume);
    let path = format!("/v3/a1/snapshots/{id}");
    server.wait_for(&path, |_, body| body["snapshot"]["status"] == "available");
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 202);
    server.wait_for(&path, |status, _| status == 404);
    server.stop();
}

/// A head and a body that are sent separately are two small segments. If a server does not set `TCP_NODELAY`, as Spin
/// does not, the second waits about 40 ms for the client's acknowledgement of the first.
#[test]
fn an_answer_leaves_in_one_piece() {
    let directory = Directory::new("piece");
    let server = Server::start(&directory.file(), &[], false);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    let request = format!("GET /v3/a1/snapshots HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: demo:a1\r\n\r\n", server.address);
    for _ in 0..50 {
        stream.write_all(request.as_bytes()).expect("written");
        // On one machine, bytes that were sent in one call arrive in one read, without those that were sent later.
        let mut first = [0; 4096];
        let length = stream.read(&mut first).expect("an answer");
        let first = String::from_utf8_lossy(&first[..length]);
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.ends_with(r#"{"snapshots":[]}"#), "{first}");
    }
    drop(stream);
    server.stop();
}

/// The host takes a mebibyte of an answer at once. The rest follows while the client reads.
#[test]
fn an_answer_that_is_longer_than_the_host_takes_at_once_arrives_whole() {
    const SNAPSHOTS: usize = 10_000;
    let directory = Directory::new("long");
    let server = Server::start(&directory.file(), &[], false);
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    let snapshots: Vec<Value> = (0..SNAPSHOTS)
        .map(|number| json!({ "id": format!("bbbbbbbb-0000-4000-8000-{number:012}"), "project_id": "a1", "volume_id": volume }))
        .collect();
    let state = json!({ "volumes": [{ "id": volume, "project_id": "a1" }], "snapshots": snapshots });
    assert_eq!(server.call("PUT", "/_ops/state", &state).0 / 100, 2);
    let (status, answer) = server.call("GET", "/_ops/state", &Value::Null);
    assert_eq!((status, answer["snapshots"].as_array().map(Vec::len)), (200, Some(SNAPSHOTS)));
    assert!(answer.to_string().len() > 2 << 20, "or it is taken at once");
    server.stop();
}

/// The guest continues, and its writes would be lost if the process ended first.
#[test]
fn a_request_whose_client_has_left_ends_before_the_server_does() {
    let store = Faults::new(Arc::new(MemoryStore::new()));
    let server = Server::start_on(Arc::new(store.clone()), &[], false);
    let (reached, is_reached) = mpsc::channel();
    let slow = move || {
        reached.send(()).expect("somebody waits");
        std::thread::sleep(Duration::from_millis(500));
    };
    store.plan(When::Next(CallKind::SetMany), Fault::run(slow));
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let body = json!({ "volume": { "size": 1 } }).to_string();
    let (address, length) = (server.address, body.len());
    // The first answer is never read, so the kernel resets the connection when it is closed. A plain end would not tell
    // the server that nobody waits for the second answer.
    let requests = format!(
        "GET /healthcheck HTTP/1.1\r\nHost: {address}\r\n\r\n\
         POST /v3/a1/volumes HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: demo:a1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(requests.as_bytes()).expect("written");
    is_reached.recv_timeout(BOUND).expect("the volume is written");
    drop(stream);
    // Wait until the connection is gone before the server stops.
    std::thread::sleep(Duration::from_millis(100));
    server.stop();
    let rows = store.get_keys("default").expect("a store");
    assert!(rows.iter().any(|key| key.starts_with("vs1:volume:")), "{rows:?}");
}

/// Spin runs the HTTP trigger and the cron trigger in two processes on one file. Two apps that only share the file
/// stand for them. Both write, and both run ticks.
#[test]
fn two_hosts_on_one_file_lose_nothing() {
    const WRITERS: usize = 4;
    const EACH: usize = 10;
    let directory = Directory::new("two");
    let variables = [("create_seconds", "0"), ("delete_seconds", "0"), ("quota_snapshots", "-1")];
    let servers = [0, 1].map(|_| Server::start(&directory.file(), &variables, true));
    let volume = servers[0].new_volume();
    let shared = servers[0].new_snapshot(&volume);
    let addresses = [servers[0].address, servers[1].address];

    let (volume, shared) = (volume.as_str(), shared.as_str());
    let mut created: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2 * WRITERS)
            .map(|writer| scope.spawn(move || write_much(addresses[writer % 2], writer, EACH, volume, shared)))
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    });
    created.push(shared.to_owned());
    created.sort();

    for server in &servers {
        let (_, list) = server.call("GET", "/v3/a1/snapshots", &Value::Null);
        let mut listed: Vec<&str> =
            list["snapshots"].as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
        listed.sort_unstable();
        assert_eq!(listed, created, "every create that was acknowledged is there, and every delete");
        let (_, metadata) = server.call("GET", &format!("/v3/a1/snapshots/{shared}/metadata"), &Value::Null);
        assert_eq!(metadata["metadata"].as_object().map(serde_json::Map::len), Some(2 * WRITERS * EACH));
    }
    let start = Instant::now();
    loop {
        let (_, state) = servers[1].call("GET", "/_ops/state", &Value::Null);
        let in_use = &state["quota_usage"]["a1"]["snapshots"]["in_use"];
        if *in_use == json!(created.len()) {
            break;
        }
        assert!(start.elapsed() < BOUND, "{in_use} in use, {} rows", created.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    for server in servers {
        server.stop();
    }
}

/// Creates snapshots, deletes every second one, and adds an item to the metadata of a shared one each time. Retries
/// after a 503. Returns the ids that are left.
fn write_much(address: SocketAddr, writer: usize, times: usize, volume: &str, shared: &str) -> Vec<String> {
    let insist = |method: &str, path: &str, body: &Value| {
        for _ in 0..20 {
            let (status, answer) = call(address, method, path, body);
            if status != 503 {
                return (status, answer);
            }
        }
        panic!("{method} {path} is answered 503 twenty times")
    };
    let mut left = Vec::new();
    for number in 0..times {
        // A create that failed with a 503 for contention has left nothing, so it may be retried.
        let body = json!({ "snapshot": { "volume_id": volume } });
        let (status, answer) = insist("POST", "/v3/a1/snapshots", &body);
        assert_eq!(status, 202, "{answer}");
        let id = answer["snapshot"]["id"].as_str().expect("an id").to_owned();
        let metadata = json!({ "metadata": { format!("{writer}-{number}"): "here" } });
        let (status, answer) = insist("POST", &format!("/v3/a1/snapshots/{shared}/metadata"), &metadata);
        assert_eq!(status, 200, "{answer}");
        if number % 2 == 0 {
            let (status, answer) = insist("DELETE", &format!("/v3/a1/snapshots/{id}"), &Value::Null);
            assert_eq!(status, 202, "{answer}");
        } else {
            left.push(id);
        }
    }
    left
}
