//! What a route asks for beyond host and path: methods, headers, cookies, parameters.
//!
//! Compiled once from [`RequestMatch`]; asked for each request of its path. Regular expressions take linear time (the `regex`
//! crate backtracks only within a bound) and match the whole of what they look at, so that `v[12]` is not found in `xv1`.

use http::HeaderName;
use http::Method;
use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

use crate::model::RequestMatch;
use crate::model::TextMatch;
use crate::route::cookies;
use crate::route::head::Head;
use crate::route::query;

/// A compiled expression may take so many bytes: some thousand states, and what repeats like `(a{1000}){1000}` is refused.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// One thing a request must be.
#[derive(Debug, Clone)]
pub struct Predicate {
    subject: Subject,
    text: Text,
}

#[derive(Debug, Clone)]
enum Subject {
    Method(Vec<Method>),
    Header(HeaderName),
    Cookie(String),
    Query(String),
}

#[derive(Debug, Clone)]
enum Text {
    Present,
    Absent,
    Is(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    Regex(Regex),
}

/// An expression that matches the whole of what it looks at, byte by byte.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    // Checked alone first: `a)(b` must not become an expression by what is put around it.
    let build = |pattern: &str| RegexBuilder::new(pattern).unicode(false).size_limit(REGEX_BYTES_MAX).build();
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| error.to_string())
}

