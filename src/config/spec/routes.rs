//! The `routes` of a listener as they were written.

use std::collections::HashSet;
use std::time::Duration;

use http::HeaderName;
use http::Method;
use http::StatusCode;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::into_table;
use crate::config::fields::read_form;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::forms::Form;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::http_forms::COOKIE;
use crate::config::spec::http_forms::EXPIRES;
use crate::config::spec::http_forms::HEADER;
use crate::config::spec::http_forms::HOST;
use crate::config::spec::http_forms::METHOD;
use crate::config::spec::http_forms::PATH;
use crate::config::spec::http_forms::REGEX;
use crate::config::spec::http_forms::TEMPLATE;
use crate::config::spec::http_forms::read_keyed_on;
use crate::config::spec::listeners::name;
use crate::config::spec::pools::WEIGHT_MAX;
use crate::model::Expires;
use crate::model::HeaderEdit;
use crate::model::HostMatch;
use crate::model::KeyedOn;
use crate::model::PathMatch;
use crate::model::Rewrite;
use crate::model::TextMatch;
use crate::route::edits::Edit;

/// One of `routes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Where it begins.
    pub span: Span,
    /// What it is called.
    pub name: Option<Written<String>>,
    /// Whom the client asked for.
    pub host: Option<Written<HostMatch>>,
    /// What it asked for.
    pub path: Option<Written<PathMatch>>,
    /// Any of these.
    pub methods: Option<List<Method>>,
    /// Each of these.
    pub headers: Vec<(HeaderName, TextMatch)>,
    /// Each of these.
    pub cookies: Vec<(String, TextMatch)>,
    /// Each of these.
    pub query: Vec<(String, TextMatch)>,
    /// What becomes of a request; absent where that could not be read.
    pub action: Option<Action>,
    /// The path the backend sees.
    pub rewrite: Option<Rewrite>,
    /// Changes to the request.
    pub request_headers: Vec<HeaderEdit>,
    /// Changes to the response.
    pub response_headers: Vec<HeaderEdit>,
    /// How long responses are kept.
    pub expires: Option<Written<Expires>>,
    /// Until the response's head.
    pub timeout: Option<Written<Duration>>,
    /// How often it is tried again.
    pub retries: Option<Written<u64>>,
    /// The name of the sticky cookie.
    pub sticky: Option<Written<String>>,
}

/// What becomes of a request; pools are still names.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `pool`, or `pools` with `split_on`.
    Forward(List<Arm>, Option<Written<KeyedOn>>),
    /// `redirect`.
    Redirect(StatusCode, String),
    /// `respond`.
    Respond(StatusCode, String),
}

/// One of `pools`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The pool's name.
    pub pool: Written<String>,
    /// Its share.
    pub weight: Option<Written<u64>>,
}

const ACTIONS: [&str; 4] = ["pool", "pools", "redirect", "respond"];
const PATHS: [&str; 3] = ["path", "path_prefix", "path_regex"];
/// What only a route with pools does.
const OF_POOLS: [&str; 6] = ["split_on", "rewrite", "request_headers", "timeout", "retries", "sticky"];

/// Longer waits for a head end at the other timeouts.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// Each try is at another endpoint and within one timeout; more find nobody who answers.
const RETRIES_MAX: u64 = 10;
/// Sends a client elsewhere this once: a mistake is not remembered by browsers as with 301 and 308.
const REDIRECT: StatusCode = StatusCode::FOUND;

impl Route {
    /// Reads one route.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Route {
        let span = fields.span;
        let name = name(reports, &mut fields, "a route");
        if let Some(name) = &name {
            fields.what = format!("route `{}`", name.value);
        }
        one_action(reports, &mut fields);
        let has_path = PATHS.iter().any(|key| fields.has(key));
        let path = path(reports, &mut fields);
        // What a path that cannot be read is rewritten to makes no sense either.
        let is_readable = path.is_some() || !has_path;
        let route = Route {
            span,
            name,
            host: fields.form(reports, "host", &HOST),
            path,
            methods: fields.forms(reports, "methods", &METHOD),
            headers: matches(reports, &mut fields, "headers", &HEADER),
            cookies: matches(reports, &mut fields, "cookies", &COOKIE),
            query: matches(reports, &mut fields, "query", &forms::TEXT),
            action: action(reports, &mut fields),
            rewrite: rewrite(reports, &mut fields).filter(|_| is_readable),
            request_headers: edits(reports, &mut fields, "request_headers"),
            response_headers: edits(reports, &mut fields, "response_headers"),
            expires: fields.form(reports, "expires", &EXPIRES),
            timeout: fields.duration(reports, "timeout", Duration::from_millis(1)..=TIMEOUT_MAX),
            retries: fields.integer(reports, "retries", 0..=RETRIES_MAX),
            sticky: sticky(reports, &mut fields),
        };
        fields.finish(reports);
        route
    }
}

