//! A request as the shell hands it over: the parts that the API reads, each as it came.
//!
//! It is not an `http::Request`. The server has parsed the URI already, and the API reads few headers, so a URI and a map
//! of headers would be wasted work (`docs/adr/0009-fast-and-small.md`).

use std::fmt;

use http::Method;

use super::headers::Header;

/// A request.
pub struct Request<'a> {
    pub method: Method,
    /// The percent-encoded path, which begins with a slash unless it is `*`.
    pub path: &'a str,
    /// The string behind the question mark, or an empty one.
    pub query: &'a str,
    pub headers: Headers<'a>,
    /// Reads the body, of which it takes at most this many bytes. The core calls it once, when it knows the caller, so that
    /// nobody else makes it wait for a body.
    pub body: &'a dyn Fn(usize) -> Body,
    /// Returns the scheme and authority of the request. Only answers with links call it.
    pub origin: &'a dyn Fn() -> Origin,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The whole body.
    Complete(Vec<u8>),
    /// A body with more bytes than were asked for, which was not read to its end.
    TooLarge,
    /// A body that broke off before its end. It must not be used, even if the part that came makes sense.
    Broken,
}

/// The scheme and the authority of a request, as its client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_https: bool,
    /// The host, with the port if there is one. `None` if the client named no host.
    pub authority: Option<String>,
}

impl Origin {
    /// Returns the scheme.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// The headers of a request that the API reads, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a>(Vec<(Header, &'a [u8])>);

impl<'a> Headers<'a> {
    /// Keeps the headers that the API reads. Names are case-insensitive.
    pub fn read(entries: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self(entries.filter_map(|(name, value)| Some((Header::read(name)?, value))).collect())
    }

    /// Whether the request has a header.
    #[must_use]
    pub fn has(&self, header: Header) -> bool {
        self.all(header).next().is_some()
    }

    /// Returns the first value of a header.
    #[must_use]
    pub fn get(&self, header: Header) -> Option<&'a [u8]> {
        self.all(header).next()
    }

    /// Returns the first value of a header, if it is a string.
    #[must_use]
    pub fn string(&self, header: Header) -> Option<&'a str> {
        self.get(header).and_then(visible_ascii)
    }

    /// Returns the length of the body, where the client has declared it.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.string(Header::ContentLength)?.trim().parse().ok()
    }

    /// Returns whether a request has a header more than once.
    #[must_use]
    pub fn is_repeated(&self, header: Header) -> bool {
        self.all(header).nth(1).is_some()
    }

    /// Returns the values of a header that are strings.
    pub fn strings(&self, header: Header) -> impl Iterator<Item = &'a str> {
        self.all(header).filter_map(visible_ascii)
    }

    fn all(&self, header: Header) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(own, _)| *own == header).map(|(_, value)| *value)
    }
}

/// Returns a value as a string if it has only visible ASCII, spaces, and tabs. Other bytes have no defined encoding.
fn visible_ascii(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_are_looked_at_and_the_first_of_several_counts() {
        let entries = [("Host", b"a"), ("cookie", b"b"), ("X-Roles", b"c"), ("x-roles", b"d"), ("accept", b"\xff")];
        let headers = Headers::read(entries.iter().map(|(name, value)| (*name, value.as_slice())));
        assert_eq!(headers.string(Header::Host), Some("a"));
        assert_eq!(headers.string(Header::XRoles), Some("c"));
        assert_eq!(headers.strings(Header::XRoles).collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!((headers.get(Header::Accept), headers.string(Header::Accept)), (Some(b"\xff".as_slice()), None));
        assert!(headers.has(Header::Accept) && !headers.has(Header::ContentType));
    }
}
