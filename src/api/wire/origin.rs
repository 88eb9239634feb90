//! The scheme and the host for links: those of the operator's `public_endpoint`, of a proxy, or of the request.
//!
//! The headers of a proxy are those that `http_proxy_to_wsgi` of oslo.middleware reads: the first element of `Forwarded`
//! (RFC 7239), or without that header `X-Forwarded-Proto` and, in links of resources, `X-Forwarded-Host`. They decide links
//! and nothing else, so that a client who writes them fools only itself.

use super::headers::Header;
use super::request::{Origin, Request};

/// The part of an element of `Forwarded` that links need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forwarded<'a> {
    scheme: Option<&'static str>,
    host: Option<&'a str>,
}

/// Returns the scheme and the host of a request, as its client wrote them, unless a proxy says otherwise. Links of resources
/// also take the host of `X-Forwarded-Host`, as in Cinder, but version documents do not.
#[must_use]
pub fn origin(request: &Request<'_>, is_of_resource: bool) -> String {
    let headers = &request.headers;
    let proxy = if let Some(forwarded) = headers.string(Header::Forwarded) {
        first_of(forwarded)
    } else {
        let hosts = headers.string(Header::XForwardedHost).filter(|_| is_of_resource).unwrap_or_default();
        let schemes = headers.string(Header::XForwardedProto).unwrap_or_default();
        // The last proxy of several wins. If it has not said its scheme, that of another one is not its own.
        let host = hosts.split(',').next_back().map(str::trim).filter(|host| !host.is_empty());
        let is_of_host = schemes.split(',').count() >= hosts.split(',').count();
        Forwarded { scheme: scheme(schemes).filter(|_| is_of_host), host }
    };
    let origin @ Origin { authority, .. } = &(request.origin)();
    let named = || headers.string(Header::Host).filter(|host| !host.is_empty()).or(authority.as_deref());
    let host = proxy.host.or_else(named).unwrap_or("localhost");
    format!("{}://{host}", proxy.scheme.unwrap_or_else(|| origin.scheme()))
}

/// Returns the scheme that a proxy names. Of several, that of the first proxy wins.
fn scheme(named: &str) -> Option<&'static str> {
    let first = named.split(',').next().unwrap_or_default().trim();
    ["https", "http"].into_iter().find(|own| first.eq_ignore_ascii_case(own))
}

/// Reads the first element of `Forwarded`.
fn first_of(forwarded: &str) -> Forwarded<'_> {
    let mut first = Forwarded::default();
    // A quoted value may have commas and semicolons, but no scheme and no host has.
    for pair in forwarded.split(',').next().unwrap_or_default().split(';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("proto") {
            first.scheme = scheme(value);
        } else if name.eq_ignore_ascii_case("host") {
            let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            first.host = Some(value).filter(|value| !value.is_empty() && value.bytes().all(is_of_host));
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_of_forwarded_decides() {
        let of = |scheme, host| Forwarded { scheme, host };
        for (header, expected) in [
            ("proto=https", of(Some("https"), None)),
            ("for=1.2.3.4;Proto=HTTPS; host=\"a.b:8\" , proto=http;host=c", of(Some("https"), Some("a.b:8"))),
            ("host=\"[2001:db8::1]:80\"", of(None, Some("[2001:db8::1]:80"))),
            ("for=_hidden, proto=https", of(None, None)),
            ("proto=ftp;host=a/b", of(None, None)),
            ("proto", of(None, None)),
            ("", of(None, None)),
        ] {
            assert_eq!(first_of(header), expected, "{header}");
        }
        assert_eq!((scheme("https, http"), scheme(" Http"), scheme("h2")), (Some("https"), Some("http"), None));
    }
}
