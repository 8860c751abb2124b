//! Another path for the backend, another place for the client.
//!
//! What comes out is checked as if a client had sent it: a template can put a `..` together from harmless pieces, and a header
//! must not carry a line break into a response.

use http::HeaderValue;
use regex::bytes::Regex;

use crate::model::PathMatch;
use crate::model::PathRules;
use crate::model::Rewrite;
use crate::route::path;
use crate::route::path::PathFault;
use crate::route::template::Template;
use crate::route::template::Values;

/// So many places `{1}` to `{9}` there are.
pub const CAPTURES_MAX: usize = 9;

/// A rewrite, compiled with the route it belongs to.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// In place of that prefix, this.
    Prefix {
        /// The route's.
        prefix: String,
        /// What is put there.
        to: String,
    },
    /// A whole path.
    Path(Template),
}

impl PathRewrite {
    /// Reads a rewrite; tells in a sentence what is wrong with it.
    pub fn of(rewrite: &Rewrite, matches: &PathMatch) -> Result<Self, String> {
        match (rewrite, matches) {
            (Rewrite::Prefix(to), _) if !to.starts_with('/') => {
                Err(format!("the new prefix `{to}` does not begin with `/`"))
            }
            (Rewrite::Prefix(to), PathMatch::Prefix(prefix)) => {
                Ok(PathRewrite::Prefix { prefix: prefix.clone(), to: to.clone() })
            }
            (Rewrite::Prefix(_), _) => Err("a prefix is rewritten, but the route matches no `path_prefix`".to_owned()),
            (Rewrite::Path(text), matches) => {
                let template = Template::parse(text)?;
                if template.has_query() {
                    return Err(format!(
                        "`{text}` has a query; a path is rewritten, and the query passed on as it came"
                    ));
                }
                let is_regex = matches!(matches, PathMatch::Regex(_));
                if template.captures() > 0 && !is_regex {
                    return Err(format!("`{text}` uses what a `path_regex` captures, but the route has none"));
                }
                Ok(PathRewrite::Path(template))
            }
        }
    }

    /// The path the backend sees, in its one form.
    pub fn path(&self, values: &Values<'_>, rules: PathRules) -> Result<String, PathFault> {
        let written = match self {
            PathRewrite::Prefix { prefix, to } => {
                joined(to, values.path.strip_prefix(prefix.as_str()).unwrap_or_default())
            }
            PathRewrite::Path(template) => template.filled(values),
        };
        path::normalised(&written, rules).map(|path| path.into_owned())
    }
}

/// One slash between the two: `/v2/` to `/`, `/v2` to `/` and `/v2` to `/new/` all mean the same by it.
fn joined(to: &str, rest: &str) -> String {
    match (to.strip_suffix('/'), rest.strip_prefix('/')) {
        (Some(to), _) if rest.is_empty() => format!("{to}/"),
        (Some(to), Some(rest)) => format!("{to}/{rest}"),
        (Some(to), None) => format!("{to}/{rest}"),
        (None, None) if !rest.is_empty() => format!("{to}/{rest}"),
        (None, _) => format!("{to}{rest}"),
    }
}

/// What a route's expression captures of a path; the first [`CAPTURES_MAX`], empty where a group took no part. Allocates:
/// only for routes whose rewrite or redirect has places for it.
pub fn captures<'a>(regex: &Regex, path: &'a str) -> Vec<&'a str> {
    let Some(found) = regex.captures(path.as_bytes()) else { return Vec::new() };
    let group = |n| found.get(n).and_then(|part| path.get(part.range())).unwrap_or_default();
    (1..found.len().min(CAPTURES_MAX + 1)).map(group).collect()
}

