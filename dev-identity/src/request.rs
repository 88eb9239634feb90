//! Requests and answers, as the shell passes them.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{Method, StatusCode};
use serde_json::Value;

/// The headers that a proxy adds. A client behind one is somewhere else than the address of the connection says.
const PROXY: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// A request.
pub struct Request {
    pub method: Method,
    /// The percent-encoded path.
    pub path: String,
    /// The string behind the question mark, or an empty one.
    pub query: String,
    /// The headers, with names in lower case, in the order in which they came.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Body,
    pub is_https: bool,
    /// The host of the target, with the port if there is one.
    pub authority: Option<String>,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The whole body.
    Complete(Vec<u8>),
    /// A body that is larger than this service takes.
    TooLarge,
}

impl Request {
    /// Returns the value of a header that the request has exactly once. A repeated one means nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Some(std::str::from_utf8(value).ok()?.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the scheme and the host for links, as the main component does: the last host of `X-Forwarded-Host` wins
    /// over the request's own.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let forwarded = self.header("x-forwarded-host").and_then(|hosts| hosts.split(',').next_back()).map(str::trim);
        let hosts = [forwarded, self.header("host"), self.authority.as_deref()];
        let is_host = |host: &&str| host.parse::<Authority>().is_ok() && !host.contains('@');
        let host = hosts.into_iter().flatten().find(is_host).unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// Returns whether the client is on this machine, as far as the server knows.
    ///
    /// The server appends its `spin-client-addr` to those that a client sends, so the last one counts.
    #[must_use]
    pub fn is_from_loopback(&self) -> bool {
        let address = self.all("spin-client-addr").last().and_then(|value| std::str::from_utf8(value).ok());
        let address = address.and_then(|value| {
            let address = value.parse::<SocketAddr>().map(|address| address.ip());
            address.or_else(|_| value.parse::<IpAddr>()).ok()
        });
        let is_proxied = PROXY.iter().any(|name| self.all(name).next().is_some());
        !is_proxied && address.is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Returns whether the query has a parameter, with a value or without.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        form_urlencoded::parse(self.query.as_bytes()).any(|(own, _)| own == name)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_slice())
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) const fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Returns Keystone's answer outside its API, which is that of its web framework.
    pub(crate) fn not_found() -> Self {
        let body = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n\
                    <p>The requested URL was not found on the server. If you entered the URL manually please check \
                    your spelling and try again.</p>\n";
        Self {
            status: StatusCode::NOT_FOUND,
            headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Request {
            method: Method::GET,
            path: "/identity".to_owned(),
            query: String::new(),
            headers: headers.iter().map(owned).collect(),
            body: Body::Complete(Vec::new()),
            is_https: false,
            authority: None,
        }
    }

    #[test]
    fn only_a_client_on_this_machine_is_from_loopback() {
        let client = "spin-client-addr";
        for (headers, expected) in [
            (&[(client, "127.0.0.1:4000")][..], true),
            (&[(client, "127.9.9.9:4000")], true),
            (&[(client, "[::1]:4000")], true),
            (&[(client, "[::ffff:127.0.0.1]:4000")], true),
            (&[(client, "127.0.0.1")], true),
            (&[], false),
            (&[(client, "")], false),
            (&[(client, "0.0.0.0:0")], false),
            (&[(client, "10.0.0.1:4000")], false),
            (&[(client, "[::ffff:10.0.0.1]:4000")], false),
            (&[(client, "127.0.0.1:4000"), (client, "10.0.0.1:4000")], false),
            (&[(client, "10.0.0.1:4000"), (client, "127.0.0.1:4000")], true),
            (&[(client, "127.0.0.1:4000"), ("x-forwarded-for", "127.0.0.1")], false),
            (&[(client, "127.0.0.1:4000"), ("forwarded", "for=10.0.0.1")], false),
        ] {
            assert_eq!(request(headers).is_from_loopback(), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_origin_is_the_host_that_the_client_named() {
        for (headers, expected) in [
            (&[("host", "a:1")][..], "http://a:1"),
            (&[("host", "a:1"), ("x-forwarded-host", "b, c:2")], "http://c:2"),
            (&[("host", "a\" b")], "http://localhost"),
            (&[("host", "u@a")], "http://localhost"),
            (&[], "http://localhost"),
        ] {
            assert_eq!(request(headers).origin(), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_repeated_header_is_none() {
        assert_eq!(request(&[("x-auth-token", "a"), ("x-auth-token", "a")]).header("x-auth-token"), None);
        assert_eq!(request(&[("x-auth-token", " a ")]).header("x-auth-token"), Some("a"));
    }
}
