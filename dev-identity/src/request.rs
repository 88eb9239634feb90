//! Requests and answers, as the shell passes them.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{Method, StatusCode};
use serde_json::Value;

/// The headers that a proxy adds, apart from those that begin with [`PROXY_PREFIX`]. A client behind one is somewhere else
/// than the address of the connection says.
const PROXY: [&str; 3] = ["forwarded", "via", "x-real-ip"];
/// The beginning of the names of other headers of proxies, such as `X-Forwarded-For`.
const PROXY_PREFIX: &str = "x-forwarded-";

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

    /// Returns whether the client is on this machine, as far as this service can know.
    ///
    /// The server appends its `spin-client-addr` to those that a client sends, so the last one counts. The host that the
    /// client named must be this machine too. It is another one if a page of another site sends the request to a name
    /// that leads here (DNS rebinding), and behind most proxies that add no header.
    ///
    /// A dashboard is not a proxy. Its `Forwarded` counts as the address of its user.
    #[must_use]
    pub fn is_from_loopback(&self) -> bool {
        let address = self.all("spin-client-addr").last().and_then(|value| std::str::from_utf8(value).ok());
        let address = address.and_then(|value| {
            let address = value.parse::<SocketAddr>().map(|address| address.ip());
            address.or_else(|_| value.parse::<IpAddr>()).ok()
        });
        let is_of_proxy = |name: &str| PROXY.contains(&name) || name.starts_with(PROXY_PREFIX);
        let is_proxied = self
            .headers
            .iter()
            .any(|(name, value)| is_of_proxy(name) && !(name == "forwarded" && is_of_dashboard(value)));
        !is_proxied && self.names_this_machine() && address.is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Returns whether the request names a host, and only `localhost` or loopback addresses.
    fn names_this_machine(&self) -> bool {
        let of_header = self.all("host").map(|host| std::str::from_utf8(host).unwrap_or_default());
        let mut hosts = of_header.chain(self.authority.as_deref()).peekable();
        hosts.peek().is_some() && hosts.all(is_this_machine)
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

/// Returns whether a host, with or without a port, is `localhost` or a loopback address.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.trim().parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback = address.is_ok_and(|address| address.to_canonical().is_loopback());
    !host.contains('@') && (is_loopback || name.eq_ignore_ascii_case("localhost"))
}

/// Returns whether a `Forwarded` is the one with which Horizon names the address of a browser on this machine:
/// `for=127.0.0.1;by=` and the name of its HTTP client. A proxy that adds its own element, or writes another one, has
/// seen a client that may be elsewhere.
fn is_of_dashboard(forwarded: &[u8]) -> bool {
    let Some((client, by)) = std::str::from_utf8(forwarded).ok().and_then(|value| value.split_once(';')) else {
        return false;
    };
    let address = client.strip_prefix("for=").and_then(|address| address.parse::<IpAddr>().ok());
    let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
    let is_one_element = !by.contains([',', ';']);
    is_loopback && is_one_element && by.starts_with("by=") && by.contains("keystoneauth1/")
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
        let message = "The requested URL was not found on the server. If you entered the URL manually please check your \
                       spelling and try again.";
        Self::html(StatusCode::NOT_FOUND, message)
    }

    /// Returns an answer of Keystone's web framework, with an empty body for an empty message.
    pub(crate) fn html(status: StatusCode, message: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        let body = format!(
            "<!doctype html>\n<html lang=en>\n<title>{} {reason}</title>\n<h1>{reason}</h1>\n<p>{message}</p>\n",
            status.as_u16()
        );
        Self {
            status,
            headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
            body: if message.is_empty() { Vec::new() } else { body.into() },
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
        let here = ("host", "localhost:3000");
        let this_machine = (client, "127.0.0.1:4000");
        let of_horizon =
            ("forwarded", "for=127.0.0.1;by=openstack_auth keystoneauth1/5.18.1 python-requests/2.34.2 CPython/3.11.7");
        for (headers, expected) in [
            (&[here, this_machine][..], true),
            (&[here, (client, "127.9.9.9:4000")], true),
            (&[here, (client, "[::1]:4000")], true),
            (&[here, (client, "[::ffff:127.0.0.1]:4000")], true),
            (&[here, (client, "127.0.0.1")], true),
            (&[here], false),
            (&[here, (client, "")], false),
            (&[here, (client, "0.0.0.0:0")], false),
            (&[here, (client, "10.0.0.1:4000")], false),
            (&[here, (client, "[::ffff:10.0.0.1]:4000")], false),
            (&[here, (client, "127.0.0.1:4000"), (client, "10.0.0.1:4000")], false),
            (&[here, (client, "10.0.0.1:4000"), (client, "127.0.0.1:4000")], true),
            (&[here, this_machine, ("x-forwarded-for", "127.0.0.1")], false),
            (&[here, this_machine, ("x-forwarded-host", "localhost")], false),
            (&[here, this_machine, ("x-forwarded-proto", "https")], false),
            (&[here, this_machine, ("x-forwarded-port", "")], false),
            (&[here, this_machine, ("x-real-ip", "127.0.0.1")], false),
            (&[here, this_machine, ("forwarded", "for=10.0.0.1")], false),
            (&[here, this_machine, ("forwarded", "for=127.0.0.1")], false),
            (&[here, this_machine, ("forwarded", "for=127.0.0.1;by=proxy")], false),
            (&[here, this_machine, of_horizon], true),
            (&[here, this_machine, ("forwarded", "for=::1;by=keystoneauth1/5.18.1")], true),
            (&[here, this_machine, ("forwarded", "for=10.0.0.1;by=keystoneauth1/5.18.1")], false),
            (&[here, this_machine, ("forwarded", "for=127.0.0.1;by=keystoneauth1/5.18.1, for=10.0.0.1")], false),
            (&[here, this_machine, ("forwarded", "for=10.0.0.1, for=127.0.0.1;by=keystoneauth1/5.18.1")], false),
            (&[here, this_machine, ("forwarded", "for=127.0.0.1;by=keystoneauth1/5.18.1;host=a")], false),
            (&[here, this_machine, of_horizon, ("forwarded", "for=10.0.0.1")], false),
            (&[here, this_machine, of_horizon, ("via", "1.1 proxy")], false),
            (&[here, (client, "10.0.0.1:4000"), of_horizon], false),
            (&[here, this_machine, ("via", "1.1 proxy")], false),
        ] {
            assert_eq!(request(headers).is_from_loopback(), expected, "{headers:?}");
        }
    }

    #[test]
    fn only_a_request_to_this_machine_by_name_is_from_loopback() {
        for (hosts, expected) in [
            (&["localhost"][..], true),
            (&["LocalHost:3000"], true),
            (&["127.0.0.1:3000"], true),
            (&["127.1.2.3"], true),
            (&["[::1]:3000"], true),
            (&["[::1]"], true),
            (&["[::ffff:127.0.0.1]:80"], true),
            (&[], false),
            (&[""], false),
            (&["cloud.example.org:3000"], false),
            (&["localhost.example.org"], false),
            (&["127.0.0.1.example.org"], false),
            (&["user@localhost"], false),
            (&["localhost@example.org"], false),
            (&["10.0.0.1:3000"], false),
            (&["0.0.0.0:3000"], false),
            (&["localhost", "cloud.example.org"], false),
            (&["localhost, cloud.example.org"], false),
        ] {
            let mut headers = vec![("spin-client-addr", "127.0.0.1:4000")];
            headers.extend(hosts.iter().map(|host| ("host", *host)));
            assert_eq!(request(&headers).is_from_loopback(), expected, "{hosts:?}");
            let [host] = hosts else { continue };
            // The target of the request names a host too, or alone.
            let of_target = |headers: &[(&str, &str)]| {
                Request { authority: Some((*host).to_owned()), ..request(headers) }.is_from_loopback()
            };
            let client = ("spin-client-addr", "127.0.0.1:4000");
            assert_eq!(
                (of_target(&[client]), of_target(&[client, ("host", "localhost")])),
                (expected, expected),
                "{host}"
            );
            assert!(!of_target(&[client, ("host", "cloud.example.org")]), "{host}");
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
