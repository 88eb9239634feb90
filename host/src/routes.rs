//! The routes of the manifest's HTTP triggers, and the one that matches a path.
//!
//! It must not know what a component does. Routes match as in Spin: an exact route wins over a route that ends with
//! `/...`, and a longer one of those wins over a shorter one. Slashes at both ends of a path do not count. Spin's named
//! segments (`/:name`) are not offered, and are refused when the manifest is read.

use anyhow::{Result, bail, ensure};

/// The end of a route that matches every path below it.
const WILDCARD: &str = "/...";

/// The paths that Spin answers itself.
const RESERVED: &str = "/.well-known/spin/";

/// A route of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The route as the manifest has it.
    pattern: String,
    /// The place of the component in the manifest.
    component: usize,
}

impl Route {
    /// Parses a route.
    ///
    /// # Errors
    ///
    /// Fails when the route is not a path of literal segments that may end with `/...`, or when Spin answers its paths.
    pub(crate) fn parse(pattern: &str, component: usize) -> Result<Self> {
        let literal = pattern.strip_suffix(WILDCARD).unwrap_or(pattern);
        let is_literal = |segment: &str| {
            !segment.is_empty() && !segment.starts_with(':') && !segment.contains('*') && !segment.contains("...")
        };
        let is_plain = match literal.strip_prefix('/') {
            // The route `/`.
            Some("") => literal == pattern,
            Some(segments) => segments.split('/').all(is_literal),
            None => literal.is_empty() && !pattern.is_empty(),
        };
        ensure!(
            is_plain,
            "the HTTP route is {pattern:?}; this host serves exact routes such as \"/path\", and routes such as \
             \"/path{WILDCARD}\" for all paths below"
        );
        ensure!(
            !format!("{literal}/").starts_with(RESERVED),
            "the HTTP route is {pattern:?}, but Spin answers the paths below {RESERVED} itself"
        );
        Ok(Self { pattern: pattern.to_owned(), component })
    }

    /// Returns the route without its wildcard.
    fn prefix(&self) -> &str {
        self.pattern.strip_suffix(WILDCARD).unwrap_or(&self.pattern)
    }

    fn is_wildcard(&self) -> bool {
        self.pattern.ends_with(WILDCARD)
    }

    /// Returns the part of a path that the wildcard stands for, or an empty string for an exact route. Returns `None`
    /// if the route does not match.
    fn wildcard_of(&self, path: &str) -> Option<String> {
        let rest = path.trim_matches('/').strip_prefix(self.prefix().trim_matches('/'))?;
        if !self.is_wildcard() {
            return rest.is_empty().then(String::new);
        }
        let below = match rest.strip_prefix('/') {
            Some(below) => below,
            // The wildcard of `/...` has no slash in front of it once the path is trimmed.
            None if rest.is_empty() || self.prefix().is_empty() => rest,
            None => return None,
        };
        Some(match (below.is_empty(), path.ends_with('/')) {
            (true, false) => String::new(),
            (true, true) => "/".to_owned(),
            (false, false) => format!("/{below}"),
            (false, true) => format!("/{below}/"),
        })
    }
}

/// All routes of a manifest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// The routes in the order in which they are tried.
    routes: Vec<Route>,
}

impl Routes {
    /// Puts routes in order.
    ///
    /// # Errors
    ///
    /// Fails when two routes are equal. In Spin one of them would never be used.
    pub(crate) fn new(mut routes: Vec<Route>) -> Result<Self> {
        routes.sort_by_key(|route| (route.is_wildcard(), std::cmp::Reverse(route.pattern.len())));
        for (place, route) in routes.iter().enumerate() {
            if routes[..place].iter().any(|other| other.pattern == route.pattern) {
                bail!("two HTTP triggers have the route {:?}", route.pattern);
            }
        }
        Ok(Self { routes })
    }

    /// Whether there is a route to a component.
    pub(crate) fn lead_to(&self, component: usize) -> bool {
        self.routes.iter().any(|route| route.component == component)
    }

    /// Returns the best match of a path.
    pub(crate) fn matching(&self, path: &str) -> Option<RouteMatch<'_>> {
        self.routes.iter().find_map(|route| {
            let path_info = route.wildcard_of(path)?;
            Some(RouteMatch { component: route.component, pattern: &route.pattern, path_info })
        })
    }
}

