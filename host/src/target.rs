//! The host and the target of a request, and the headers that Spin adds.
//!
//! It must not know where a request comes from or where it goes.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Uri, Version, header};

use crate::chaining::component_of;
use crate::routes::RouteMatch;

/// Adds the scheme and the authority of the Host header to the request's URI, as Spin does.
///
/// The authority of an absolute target takes precedence, and replaces the Host header, because a server must ignore
/// the header then (RFC 9112 section 3.2.2). Spin refuses such a request if the two differ.
///
/// # Errors
///
/// Fails when there are two Host headers, or when neither the header nor the target names a valid host, unless the header is
/// empty or the request is of HTTP/1.0: these are served as `localhost`. As in Spin, a client cannot name the host of a component, so that a component can tell the requests of others by it.
pub(crate) fn set_full_uri<B>(request: &mut Request<B>) -> Result<()> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    // An empty host names none, and is allowed (RFC 9112 section 3.2).
    let host = hosts.next().filter(|host| !host.is_empty()).cloned();
    // Two programs that read such a request may choose different hosts, so it is refused even if both are equal.
    ensure!(hosts.next().is_none(), "the request has more than one Host header");
    let has_empty_host = host.is_none() && request.headers().contains_key(header::HOST);
    let mut parts = request.uri().clone().into_parts();
    let authority = match (parts.authority, host) {
        (Some(authority), _) => {
            request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority.as_str())?);
            authority
        }
        (None, Some(host)) => {
            let host = host.to_str().context("the Host header is not ASCII")?;
            host.parse::<Authority>().context("the Host header is no authority")?
        }
        // Load balancers check the health of a service with such requests.
        (None, None) if has_empty_host || request.version() == Version::HTTP_10 => {
            request.headers_mut().remove(header::HOST);
            Authority::from_static("localhost")
        }
        (None, None) => bail!("the request names no host"),
    };
    ensure!(component_of(authority.host()).is_none(), "the host {authority} is only for requests between components");
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).context("the request's target is no path")?;
    Ok(())
}

/// Adds the headers that Spin adds. Headers of the same names from the client stay in front of them, as in Spin, so only
/// the last value of each can be trusted.
///
/// A value with bytes above 127 is opaque (RFC 9110 section 5.5) and reaches the guest as it came. Spin answers such a
/// request with an empty 500 and a line in its log, which lets every caller fill the log.
///
/// # Errors
///
/// Fails when the request's URI is not a valid header value.
pub(crate) fn add_spin_headers<B>(request: &mut Request<B>, route: RouteMatch<'_>, client: SocketAddr) -> Result<()> {
    let uri = request.uri();
    // A request from another component has no Host header. Spin shows `localhost` then.
    let full_url = match uri.path_and_query() {
        Some(path) if !request.headers().contains_key(header::HOST) => format!("http://localhost{path}"),
        _ => uri.to_string(),
    };
    let headers = [
        ("spin-full-url", full_url),
        ("spin-matched-route", route.pattern.trim_end_matches('/').to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", route.pattern.to_owned()),
        ("spin-component-route", route.prefix().to_owned()),
        ("spin-client-addr", client.to_string()),
        ("spin-path-info", route.path_info),
    ];
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(target: &str, hosts: &[&str]) -> Result<(String, String)> {
        let request = hosts.iter().fold(Request::get(target), |request, host| request.header(header::HOST, *host));
        let mut request = request.body(()).unwrap();
        set_full_uri(&mut request)?;
        let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
        Ok((request.uri().to_string(), host))
    }

    #[test]
    fn the_host_of_the_target_replaces_the_header() {
        for (target, hosts, uri, host) in [
            ("/v3?a=1", &["a:1"][..], "http://a:1/v3?a=1", "a:1"),
            ("http://b:2/v3", &["a:1"], "http://b:2/v3", "b:2"),
            ("http://b:2/v3", &[], "http://b:2/v3", "b:2"),
            ("http://b:2/v3", &["a b@c/d"], "http://b:2/v3", "b:2"),
            ("https://b/v3", &["a"], "http://b/v3", "b"),
        ] {
            assert_eq!(settled(target, hosts).unwrap(), (uri.to_owned(), host.to_owned()), "{target} {hosts:?}");
        }
    }

    #[test]
    fn a_request_of_an_old_client_or_with_an_empty_host_needs_none() {
        for (version, host, is_served) in [
            (Version::HTTP_10, None, true),
            (Version::HTTP_10, Some(""), true),
            (Version::HTTP_11, Some(""), true),
            (Version::HTTP_11, None, false),
        ] {
            let mut request = Request::get("/healthcheck").version(version);
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            let mut request = request.body(()).unwrap();
            assert_eq!(set_full_uri(&mut request).is_ok(), is_served, "{version:?} {host:?}");
            if is_served {
                assert_eq!(request.uri(), "http://localhost/healthcheck");
                assert!(!request.headers().contains_key(header::HOST));
            }
        }
    }

    #[test]
    fn a_request_without_one_valid_host_is_refused() {
        for (target, hosts, why) in [
            ("/", &[][..], "names no host"),
            ("/", &["a", "b"], "more than one Host header"),
            ("/", &["a", "a"], "more than one Host header"),
            ("http://b/", &["a", "b"], "more than one Host header"),
            ("/", &["a b@c/d"], "no authority"),
            ("/", &["identity.spin.internal"], "only for requests between components"),
            ("/", &["identity.spin.internal:80"], "only for requests between components"),
            ("http://identity.spin.internal/", &["a"], "only for requests between components"),
        ] {
            let error = format!("{:#}", settled(target, hosts).unwrap_err());
            assert!(error.contains(why), "{target} {hosts:?}: {error}");
        }
    }
}
