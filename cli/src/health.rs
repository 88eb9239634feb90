//! One request to a running service, for the health check of a container.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::arguments::Health;

const PATH: &str = "/healthcheck";
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks a service whether it is healthy.
///
/// # Errors
///
/// Fails when it does not answer, or says that it is not.
pub fn check(health: &Health) -> Result<()> {
    let url = &health.url;
    let answer = ask(url).with_context(|| format!("{url} does not answer; start it with `volume-snapshots up`"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{url}{PATH} answered {status}; the log of the service says why");
    Ok(())
}

fn ask(url: &str) -> Result<String> {
    let uri: http::Uri = url.parse()?;
    let authority = uri.authority().context("the URL has no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let address = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs()?.next();
    let mut stream = TcpStream::connect_timeout(&address.context("the host is unknown")?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    let mut length = 0;
    // The status line is shorter than this.
    while length < "HTTP/1.1 200".len() {
        let read = stream.read(&mut answer[length..])?;
        ensure!(read > 0, "the connection was closed");
        length += read;
    }
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