/// All predicates of a route, the cheapest first, or what is wrong with its expressions.
pub fn compiled(matches: &RequestMatch) -> Result<Vec<Predicate>, Vec<String>> {
    let mut predicates = Vec::new();
    let mut faults = Vec::new();
    if !matches.methods.is_empty() {
        predicates.push(Predicate { subject: Subject::Method(matches.methods.clone()), text: Text::Present });
    }
    let headers = matches.headers.iter().map(|(name, text)| (Subject::Header(name.clone()), text));
    let query = matches.query.iter().map(|(name, text)| (Subject::Query(name.clone()), text));
    let cookies = matches.cookies.iter().map(|(name, text)| (Subject::Cookie(name.clone()), text));
    for (subject, text) in headers.chain(query).chain(cookies) {
        match Text::of(text) {
            Ok(text) => predicates.push(Predicate { subject, text }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(predicates) } else { Err(faults) }
}

impl Predicate {
    /// Whether a request is so.
    #[inline]
    pub fn holds(&self, head: &Head<'_>) -> bool {
        match &self.subject {
            Subject::Method(methods) => methods.contains(head.method),
            // Any line of the header will do; absent is absent in all.
            Subject::Header(name) => match &self.text {
                Text::Absent => !head.headers.contains_key(name),
                text => head.headers.get_all(name).iter().any(|line| text.holds(Some(line.as_bytes()))),
            },
            Subject::Cookie(name) => self.text.holds(cookies::value(head.headers, name)),
            Subject::Query(name) => self.text.holds(head.query.and_then(|query| query::value(query, name)).as_deref()),
        }
    }

    /// What it asks for, in words.
    pub fn words(&self) -> String {
        let subject = match &self.subject {
            Subject::Method(methods) => {
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                return format!("method is {}", names.join(" or "));
            }
            Subject::Header(name) => format!("header {name}"),
            Subject::Cookie(name) => format!("cookie {name}"),
            Subject::Query(name) => format!("parameter {name}"),
        };
        format!("{subject} {}", self.text.words())
    }
}

impl Text {
    fn of(text: &TextMatch) -> Result<Self, String> {
        let bytes = |text: &String| text.as_bytes().into();
        Ok(match text {
            TextMatch::Present => Text::Present,
            TextMatch::Absent => Text::Absent,
            TextMatch::Is(text) => Text::Is(bytes(text)),
            TextMatch::Prefix(text) => Text::Prefix(bytes(text)),
            TextMatch::Suffix(text) => Text::Suffix(bytes(text)),
            TextMatch::Contains(text) => Text::Contains(bytes(text)),
            TextMatch::Regex(pattern) => Text::Regex(whole(pattern)?),
        })
    }

    #[inline]
    fn holds(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return matches!(self, Text::Absent) };
        match self {
            Text::Present => true,
            Text::Absent => false,
            Text::Is(text) => value == &**text,
            Text::Prefix(text) => value.starts_with(text),
            Text::Suffix(text) => value.ends_with(text),
            // Both are bounded by the limits on a head.
            Text::Contains(text) => text.is_empty() || value.windows(text.len()).any(|part| part == &**text),
            Text::Regex(regex) => regex.is_match(value),
        }
    }

    fn words(&self) -> String {
        let said = |text: &[u8]| format!("`{}`", text.escape_ascii());
        match self {
            Text::Present => "is there".to_owned(),
            Text::Absent => "is absent".to_owned(),
            Text::Is(text) => format!("is {}", said(text)),
            Text::Prefix(text) => format!("begins with {}", said(text)),
            Text::Suffix(text) => format!("ends with {}", said(text)),
            Text::Contains(text) => format!("contains {}", said(text)),
            Text::Regex(regex) => {
                let pattern = regex.as_str();
                format!(
                    "matches `{}`",
                    pattern.strip_prefix("^(?:").and_then(|p| p.strip_suffix(")$")).unwrap_or(pattern)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::head::testing::Request;

    fn header(text: TextMatch) -> Vec<Predicate> {
        compiled(&RequestMatch { headers: vec![(HeaderName::from_static("x-a"), text)], ..RequestMatch::default() })
            .unwrap()
    }

    fn holds(text: TextMatch, lines: &[&str]) -> bool {
        let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("x-a", *line)).collect();
        header(text)[0].holds(&Request::get("a.example/", &lines).head())
    }

    #[test]
    fn headers_are_what_they_must_be() {
        let text = |text: &str| text.to_owned();
        assert!(holds(TextMatch::Is(text("true")), &["true"]) && !holds(TextMatch::Is(text("true")), &["True"]));
        assert!(holds(TextMatch::Is(text("b")), &["a", "b"]), "any line will do");
        assert!(holds(TextMatch::Present, &[""]) && !holds(TextMatch::Present, &[]));
        assert!(holds(TextMatch::Absent, &[]) && !holds(TextMatch::Absent, &[""]));
        assert!(
            holds(TextMatch::Prefix(text("Moz")), &["Mozilla"]) && holds(TextMatch::Suffix(text("lla")), &["Mozilla"])
        );
        assert!(
            holds(TextMatch::Contains(text("zi")), &["Mozilla"])
                && !holds(TextMatch::Contains(text("iz")), &["Mozilla"])
        );
        assert!(!holds(TextMatch::Contains(text("longer than it")), &["short"]));
    }

    #[test]
    fn an_expression_matches_the_whole() {
        assert!(holds(TextMatch::Regex("v[12]".into()), &["v1"]) && !holds(TextMatch::Regex("v[12]".into()), &["xv1"]));
        assert!(!holds(TextMatch::Regex("a|b".into()), &["ab"]), "alternatives are held together");
        assert_eq!(header(TextMatch::Regex("v[12]".into()))[0].words(), "header x-a matches `v[12]`");
    }

    #[test]
    fn bad_expressions_are_all_told() {
        let text = |pattern: &str| (HeaderName::from_static("x-a"), TextMatch::Regex(pattern.to_owned()));
        let matches =
            RequestMatch { headers: vec![text("("), text("a)(b"), text("(a{1000}){1000}")], ..RequestMatch::default() };
        assert_eq!(compiled(&matches).unwrap_err().len(), 3);
    }

    #[test]
    fn methods_cookies_and_parameters() {
        let matches = RequestMatch {
            methods: vec![Method::GET, Method::HEAD],
            cookies: vec![("beta".into(), TextMatch::Is("1".into()))],
            query: vec![("v".into(), TextMatch::Is("a b".into()))],
            ..RequestMatch::default()
        };
        let predicates = compiled(&matches).unwrap();
        let holds = |target: &str, cookie: &str| {
            let request = Request::get(target, &[("cookie", cookie)]);
            predicates.iter().map(|predicate| predicate.holds(&request.head())).collect::<Vec<_>>()
        };
        assert_eq!(holds("a.example/?v=a+b", "beta=1"), [true, true, true]);
        assert_eq!(holds("a.example/?v=ab", "beta=2"), [true, false, false]);
        assert_eq!(predicates[0].words(), "method is GET or HEAD");
        assert_eq!(predicates[2].words(), "cookie beta is `1`");
    }
}
