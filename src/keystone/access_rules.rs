//! The access rules of application credentials, matched as keystonemiddleware matches them.

use std::fmt;

/// The service types under which a catalog lists this service.
const SERVICE_TYPES: [&str; 4] = ["block-storage", "volumev3", "volume", "block-store"];

/// A request that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// The type of the service.
    service: String,
    method: String,
    /// A pattern in which `*` and `{name}` match a segment or a part of one, and `**` matches anything.
    path: String,
}

impl AccessRule {
    /// Creates a rule, unless one of its parts has a space or a control character.
    #[must_use]
    pub fn new(service: &str, method: &str, path: &str) -> Option<Self> {
        let is_plain = |part: &str| !part.contains(|character: char| character == ' ' || character.is_control());
        let rule = || Self { service: service.to_owned(), method: method.to_owned(), path: path.to_owned() };
        [service, method, path].into_iter().all(is_plain).then(rule)
    }

    /// Parses the string that [`fmt::Display`] writes.
    #[must_use]
    pub fn read(rule: &str) -> Option<Self> {
        let mut words = rule.splitn(3, ' ');
        Self::new(words.next()?, words.next()?, words.next()?)
    }

    /// Returns whether the rule allows a request to this service.
    #[must_use]
    pub fn allows(&self, method: &str, path: &str) -> bool {
        SERVICE_TYPES.contains(&self.service.as_str())
            && self.method == method
            && matches(self.path.as_bytes(), path.as_bytes())
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, method, path } = self;
        write!(formatter, "{service} {method} {path}")
    }
}

/// The first piece of a pattern.
enum Piece {
    /// This byte.
    Literal(u8),
    /// One or more bytes other than a slash.
    Segment,
    /// Zero or more bytes.
    Anything,
}

fn next_piece(pattern: &[u8]) -> Option<(Piece, &[u8])> {
    match pattern {
        [] => None,
        [b'*', b'*', rest @ ..] => Some((Piece::Anything, rest)),
        [b'*', rest @ ..] => Some((Piece::Segment, rest)),
        [b'{', rest @ ..] => match rest.iter().position(|byte| *byte == b'}') {
            Some(end) => Some((Piece::Segment, &rest[end + 1..])),
            None => Some((Piece::Literal(b'{'), rest)),
        },
        [byte, rest @ ..] => Some((Piece::Literal(*byte), rest)),
    }
}

/// Returns whether a path matches a pattern. It backtracks only to the last wildcard of each kind, so that no pattern
/// takes long.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    /// The pattern and the path to continue with, one byte later, if the rest after a wildcard does not match.
    type Retry<'a> = Option<(&'a [u8], &'a [u8])>;

    let (mut pattern, mut path) = (pattern, path);
    let (mut segment, mut anything): (Retry<'_>, Retry<'_>) = (None, None);
    loop {
        match (next_piece(pattern), path) {
            (None, []) => return true,
            (Some((Piece::Anything, rest)), _) => {
                // This wildcard can match all that an earlier one could still match.
                (anything, segment) = (Some((rest, path)), None);
                pattern = rest;
                continue;
            }
            (Some((Piece::Segment, rest)), [first, after @ ..]) if *first != b'/' => {
                segment = Some((rest, after));
                (pattern, path) = (rest, after);
                continue;
            }
            (Some((Piece::Literal(literal), rest)), [first, after @ ..]) if literal == *first => {
                (pattern, path) = (rest, after);
                continue;
            }
            _ => {}
        }
        if let Some((rest, [_, after @ ..])) = segment.filter(|(_, path)| path.first() != Some(&b'/')) {
            segment = Some((rest, after));
            (pattern, path) = (rest, after);
        } else if let Some((rest, [_, after @ ..])) = anything {
            (anything, segment) = (Some((rest, after)), None);
            (pattern, path) = (rest, after);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_allows_its_own_method_service_and_paths() {
        let cases = [
            ("/v3/a1/snapshots", "/v3/a1/snapshots", true),
            ("/v3/a1/snapshots", "/v3/a1/snapshots/1", false),
            ("/v3/a1/snapshots/1", "/v3/a1/snapshots", false),
            ("/v3/*/snapshots", "/v3/a1/snapshots", true),
            ("/v3/*/snapshots", "/v3//snapshots", false),
            ("/v3/*/snapshots", "/v3/a1/b2/snapshots", false),
            ("/v3/{project_id}/snapshots/{id}", "/v3/a1/snapshots/1", true),
            ("/v3/{project_id}/snapshots/{id}", "/v3/a1/snapshots/1/metadata", false),
            ("/v3/**", "/v3/a1/snapshots/1/metadata", true),
            ("/v3/**", "/v3/", true),
            ("/v3/**", "/v2/a1", false),
            ("**/metadata", "/v3/a1/snapshots/1/metadata", true),
            ("**/metadata/*", "/v3/a1/metadata/1/metadata/k", true),
            ("/v3/*s/1", "/v3/snapshots/1", true),
            ("/v3/*s/1", "/v3/snapshot/1", false),
            ("/v3/*a*b/c", "/v3/xaxbxab/c", true),
            ("/v3/**/a*/b", "/v3/ax/ab/aa/b", true),
            ("/v3/**/a*/b", "/v3/ax/ab/aa/c", false),
            ("", "", true),
            ("", "/", false),
            ("{", "{", true),
        ];
        for (pattern, path, allowed) in cases {
            let rule = |service: &str, method: &str| AccessRule::new(service, method, pattern).expect("a rule");
            assert_eq!(rule("block-storage", "GET").allows("GET", path), allowed, "{pattern} {path}");
            assert_eq!(rule("volumev3", "GET").allows("GET", path), allowed, "{pattern} {path}");
            assert!(!rule("block-storage", "POST").allows("GET", path), "{pattern} {path}");
            assert!(!rule("compute", "GET").allows("GET", path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_rule_reads_back_and_has_no_spaces() {
        let rule = AccessRule::new("volumev3", "GET", "/v3/{a}/**").expect("a rule");
        assert_eq!(AccessRule::read(&rule.to_string()), Some(rule));
        assert_eq!(AccessRule::new("volumev3", "GET", "/v3/a b"), None);
        assert_eq!(AccessRule::new("volumev3", "GET", "/v3\n"), None);
        assert_eq!(AccessRule::read("volumev3 GET"), None);
    }

    #[test]
    fn no_pattern_takes_long() {
        let rule = |path: String| AccessRule::new("volume", "GET", &path).expect("a rule");
        let path = format!("/v3/{}", "a".repeat(5_000));
        assert!(!rule(format!("/v3/{}b", "*a".repeat(500))).allows("GET", &path));
        assert!(!rule(format!("/v3/{}b", "**a".repeat(500))).allows("GET", &path));
    }
}
