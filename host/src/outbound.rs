//! Requests that a guest sends: the hosts it may call, and the sending.
//!
//! It must not know which hosts our components call. Hosts have the form of Spin's `allowed_outbound_hosts`. Address
//! ranges, port ranges, and `self` are not offered, and are refused when the manifest is read. Only plain HTTP is sent:
//! TLS would double the libraries of this host, which is for tests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Uri;
use http::uri::Scheme;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};

use crate::app::App;
use crate::chaining::{self, INTERNAL};

/// The timeout if the guest sets none, as in Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The guests' requests that are sent at once. It is a quarter of the invocations that run at once, so that a server that
/// answers slowly cannot hold them all.
pub(crate) const SENT_AT_ONCE: usize = 64;

/// The hosts that a guest may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    hosts: Vec<AllowedHost>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AllowedHost {
    /// `None` allows every scheme.
    scheme: Option<String>,
    host: Host,
    /// `None` allows every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// Every name that ends with this string, which starts with a dot.
    EndsWith(String),
    Exactly(String),
}

impl AllowedHosts {
    /// Parses the entries of `allowed_outbound_hosts`, after their templates have been resolved.
    ///
    /// # Errors
    ///
    /// Fails when an entry is not `<scheme>://<host>[:<port>]`, with `*` allowed for each, or has a form that only Spin
    /// offers.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let hosts = entries
            .into_iter()
            .map(|entry| AllowedHost::parse(entry).with_context(|| format!("allowed outbound host {entry:?}")))
            .collect::<Result<_>>()?;
        Ok(Self { hosts })
    }

    /// Replaces the entries for all components, `*.spin.internal`, by one for each of these ids, as Spin does.
    #[must_use]
    pub(crate) fn for_components(self, ids: &[&str]) -> Self {
        let expand = |allowed: AllowedHost| match &allowed.host {
            Host::EndsWith(suffix) if suffix == INTERNAL => {
                let host =
                    |id: &&str| AllowedHost { host: Host::Exactly(format!("{id}{INTERNAL}")), ..allowed.clone() };
                ids.iter().map(host).collect()
            }
            _ => vec![allowed],
        };
        Self { hosts: self.hosts.into_iter().flat_map(expand).collect() }
    }

    /// Whether a request may go to this URI.
    pub fn allow(&self, uri: &Uri) -> bool {
        self.hosts.iter().any(|allowed| allowed.allows(uri))
    }
}

impl AllowedHost {
    fn parse(entry: &str) -> Result<Self> {
        let (scheme, rest) =
            entry.trim().split_once("://").context("it does not contain a scheme, such as http:// or *://")?;
        let (host, port) = match rest.rsplit_once(':') {
            // A colon within an IPv6 address in brackets does not start a port.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (rest, ""),
        };
        let (port, path) = port.split_once('/').unwrap_or((port, ""));
        let host = host.trim_end_matches('/');
        ensure!(path.is_empty() && !host.contains('/'), "it has a path but is not allowed to");
        let scheme = match scheme {
            "*" => None,
            name if !name.is_empty() && name.chars().all(char::is_alphabetic) => Some(name.to_owned()),
            _ => bail!("a scheme has only letters"),
        };
        let port = match (port, &scheme) {
            ("*", _) => None,
            ("", Some(scheme)) => {
                Some(known_port(scheme).with_context(|| format!("scheme {scheme:?} has no known port"))?)
            }
            ("", None) => bail!("it has no port, and no scheme that has a known one"),
            (number, _) => Some(number.parse().with_context(|| format!("port {number:?} is not a number"))?),
        };
        Ok(Self { scheme, host: Host::parse(host)?, port })
    }

