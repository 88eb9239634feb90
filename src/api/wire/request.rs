//! A request as the shell hands it over: the parts that something here looks at, each as it came.
//!
//! It is no `http::Request`: a URI to take apart and a map of headers to fill were an eighth of what the component did for
//! a show (`docs/adr/0009-fast-and-small.md`), where few headers are looked at and the server has read the URI already.

use std::fmt;

use http::Method;

use super::headers::Header;

/// A request.
pub struct Request<'a> {
    pub method: Method,
    /// It begins with a slash, but for a `*`, and is percent-encoded.
    pub path: &'a str,
    /// What follows the question mark; empty where nothing does.
    pub query: &'a str,
    pub headers: Headers<'a>,
    pub body: Body,
    /// Where the request went. Only answers with links ask.
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

/// The body of a request, as far as the shell has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Complete(Vec<u8>),
    /// More than [`crate::api::largest_body`] allows; the rest was not read.
    TooLarge,
}

/// Scheme and authority of a request, as its client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_https: bool,
    /// The host, and the port where one was named; `None` where the client named no host.
    pub authority: Option<String>,
}

impl Origin {
    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// The headers of a request that something here looks at, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a>(Vec<(Header, &'a [u8])>);

impl<'a> Headers<'a> {
    /// Those of some headers, in any case of letters, that something here looks at.
    pub fn read(entries: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self(entries.filter_map(|(name, value)| Some((Header::read(name)?, value))).collect())
    }

    /// Whether a header is there.
    #[must_use]
    pub fn has(&self, header: Header) -> bool {
        self.all(header).next().is_some()
    }

    /// The value of a header, and the first where there are several.
    #[must_use]
    pub fn get(&self, header: Header) -> Option<&'a [u8]> {
        self.all(header).next()
    }

    /// The value of a header where that is text.
    #[must_use]
    pub fn text(&self, header: Header) -> Option<&'a str> {
        self.get(header).and_then(text)
    }

    /// The values of a header that are texts.
    pub fn texts(&self, header: Header) -> impl Iterator<Item = &'a str> {
        self.all(header).filter_map(text)
    }

    fn all(&self, header: Header) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(own, _)| *own == header).map(|(_, value)| *value)
    }
}

/// Text is what is visible in ASCII, spaces and tabs; a header may have other bytes, of which nobody knows what they mean.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_are_looked_at_and_the_first_of_several_counts() {
        let entries = [("Host", b"a"), ("cookie", b"b"), ("X-Roles", b"c"), ("x-roles", b"d"), ("accept", b"\xff")];
        let headers = Headers::read(entries.iter().map(|(name, value)| (*name, value.as_slice())));
        assert_eq!(headers.text(Header::Host), Some("a"));
        assert_eq!(headers.text(Header::XRoles), Some("c"));
        assert_eq!(headers.texts(Header::XRoles).collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!((headers.get(Header::Accept), headers.text(Header::Accept)), (Some(b"\xff".as_slice()), None));
        assert!(headers.has(Header::Accept) && !headers.has(Header::ContentType));
    }
}