/// A route does one thing, and has the keys of that.
fn one_action(reports: &mut Reports<'_>, fields: &mut Fields) {
    let there: Vec<&'static str> = ACTIONS.into_iter().filter(|key| fields.has(key)).collect();
    match there[..] {
        // A misspelt one is found by it.
        [] => fields.require("pool", "\"POOL\""),
        [one] => {
            let (why, help) = match one {
                "redirect" => ("in a route that redirects", "leave it out, or send the route to a `pool`"),
                "respond" => ("in a route that answers itself", "leave it out, or send the route to a `pool`"),
                _ => ("", ""),
            };
            match one {
                "redirect" | "respond" => fields.misplaced(reports, &OF_POOLS, why, help),
                "pool" => {
                    let why = "where there is one pool";
                    fields.misplaced(reports, &["split_on"], why, "leave it out, or list several in `pools`");
                }
                _ => {}
            }
        }
        [first, .., second] => {
            let Some((_, span)) = fields.first_of(&[second]) else { return };
            let help = match (first, second) {
                ("pool", "pools") => "put every pool into `pools`",
                _ => "make two routes of it",
            };
            let fact = format!("a route has `{first}` or `{second}`, not both");
            reports.error(codes::MISPLACED, span, fact).help(help.to_owned());
        }
    }
}

