//! A Redis server for one test: on a free port, without files, and stopped when the test has ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The time that the server may take to answer.
const BOUND: Duration = Duration::from_secs(20);

/// The number of ports that are tried, because another process may take one before the server does.
const PORTS: usize = 5;

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    address: SocketAddr,
}

impl RedisServer {
    /// Starts a server. If the program is not installed, prints that and returns `None`, but fails in CI.
    pub fn start() -> Option<Self> {
        for _ in 0..PORTS {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = free.local_addr().expect("an address");
            drop(free);
            let arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "64", "--port"];
            let started = Command::new("redis-server")
                .args(arguments)
                .arg(address.port().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn();
            let process = match started {
                Ok(process) => process,
                Err(error) => {
                    let reason =
                        format!("nothing was tested on a Redis server, since redis-server cannot run: {error}");
                    assert!(std::env::var_os("CI").is_none(), "{reason}");
                    // The test harness hides the output of a test that passes, except for this.
                    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
                    return None;
                }
            };
            let mut server = Self { process, address };
            if server.answers() {
                return Some(server);
            }
        }
        panic!("redis-server ended by itself {PORTS} times");
    }

    /// Returns the URL of one of its databases.
    pub fn url(&self, database: usize) -> String {
        format!("redis://{}/{database}", self.address)
    }

    /// Waits until the server answers, and returns `false` if it has ended. The answer names the process, so another
    /// server on the port is not mistaken for it.
    fn answers(&mut self) -> bool {
        let own = format!("process_id:{}\r\n", self.process.id());
        let start = Instant::now();
        while start.elapsed() < BOUND {
            if self.process.try_wait().expect("a child's status").is_some() {
                return false;
            }
            let mut answer = String::new();
            let asked = TcpStream::connect(self.address).and_then(|mut stream| {
                stream.set_read_timeout(Some(BOUND))?;
                stream.write_all(b"INFO server\r\nQUIT\r\n")?;
                stream.read_to_string(&mut answer)
            });
            if asked.is_ok() && answer.contains(&own) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not answer on {}", self.address);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