    fn allows(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let port = uri.port_u16().or_else(|| known_port(scheme));
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && self.host.allows(host)
            && (self.port.is_none() || self.port == port)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self> {
        Ok(match host.to_ascii_lowercase().as_str() {
            "" => bail!("it has no host"),
            "*" => Self::Any,
            "self" | "self.alt" => {
                bail!("this host knows no `self`; name a component, such as http://name.spin.internal")
            }
            host if host.starts_with("*.") && !host[2..].contains('*') => Self::EndsWith(host[1..].to_owned()),
            host if host.contains('*') => bail!("wildcards are allowed only as subdomains"),
            host => Self::Exactly(host.to_owned()),
        })
    }

    fn allows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::EndsWith(suffix) => host.ends_with(suffix.as_str()),
            Self::Exactly(name) => host == *name,
        }
    }
}

fn known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Sends a guest's requests.
pub(crate) struct Outbound {
    app: App,
    allowed: Arc<AllowedHosts>,
    permits: Arc<Semaphore>,
}

impl Outbound {
    /// Returns the sender of a guest of an app. All guests of the app have the same permits.
    pub(crate) fn new(app: App, allowed: Arc<AllowedHosts>, permits: Arc<Semaphore>) -> Self {
        Self { app, allowed, permits }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.allowed.fmt(formatter)
    }
}

/// An answer, and the work of the connection that it came over.
pub(crate) type Sent =
    Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let allowed = self.allowed.allow(request.uri());
        let (app, permits) = (self.app.clone(), self.permits.clone());
        Box::new(async move {
            let uri = request.uri();
            if !allowed {
                app.output().report(&format!(
                    "a guest's request to {} was refused: allowed_outbound_hosts does not name it",
                    destination(uri)
                ));
                return Err(HttpError::HttpRequestDenied);
            }
            let options = options.unwrap_or_default();
            if let Some(id) = uri.host().and_then(chaining::component_of) {
                let id = id.to_owned();
                return chaining::send(&app, &id, request, answer_timeout(&options)).await;
            }
            if uri.scheme() != Some(&Scheme::HTTP) {
                let why = "this host sends plain HTTP only";
                app.output().report(&format!("a guest's request to {} failed: {why}", destination(uri)));
                return Err(HttpError::TlsProtocolError);
            }
            // A guest that waited here would hold its slot, so it is refused instead.
            let permit = permits.try_acquire_owned().map_err(|_| HttpError::ConnectionLimitReached)?;
            send(request, &options, permit).await
        })
    }
}

/// Returns the scheme and authority of a request, without its path and query, which may hold secrets.
fn destination(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    match uri.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Returns the time in which the head of an answer must arrive.
fn answer_timeout(options: &RequestOptions) -> Duration {
    options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT)
}