/// Where a redirect leads: visible ASCII, or nothing that may be sent. A path that a request made begin with `//` begins with `/`:
/// browsers take what follows `//` for a host, and `/x(.*)` to `/{1}` would lead wherever a link to `/x/evil.example` wants.
pub fn location(template: &Template, values: &Values<'_>) -> Option<HeaderValue> {
    let filled = template.filled(values);
    let is_other_host = filled.starts_with("//") && !template.beginning().starts_with("//");
    let text = if is_other_host { format!("/{}", filled.trim_start_matches('/')) } else { filled };
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible.then(|| HeaderValue::from_str(&text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::predicate;
    use crate::route::template::example;

    fn rewritten(prefix: &str, to: &str, path: &str) -> String {
        let rewrite = PathRewrite::of(&Rewrite::Prefix(to.into()), &PathMatch::Prefix(prefix.into())).unwrap();
        rewrite.path(&Values { path, ..example(&[]) }, PathRules::default()).unwrap()
    }

    #[test]
    fn a_prefix_is_exchanged_with_one_slash_between() {
        assert_eq!(rewritten("/v2/", "/", "/v2/users"), "/users");
        assert_eq!(rewritten("/v2", "/", "/v2/users"), "/users");
        assert_eq!(rewritten("/v2", "/", "/v2"), "/");
        assert_eq!(rewritten("/v2", "/new", "/v2/users"), "/new/users");
        assert_eq!(rewritten("/v2/", "/new", "/v2/users"), "/new/users");
        assert_eq!(rewritten("/v2", "/new/", "/v2/users"), "/new/users");
        assert_eq!(rewritten("/v2", "/new", "/v2"), "/new");
    }

    #[test]
    fn an_expression_gives_its_pieces() {
        let pattern = "/u/([0-9]+)(/x)?/(.*)";
        let regex = predicate::whole(pattern).unwrap();
        let pieces = captures(&regex, "/u/7/a/b");
        assert_eq!(pieces, ["7", "", "a/b"]);
        let rewrite =
            PathRewrite::of(&Rewrite::Path("/users/{1}/{3}".into()), &PathMatch::Regex(pattern.into())).unwrap();
        let path = rewrite.path(&Values { path: "/u/7/a/b", ..example(&pieces) }, PathRules::default());
        assert_eq!(path.as_deref(), Ok("/users/7/a/b"));
    }

    #[test]
    fn pieces_put_together_are_checked_like_any_path() {
        let regex = predicate::whole("/x(.*)").unwrap();
        let pieces = captures(&regex, "/x..");
        let rewrite = PathRewrite::of(&Rewrite::Path("/{1}".into()), &PathMatch::Regex("/x(.*)".into())).unwrap();
        assert_eq!(rewrite.path(&example(&pieces), PathRules::default()), Err(PathFault::AboveRoot));
    }

    #[test]
    fn what_cannot_work_is_told() {
        assert!(PathRewrite::of(&Rewrite::Prefix("/".into()), &PathMatch::Any).is_err());
        assert!(PathRewrite::of(&Rewrite::Prefix("x".into()), &PathMatch::Prefix("/a".into())).is_err());
        assert!(PathRewrite::of(&Rewrite::Path("/{1}".into()), &PathMatch::Prefix("/a".into())).is_err());
        for text in ["/a{uri}", "/a/{query}", "/a?b={path}"] {
            assert!(PathRewrite::of(&Rewrite::Path(text.into()), &PathMatch::Any).is_err(), "{text}");
        }
    }

    #[test]
    fn no_request_chooses_the_host_of_a_redirect() {
        let of = |text, path| {
            let values = Values { path, ..example(&["/evil.example"]) };
            location(&Template::parse(text).unwrap(), &values).unwrap()
        };
        assert_eq!(of("/{1}", "/x"), "/evil.example");
        assert_eq!(of("{path}", "//evil.example/a"), "/evil.example/a");
        assert_eq!(of("//cdn.example{path}", "/a"), "//cdn.example/a", "the operator may");
    }

    #[test]
    fn a_redirect_leads_to_one_line() {
        let of = |text| location(&Template::parse(text).unwrap(), &example(&[]));
        assert_eq!(of("https://www.{host}{uri}").unwrap(), "https://www.a.example/p/q?x=1");
        assert_eq!(of("/\r\nSet-Cookie: a=b"), None);
        assert_eq!((of(""), of("/a b"), of("/é")), (None, None, None));
    }
}