fn path(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Written<PathMatch>> {
    let there: Vec<&'static str> = PATHS.into_iter().filter(|key| fields.has(key)).collect();
    if let [first, .., second] = there[..]
        && let Some((_, span)) = fields.first_of(&[second])
    {
        let fact = format!("a route has `{first}` or `{second}`, not both");
        reports.error(codes::MISPLACED, span, fact).help("make two routes of it".to_owned());
    }
    let exact = fields.form(reports, "path", &PATH).map(|w| w.map(PathMatch::Exact));
    let prefix = fields.form(reports, "path_prefix", &PATH).map(|w| w.map(PathMatch::Prefix));
    let regex = fields.form(reports, "path_regex", &REGEX).map(|w| w.map(PathMatch::Regex));
    exact.or(prefix).or(regex)
}

/// `{ x-canary = "true" }`: names, each with what it must be.
fn matches<N: PartialEq>(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
    key: &'static str,
    names: &Form<N>,
) -> Vec<(N, TextMatch)> {
    let takes = format!("a table, as in `{{ {} = \"true\" }}`", names.example.trim_matches('"'));
    let Some(table) = fields.table(reports, key, &takes) else { return Vec::new() };
    let mut out: Vec<(N, TextMatch)> = Vec::new();
    for (name, value) in table.entries() {
        let Some(text) = text_match(reports, &name, value) else { continue };
        let span = name.span;
        let Some(name) = read_name(reports, names, &name) else { continue };
        if out.iter().any(|(known, _)| *known == name) {
            twice(reports, span);
            continue;
        }
        out.push((name, text));
    }
    out
}

fn twice(reports: &mut Reports<'_>, span: Span) {
    let help = "names of headers are the same in upper and lower case".to_owned();
    reports.error(codes::REPEATED, span, "this header is here already").label("second time").help(help);
}

fn read_name<N>(reports: &mut Reports<'_>, form: &Form<N>, name: &Written<String>) -> Option<N> {
    match (form.read)(&name.value) {
        Ok(read) => Some(read),
        Err(wrong) => {
            let fact = format!("`{}` is not {}", name.value.escape_debug(), form.what);
            reports.error(form.code, name.span, fact).label(wrong.why).help(wrong.help);
            None
        }
    }
}

/// A text that it must be, or one of the other ways to match.
fn text_match(reports: &mut Reports<'_>, name: &Written<String>, value: Written<Value>) -> Option<TextMatch> {
    const WAYS: [&str; 5] = ["present", "prefix", "suffix", "contains", "regex"];
    let what = format!("`{}`", name.value.escape_debug());
    let span = value.span;
    match value.value {
        Value::Text(text) => Some(TextMatch::Is(text)),
        Value::Table(_) => {
            let mut ways = into_table(reports, &what, "a table", value)?;
            let there: Vec<&'static str> = WAYS.into_iter().filter(|way| ways.has(way)).collect();
            if let [first, .., second] = there[..] {
                let fact = format!("{what} has `{first}` or `{second}`, not both");
                reports.error(codes::MISPLACED, span, fact).help("write one `regex` for both".to_owned());
            }
            let present = ways.flag(reports, "present");
            let prefix = ways.form(reports, "prefix", &forms::TEXT).map(|w| TextMatch::Prefix(w.value));
            let suffix = ways.form(reports, "suffix", &forms::TEXT).map(|w| TextMatch::Suffix(w.value));
            let contains = ways.form(reports, "contains", &forms::TEXT).map(|w| TextMatch::Contains(w.value));
            let regex = ways.form(reports, "regex", &REGEX).map(|w| TextMatch::Regex(w.value));
            if ways.finish(reports) && there.is_empty() {
                let help = format!("write one of {}", WAYS.map(|way| format!("`{way}`")).join(", "));
                reports.error(codes::EMPTY, span, format!("{what} may be anything here")).help(help);
            }
            let present = present.map(|w| if w.value { TextMatch::Present } else { TextMatch::Absent });
            present.or(prefix).or(suffix).or(contains).or(regex)
        }
        other => {
            let takes = "a text, or a table, as in `{ prefix = \"v2-\" }`";
            let help = match other {
                Value::Flag(_) | Value::Integer(_) => {
                    Some("what requests say is text: put it into quotation marks".into())
                }
                _ => None,
            };
            wrong_type(reports, span, &what, takes, &other, help);
            None
        }
    }
}

fn action(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Action> {
    let pool = fields.name(reports, "pool");
    let pools = arms(reports, fields);
    let split_on = read_keyed_on(reports, fields, "split_on");
    let redirect = redirect(reports, fields);
    let respond = respond(reports, fields);
    let one = pool.map(|pool| {
        let span = pool.span;
        List { items: vec![Written { value: Arm { pool, weight: None }, span }], span, complete: true }
    });
    pools.or(one).map(|arms| Action::Forward(arms, split_on)).or(redirect).or(respond)
}

fn arms(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<List<Arm>> {
    let list = fields.tables(reports, "pools", "a pool", "{ pool = \"POOL\", weight = 95 }")?;
    let written = list.items.len();
    let read = |item: Written<Fields>| {
        let (mut fields, span) = (item.value, item.span);
        fields.require("pool", "\"POOL\"");
        let pool = fields.name(reports, "pool");
        let weight = fields.integer(reports, "weight", 0..=WEIGHT_MAX);
        fields.finish(reports);
        Some(Written { value: Arm { pool: pool?, weight }, span })
    };
    let items: Vec<_> = list.items.into_iter().filter_map(read).collect();
    let complete = list.complete && items.len() == written;
    Some(List { items, span: list.span, complete })
}

fn redirect(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Action> {
    let takes = "a table, as in `{ to = \"https://{host}{uri}\", status = 308 }`";
    let mut table = fields.table(reports, "redirect", takes)?;
    table.require("to", "\"https://{host}{uri}\"");
    let to = table.form(reports, "to", &TEMPLATE);
    let status = table.integer(reports, "status", 300..=399);
    table.finish(reports);
    if let Some(status) = status.as_ref().filter(|status| !matches!(status.value, 301 | 302 | 303 | 307 | 308)) {
        let help = "use 301, 302, 303, 307 or 308".to_owned();
        reports.error(codes::RANGE, status.span, format!("{} is no redirect", status.value)).help(help);
        return None;
    }
    Some(Action::Redirect(code(status, REDIRECT), to?.value))
}

fn respond(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Action> {
    let takes = "a table, as in `{ status = 404, body = \"not here\" }`";
    let mut table = fields.table(reports, "respond", takes)?;
    table.require("status", "404");
    let status = table.integer(reports, "status", 200..=599);
    let body = table.form(reports, "body", &forms::TEXT);
    table.finish(reports);
    if let (Some(status), Some(body)) = (&status, &body)
        && matches!(status.value, 204 | 205 | 304)
    {
        let fact = format!("a response with status {} has no body", status.value);
        reports.error(codes::MISPLACED, body.span, fact).help("leave `body` out".to_owned());
    }
    Some(Action::Respond(code(Some(status?), StatusCode::OK), body.map_or_else(String::new, |w| w.value)))
}

fn code(written: Option<Written<u64>>, default: StatusCode) -> StatusCode {
    written.and_then(|w| StatusCode::from_u16(u16::try_from(w.value).ok()?).ok()).unwrap_or(default)
}

fn rewrite(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Rewrite> {
    let mut table = fields.table(reports, "rewrite", "a table, as in `{ prefix = \"/\" }`")?;
    if table.has("prefix") && table.has("path") {
        let fact = "a rewrite has `prefix` or `path`, not both";
        let help = "`prefix` takes the place of the route's prefix, `path` that of the whole path".to_owned();
        reports.error(codes::MISPLACED, table.span, fact).help(help);
    } else if !table.has("path") {
        table.require("prefix", "\"/\"");
    }
    let prefix = table.form(reports, "prefix", &PATH).map(|w| Rewrite::Prefix(w.value));
    let path = table.form(reports, "path", &TEMPLATE).map(|w| Rewrite::Path(w.value));
    table.finish(reports);
    prefix.or(path)
}

/// Removals first, so that what is set and added stays, whatever the order of the keys.
fn edits(reports: &mut Reports<'_>, fields: &mut Fields, key: &'static str) -> Vec<HeaderEdit> {
    let takes = "a table, as in `{ set = { x-frame-options = \"DENY\" }, remove = [\"server\"] }`";
    let Some(mut table) = fields.table(reports, key, takes) else { return Vec::new() };
    let mut edits = Vec::new();
    for name in table.forms(reports, "remove", &HEADER).into_iter().flat_map(|list| list.items) {
        edits.extend(checked(reports, name.map(HeaderEdit::Remove)));
    }
    edits.extend(values(reports, &mut table, "set", HeaderEdit::Set));
    edits.extend(values(reports, &mut table, "add", HeaderEdit::Add));
    table.finish(reports);
    edits
}

fn values(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
    key: &'static str,
    edit: fn(HeaderName, String) -> HeaderEdit,
) -> Vec<HeaderEdit> {
    let Some(table) = fields.table(reports, key, "a table, as in `{ x-region = \"eu\" }`") else { return Vec::new() };
    let mut seen: HashSet<HeaderName> = HashSet::new();
    let mut edits = Vec::new();
    for (name, value) in table.entries() {
        let what = format!("`{}`", name.value.escape_debug());
        let value = read_form(reports, &what, &TEMPLATE, value);
        let span = name.span;
        let Some(name) = read_name(reports, &HEADER, &name) else { continue };
        if !seen.insert(name.clone()) {
            twice(reports, span);
        } else if let Some(value) = value {
            edits.extend(checked(reports, Written { value: edit(name, value.value), span }));
        }
    }
    edits
}

/// The change, unless it would break messages.
fn checked(reports: &mut Reports<'_>, edit: Written<HeaderEdit>) -> Option<HeaderEdit> {
    match Edit::of(&edit.value) {
        Ok(_) => Some(edit.value),
        Err(fact) => {
            reports.error(codes::ROUTE, edit.span, fact).help("leave it out".to_owned());
            None
        }
    }
}

/// The cookie's name, alone or in a table.
fn sticky(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Written<String>> {
    let value = fields.any("sticky")?;
    match value.value {
        Value::Text(_) => read_form(reports, "`sticky`", &COOKIE, value),
        Value::Table(_) => {
            let mut table = into_table(reports, "`sticky`", "a table", value)?;
            table.require("cookie", COOKIE.example);
            let cookie = table.form(reports, "cookie", &COOKIE);
            table.finish(reports);
            cookie
        }
        other => {
            let takes = "the name of a cookie, as in `\"session\"`";
            wrong_type(reports, value.span, "`sticky`", takes, &other, None);
            None
        }
    }
}