/// Sends one request over a connection of its own, which keeps the permit until it ends.
async fn send(mut request: http::Request<WasiBody>, options: &RequestOptions, permit: OwnedSemaphorePermit) -> Sent {
    let connect_timeout = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let host = request.uri().host().ok_or(HttpError::HttpRequestUriInvalid)?;
    let address = format!("{host}:{}", request.uri().port_u16().unwrap_or(80));
    let stream = timeout(connect_timeout, TcpStream::connect(&address))
        .await
        .map_err(|_| HttpError::ConnectionTimeout)?
        .map_err(HttpError::Connect)?;
    // Without this the small segments of a request with a body wait for each other.
    stream.set_nodelay(true).map_err(HttpError::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection must be polled while the answer is awaited and its body is read. It ends by itself once the answer
    // has been read or dropped.
    let connection = tokio::spawn(async move {
        let ended = connection.await;
        drop(permit);
        ended
    });

    // A server expects only the path.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| HttpError::HttpRequestUriInvalid)?;
    let response = timeout(answer_timeout(options), sender.send_request(request))
        .await
        .map_err(|_| HttpError::ConnectionReadTimeout)??;
    let ended = async move {
        match connection.await {
            Ok(ended) => ended.map_err(HttpError::from),
            Err(_) => Err(HttpError::ConnectionTerminated),
        }
    };
    Ok((response.map(|body| body.map_err(HttpError::from).boxed_unsync()), Box::new(ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_as_in_spin() {
        for (entry, uri, allowed) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/v3", true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/v3", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1/v3", false),
            ("http://127.0.0.1:5000", "https://127.0.0.1:5000/v3", false),
            ("http://127.0.0.1:5000", "http://127.0.0.2:5000/v3", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/", true),
            ("http://keystone", "http://keystone:80/v3", true),
            ("http://keystone", "http://keystone/v3", true),
            ("http://keystone", "http://keystone:5000/v3", false),
            ("http://Keystone", "http://kEYSTONE/v3", true),
            ("https://*:443", "https://keystone.example/v3", true),
            ("https://*:443", "https://keystone.example:8443/v3", false),
            ("http://*", "http://keystone/", true),
            ("http://*", "http://keystone:5000/", false),
            ("http://*:*", "http://keystone:5000/", true),
            ("*://*:*", "https://keystone:5000/", true),
            ("*://keystone:5000", "https://keystone:5000/", true),
            ("http://*.example.com", "http://a.b.example.com/", true),
            ("http://*.example.com", "http://example.com/", false),
            ("http://*.example.com", "http://badexample.com/", false),
            ("http://[::1]:5000", "http://[::1]:5000/", true),
            ("http://[::1]", "http://[::1]/", true),
        ] {
            let hosts = AllowedHosts::parse([entry]).unwrap();
            assert_eq!(hosts.allow(&uri.parse().unwrap()), allowed, "{entry} {uri}");
        }
    }

    #[test]
    fn components_are_allowed_as_in_spin() {
        for (entry, uri, allowed) in [
            ("*://*:*", "http://identity.spin.internal/", true),
            ("*://*:*", "http://other.spin.internal/", true),
            ("http://identity.spin.internal", "http://identity.spin.internal/identity/v3", true),
            ("http://identity.spin.internal", "http://identity.spin.internal:80/", true),
            ("http://identity.spin.internal", "http://identity.spin.internal:81/", false),
            ("http://identity.spin.internal", "https://identity.spin.internal/", false),
            ("http://identity.spin.internal", "http://snapshots.spin.internal/", false),
            ("http://*.spin.internal", "http://snapshots.spin.internal/", true),
            ("http://*.spin.internal", "http://other.spin.internal/", false),
            ("http://*.spin.internal", "http://a.identity.spin.internal/", false),
            ("http://*", "http://identity.spin.internal/", true),
            ("http://127.0.0.1:5000", "http://identity.spin.internal/", false),
        ] {
            let hosts = AllowedHosts::parse([entry]).unwrap().for_components(&["identity", "snapshots"]);
            assert_eq!(hosts.allow(&uri.parse().unwrap()), allowed, "{entry} {uri}");
        }
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert!(!AllowedHosts::default().allow(&"http://127.0.0.1/".parse().unwrap()));
    }

    #[test]
    fn entries_of_another_form_are_refused() {
        for (entry, expected) in [
            ("", "does not contain a scheme"),
            ("*", "does not contain a scheme"),
            ("127.0.0.1:5000", "does not contain a scheme"),
            ("http://127.0.0.1:5000/v3", "it has a path"),
            ("http://127.0.0.1/v3", "it has a path"),
            ("http://", "it has no host"),
            ("http://keystone:port", "port \"port\" is not a number"),
            ("http://keystone:1..9", "port \"1..9\" is not a number"),
            ("*://keystone", "it has no port"),
            ("ftp://keystone", "scheme \"ftp\" has no known port"),
            ("h2c://keystone:1", "a scheme has only letters"),
            ("http://a.*.example", "wildcards are allowed only as subdomains"),
            ("http://10.0.0.0/8", "it has a path"),
            ("http://self", "this host knows no `self`"),
        ] {
            let error = format!("{:#}", AllowedHosts::parse([entry]).unwrap_err());
            assert!(error.contains(expected), "{entry:?}: {error}");
        }
    }

    #[test]
    fn a_refusal_names_the_place_but_no_path() {
        let uri = "http://user:secret@127.0.0.1:1/v3?token=secret".parse().unwrap();
        assert_eq!(destination(&uri), "http://127.0.0.1:1");
    }
}