/// The route that a request takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteMatch<'routes> {
    pub(crate) component: usize,
    /// The route as the manifest has it.
    pub(crate) pattern: &'routes str,
    /// The part of the path that the wildcard of the route stands for.
    pub(crate) path_info: String,
}

impl RouteMatch<'_> {
    /// Returns the match of a request from another component, which needs no route.
    pub(crate) fn chained(component: usize, path: &str) -> Self {
        Self { component, pattern: WILDCARD, path_info: path.to_owned() }
    }

    /// Returns the route without its wildcard.
    pub(crate) fn prefix(&self) -> &str {
        self.pattern.strip_suffix(WILDCARD).unwrap_or(self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Result<Routes> {
        let parse = |(place, pattern): (usize, &&str)| Route::parse(pattern, place);
        Routes::new(patterns.iter().enumerate().map(parse).collect::<Result<_>>()?)
    }

    #[test]
    fn the_best_route_matches_as_in_spin() {
        let patterns =
            ["/...", "/identity/...", "/identity/v3/auth/...", "/identity/exact", "/only", "/", "/a.b/...", "/v3"];
        let mut reversed = patterns;
        reversed.reverse();
        for order in [patterns, reversed] {
            let routes = routes(&order).unwrap();
            for (path, pattern, path_info) in [
                ("/", "/", ""),
                ("//", "/", ""),
                ("/v3/volumes", "/...", "/v3/volumes"),
                ("/v3", "/v3", ""),
                ("/v3/", "/v3", ""),
                ("/v3x", "/...", "/v3x"),
                ("/identity", "/identity/...", ""),
                ("/identity/", "/identity/...", "/"),
                ("/identity/v3", "/identity/...", "/v3"),
                ("/identity/v3/", "/identity/...", "/v3/"),
                ("/identityv3", "/...", "/identityv3"),
                ("/identity/exact", "/identity/exact", ""),
                ("/identity/exact/x", "/identity/...", "/exact/x"),
                ("/identity/v3/auth/tokens", "/identity/v3/auth/...", "/tokens"),
                ("/identity/v3/authentication", "/identity/...", "/v3/authentication"),
                ("/Identity/v3", "/...", "/Identity/v3"),
                ("/identity//v3", "/identity/...", "//v3"),
                ("/only/not", "/...", "/only/not"),
                ("/a.b/c", "/a.b/...", "/c"),
                ("/%69dentity", "/...", "/%69dentity"),
            ] {
                let found = routes.matching(path).unwrap();
                assert_eq!((found.pattern, found.path_info.as_str()), (pattern, path_info), "{path}");
                assert_eq!(order[found.component], pattern, "{path}");
            }
        }
    }

    #[test]
    fn a_path_without_a_route_matches_nothing() {
        let routes = routes(&["/identity/...", "/only"]).unwrap();
        for path in ["/", "/v3", "/identityv3", "/only/not", "/onl"] {
            assert_eq!(routes.matching(path), None, "{path}");
        }
        assert!(routes.lead_to(1) && !routes.lead_to(2));
    }

    #[test]
    fn routes_of_another_form_are_refused() {
        for (pattern, expected) in [
            ("", "this host serves exact routes"),
            ("v3", "this host serves exact routes"),
            ("/v3/", "this host serves exact routes"),
            ("//v3", "this host serves exact routes"),
            ("//...", "this host serves exact routes"),
            ("/v3//...", "this host serves exact routes"),
            ("/:project/...", "this host serves exact routes"),
            ("/v3/:project", "this host serves exact routes"),
            ("/v3/*", "this host serves exact routes"),
            ("/v3...", "this host serves exact routes"),
            ("/.../v3", "this host serves exact routes"),
            ("/.well-known/spin/health", "Spin answers the paths"),
            ("/.well-known/spin/...", "Spin answers the paths"),
        ] {
            let error = Route::parse(pattern, 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{pattern:?}: {error}");
        }
    }

    #[test]
    fn equal_routes_are_refused() {
        let error = routes(&["/v3/...", "/...", "/v3/..."]).unwrap_err().to_string();
        assert_eq!(error, "two HTTP triggers have the route \"/v3/...\"");
    }
}
