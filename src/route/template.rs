//! Texts with places for what a request says: of redirects, rewrites and headers.
//!
//! `{host}`, `{path}`, `{client}` as in Caddy; `{{` and `}}` are braces. Checked when the configuration is, so a request cannot
//! meet an unknown place. A text is filled in literally: whoever puts it into a header or a path checks what came out.

use std::fmt::Write;
use std::net::IpAddr;

/// What is put into the places.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// `{scheme}`: `http` or `https`.
    pub scheme: &'a str,
    /// `{host}`: without port.
    pub host: &'a str,
    /// `{path}`: normalised.
    pub path: &'a str,
    /// `{query}`; with `{uri}` the path and, after a `?`, this.
    pub query: Option<&'a str>,
    /// `{client}`: its address.
    pub client: IpAddr,
    /// `{request_id}`.
    pub request_id: &'a str,
    /// `{1}` to `{9}`: what the route's regular expression captured.
    pub captures: &'a [&'a str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Scheme,
    Host,
    Path,
    Query,
    Uri,
    Client,
    RequestId,
    Capture(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// A text, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// The places there are, for the messages of [`Template::parse`].
const PLACES: &str = "{scheme} {host} {path} {query} {uri} {client} {request_id} {1} to {9}";

impl Template {
    /// Reads a text; tells in a sentence what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..];
            if brace.starts_with("{{") || brace.starts_with("}}") {
                literal.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let name = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) =
                name.ok_or_else(|| format!("a brace stands alone in `{text}`; write `{{{{` or `}}}}` for one"))?;
            let place = Place::named(name)
                .ok_or_else(|| format!("`{{{name}}}` is no place of a template; there are {PLACES}"))?;
            parts.extend((!literal.is_empty()).then(|| Part::Text(std::mem::take(&mut literal))));
            parts.push(Part::Place(place));
            rest = after;
        }
        literal.push_str(rest);
        parts.extend((!literal.is_empty()).then_some(Part::Text(literal)));
        Ok(Template { parts })
    }

    /// With the places filled in.
    pub fn filled(&self, values: &Values<'_>) -> String {
        let mut out = String::with_capacity(64);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Place(place) => place.write(values, &mut out),
            }
        }
        out
    }

    /// The text, when it is the same for every request.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What it begins with whatever is filled in.
    pub fn beginning(&self) -> &str {
        if let Some(Part::Text(text)) = self.parts.first() { text } else { "" }
    }

    /// Whether what comes out may have a query.
    pub fn has_query(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(text) => text.contains('?'),
            Part::Place(place) => matches!(place, Place::Query | Place::Uri),
        })
    }

    /// The highest `{1}` to `{9}` in it; 0 without any.
    pub fn captures(&self) -> usize {
        let capture = |part: &Part| if let Part::Place(Place::Capture(n)) = part { *n } else { 0 };
        self.parts.iter().map(capture).max().unwrap_or(0)
    }
}

impl Place {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "scheme" => Place::Scheme,
            "host" => Place::Host,
            "path" => Place::Path,
            "query" => Place::Query,
            "uri" => Place::Uri,
            "client" => Place::Client,
            "request_id" => Place::RequestId,
            digit => match digit.as_bytes() {
                [digit @ b'1'..=b'9'] => Place::Capture(usize::from(digit - b'0')),
                _ => return None,
            },
        })
    }

    fn write(self, values: &Values<'_>, out: &mut String) {
        match self {
            Place::Scheme => out.push_str(values.scheme),
            Place::Host => out.push_str(values.host),
            Place::Path => out.push_str(values.path),
            Place::Query => out.push_str(values.query.unwrap_or_default()),
            Place::Uri => {
                out.push_str(values.path);
                values.query.into_iter().for_each(|query| out.extend(["?", query]));
            }
            // Writing to a String does not fail.
            Place::Client => _ = write!(out, "{}", values.client),
            Place::RequestId => out.push_str(values.request_id),
            Place::Capture(n) => out.push_str(values.captures.get(n - 1).copied().unwrap_or_default()),
        }
    }
}

/// The values of a request of tests: `https://a.example/p/q?x=1` from 192.0.2.1.
#[cfg(test)]
pub(super) fn example<'a>(captures: &'a [&'a str]) -> Values<'a> {
    Values {
        scheme: "https",
        host: "a.example",
        path: "/p/q",
        query: Some("x=1"),
        client: IpAddr::from([192, 0, 2, 1]),
        request_id: "7f",
        captures,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_filled_in() {
        let filled = |text| Template::parse(text).unwrap().filled(&example(&["one", "two"]));
        assert_eq!(filled("{scheme}://www.{host}{uri}"), "https://www.a.example/p/q?x=1");
        assert_eq!(filled("{path}|{query}|{client}|{request_id}|{2}{1}{3}"), "/p/q|x=1|192.0.2.1|7f|twoone");
        assert_eq!(filled("{{{host}}}"), "{a.example}");
        assert_eq!(Template::parse("{uri}").unwrap().filled(&Values { query: None, ..example(&[]) }), "/p/q");
    }

    #[test]
    fn what_is_wrong_is_told_when_it_is_read() {
        assert!(Template::parse("{hots}").unwrap_err().contains("`{hots}` is no place"));
        assert!(["{", "}", "a{b", "{host}}"].iter().all(|text| Template::parse(text).is_err()));
        assert!(Template::parse("{0}").is_err() && Template::parse("{10}").is_err());
    }

    #[test]
    fn what_is_constant_is_known() {
        assert_eq!(Template::parse("max-age=60").unwrap().constant(), Some("max-age=60"));
        assert_eq!(
            (Template::parse("").unwrap().constant(), Template::parse("{host}").unwrap().constant()),
            (Some(""), None)
        );
        assert_eq!(Template::parse("{1}/{4}").unwrap().captures(), 4);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_escaped_braces_are_braces(text in ".{0,40}") {
            _ = Template::parse(&text);
            let escaped = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&escaped).unwrap();
            prop_assert_eq!(template.constant(), Some(&*text));
        }
    }
}
