//! The texts that only listeners and their routes have: hosts, paths, names of headers and cookies, `expires`, what requests
//! are told apart by.

use std::time::Duration;

use http::HeaderName;
use http::Method;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::into_table;
use crate::config::fields::read_form;
use crate::config::fields::wrong_type;
use crate::config::forms::Form;
use crate::config::forms::Wrong;
use crate::config::forms::wrong;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::model::Expires;
use crate::model::HostMatch;
use crate::model::KeyedOn;
use crate::route::host::Authority;
use crate::route::predicate;
use crate::route::template::Template;

/// `"*"`, `"www.example.com"`, `"*.example.com"`.
pub const HOST: Form<HostMatch> =
    Form { what: "a host", code: codes::FORM, example: "\"www.example.com\"", read: host };
/// `"/v2/"`: a path as requests have it, without a query.
pub const PATH: Form<String> = Form { what: "a path", code: codes::FORM, example: "\"/v2/\"", read: path };
/// `"GET"`.
pub const METHOD: Form<Method> = Form { what: "a method", code: codes::FORM, example: "\"GET\"", read: method };
/// `"x-canary"`.
pub const HEADER: Form<HeaderName> =
    Form { what: "the name of a header", code: codes::FORM, example: "\"x-canary\"", read: header };
/// `"session"`.
pub const COOKIE: Form<String> =
    Form { what: "the name of a cookie", code: codes::FORM, example: "\"session\"", read: cookie };
/// `"websocket"`.
pub const UPGRADE: Form<String> =
    Form { what: "a protocol to upgrade to", code: codes::FORM, example: "\"websocket\"", read: upgrade };
/// `"30d"`, `"-1h"`, `"epoch"`, `"max"`.
pub const EXPIRES: Form<Expires> =
    Form { what: "how long a response is kept", code: codes::FORM, example: "\"30d\"", read: expires };
/// `"/v[12]/.*"`: an expression that matches the whole of a text.
pub const REGEX: Form<String> =
    Form { what: "a regular expression", code: codes::FORM, example: "\"/v[12]/.*\"", read: regex };
/// `"https://{host}{uri}"`: a text with places that are filled in.
pub const TEMPLATE: Form<String> =
    Form { what: "a template", code: codes::FORM, example: "\"https://{host}{uri}\"", read: template };
/// `"client"`, `"path"`, `"header:x-user"`.
const KEYED_ON: Form<KeyedOn> =
    Form { what: "what requests are told apart by", code: codes::FORM, example: "\"client\"", read: keyed_on };

/// What requests are told apart by: a text, or `{ v4 = 24, v6 = 56 }` for networks of clients.
pub fn read_keyed_on(reports: &mut Reports<'_>, fields: &mut Fields, key: &'static str) -> Option<Written<KeyedOn>> {
    let value = fields.any(key)?;
    let what = format!("`{key}`");
    match value.value {
        Value::Text(_) => read_form(reports, &what, &KEYED_ON, value),
        Value::Table(_) => {
            let span = value.span;
            let mut bits = into_table(reports, &what, "a table", value)?;
            let (v4, v6) = (bits.integer(reports, "v4", 0..=32), bits.integer(reports, "v6", 0..=128));
            bits.finish(reports);
            let KeyedOn::Client { v4: all_v4, v6: all_v6 } = KeyedOn::default() else { return None };
            let bits = |written: Option<Written<u64>>, default| written.map_or(default, |w| w.value as u8);
            Some(Written { value: KeyedOn::Client { v4: bits(v4, all_v4), v6: bits(v6, all_v6) }, span })
        }
        other => {
            let takes = format!("a text, as in `{}`, or `{{ v4 = 24, v6 = 56 }}`", KEYED_ON.example);
            wrong_type(reports, value.span, &what, &takes, &other, None);
            None
        }
    }
}

fn keyed_on(text: &str) -> Result<KeyedOn, Wrong> {
    const HELP: &str = "write `client`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`";
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    match (kind, name) {
        ("client", None) => Ok(KeyedOn::default()),
        ("path", None) => Ok(KeyedOn::Path),
        ("header", Some(name)) => header(name).map(KeyedOn::Header),
        ("cookie", Some(name)) => cookie(name).map(KeyedOn::Cookie),
        ("query", Some("")) => wrong("the name of a parameter is missing", HELP),
        ("query", Some(name)) => Ok(KeyedOn::Query(name.to_owned())),
        ("header" | "cookie" | "query", None) => wrong("the name is missing", format!("write `{kind}:NAME`")),
        ("client" | "path", Some(_)) => wrong("it takes no name", format!("write `{kind}`")),
        _ => wrong("there is no such thing to go by", HELP),
    }
}

fn host(text: &str) -> Result<HostMatch, Wrong> {
    const HELP: &str = "write `www.example.com`, `*.example.com`, or `*` for any";
    if text == "*" {
        return Ok(HostMatch::Any);
    }
    if text.contains("://") || text.contains('/') {
        return wrong("it is a URL", HELP);
    }
    let (name, is_wildcard) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
    if let Some(name) = name.strip_prefix('.') {
        return wrong("it begins with a dot", format!("did you mean `*.{name}`?"));
    }
    if name.contains('*') {
        return wrong("`*` stands alone or first, before a dot", HELP);
    }
    if name.parse::<std::net::Ipv6Addr>().is_ok() {
        return wrong("IPv6 needs brackets", format!("write `[{name}]`"));
    }
    match Authority::parse(name) {
        None => wrong("it cannot be a host name", HELP),
        Some(authority) if authority.port.is_some() || name.ends_with(':') => {
            wrong("it holds a port", "the port is the listener's, in `bind`")
        }
        Some(authority) if is_wildcard && authority.host.starts_with('[') => {
            wrong("addresses have no names under them", HELP)
        }
        Some(authority) if is_wildcard => Ok(HostMatch::Under(authority.host.into_owned())),
        Some(authority) => Ok(HostMatch::Exact(authority.host.into_owned())),
    }
}

/// Whether it is in its one form is told where the listener's rules for paths are known.
fn path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return wrong("it does not begin with `/`", format!("write `/{}`", text.trim_start()));
    }
    match text.find(['?', '#']) {
        Some(at) if text[at..].starts_with('?') => {
            wrong("a query is no part of it", "leave `?` and what follows out; `query` asks for parameters")
        }
        Some(_) => wrong("a fragment never reaches a server", "leave `#` and what follows out"),
        None => Ok(text.to_owned()),
    }
}

fn method(text: &str) -> Result<Method, Wrong> {
    const HELP: &str = "write `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, or another token";
    let upper = text.to_ascii_uppercase();
    match Method::from_bytes(text.as_bytes()) {
        // Only the common ones: of others nobody knows how they are spelled.
        Ok(method)
            if upper != text
                && !is_common(&method)
                && Method::from_bytes(upper.as_bytes()).is_ok_and(|m| is_common(&m)) =>
        {
            wrong("methods are case-sensitive", format!("did you mean `{upper}`?"))
        }
        Ok(method) => Ok(method),
        Err(_) => wrong("it is no token", HELP),
    }
}

fn is_common(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method)
}

fn header(text: &str) -> Result<HeaderName, Wrong> {
    const HELP: &str = "write a name as in `x-canary`";
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Ok(name),
        Err(_) if text.is_empty() => wrong("the name is missing", HELP),
        Err(_) if text.starts_with(':') => wrong("`:` begins what is no header", "use `host`, `methods` and the paths"),
        Err(_) => wrong("it is no token", HELP),
    }
}

/// RFC 6265 section 4.1.1: a token.
fn cookie(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "use letters, digits, `-`, `_` and `.`";
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.bytes().find(|byte| !is_token(*byte)) {
        None if text.is_empty() => wrong("the name is missing", HELP),
        None => Ok(text.to_owned()),
        Some(odd) => wrong(format!("it holds `{}`", char::from(odd).escape_default()), HELP),
    }
}

fn upgrade(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write `websocket`";
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        return wrong("it is no token", HELP);
    }
    if text.eq_ignore_ascii_case("h2c") {
        return wrong("HTTP/2 is spoken without an upgrade; the offer is passed over", "leave it out");
    }
    Ok(text.to_ascii_lowercase())
}

fn regex(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "it matches the whole text, in linear time: without look-around and back-references";
    match predicate::whole(text) {
        _ if text.is_empty() => wrong("it is empty", "leave the key out to match anything"),
        Ok(_) => Ok(text.to_owned()),
        // Before that the error draws the expression over several lines.
        Err(error) => wrong(error.rsplit("error: ").next().unwrap_or(&error).trim(), HELP),
    }
}

fn template(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write a text as in `https://{host}{uri}`; `{{` and `}}` are braces";
    match Template::parse(text) {
        _ if text.is_empty() => wrong("it is empty", HELP),
        Ok(_) => Ok(text.to_owned()),
        Err(why) => wrong(why, HELP),
    }
}

/// nginx's units (`M` is 30 days, `y` 365); of those below a second HTTP knows nothing.
const EXPIRES_UNITS: [(char, u64); 7] =
    [('y', 31_536_000), ('M', 2_592_000), ('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// What `max` says.
const KEPT_MAX_SECS: u64 = 315_360_000;

fn expires(text: &str) -> Result<Expires, Wrong> {
    const HELP: &str = "write `30d`, `12h`, `1h30m`, `0`, `-1h`, `epoch` or `max`";
    match text {
        "epoch" => return Ok(Expires::Epoch),
        "max" => return Ok(Expires::Max),
        "0" => return Ok(Expires::After(Duration::ZERO)),
        "off" => return wrong("responses are left as they are without the key", "leave `expires` out"),
        _ if text.starts_with("modified") || text.starts_with('@') => {
            return wrong("times of day, and from the last change, are not supported", HELP);
        }
        _ => {}
    }
    let (span, is_past) = text.strip_prefix('-').map_or((text, false), |span| (span, true));
    let seconds = seconds(span, text)?;
    match seconds {
        0..=KEPT_MAX_SECS if is_past => Ok(Expires::Before(Duration::from_secs(seconds))),
        0..=KEPT_MAX_SECS => Ok(Expires::After(Duration::from_secs(seconds))),
        _ if is_past => wrong("that is more than ten years ago", "write `epoch`"),
        _ => wrong("that is more than ten years", "write `max`"),
    }
}

/// The seconds of `1d12h`; `whole` is what was written.
fn seconds(mut rest: &str, whole: &str) -> Result<u64, Wrong> {
    const HELP: &str = "write `30d`, `12h`, `1h30m`, `0`, `-1h`, `epoch` or `max`";
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong("the unit is missing", format!("write `{whole}s` for seconds"));
    }
    let (mut seconds, mut unit_before) = (0u64, u64::MAX);
    while !rest.is_empty() || unit_before == u64::MAX {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let Ok(number) = number.parse::<u64>() else { return wrong("a whole number is expected", HELP) };
        let Some(letter) = after.chars().next() else { return wrong("a unit is expected at the end", HELP) };
        let Some((_, unit)) = EXPIRES_UNITS.iter().find(|(known, _)| *known == letter) else {
            return wrong(format!("the unit `{}` is not one of s m h d w M y", letter.escape_debug()), HELP);
        };
        if *unit >= unit_before {
            return wrong("larger units come first, each once", HELP);
        }
        unit_before = *unit;
        seconds = match number.checked_mul(*unit).and_then(|more| seconds.checked_add(more)) {
            Some(seconds) => seconds,
            None => return wrong("it is too long", HELP),
        };
        rest = &after[letter.len_utf8()..];
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn help<T: std::fmt::Debug>(read: Result<T, Wrong>) -> String {
        read.unwrap_err().help.unwrap()
    }

    #[test]
    fn hosts() {
        assert_eq!(host("*"), Ok(HostMatch::Any));
        assert_eq!(host("WWW.Example.com."), Ok(HostMatch::Exact("www.example.com".into())));
        assert_eq!(host("*.example.com"), Ok(HostMatch::Under("example.com".into())));
        assert_eq!(host("192.0.2.1"), Ok(HostMatch::Exact("192.0.2.1".into())));
        assert_eq!(host("[2001:DB8::1]"), Ok(HostMatch::Exact("[2001:db8::1]".into())));
        assert_eq!(help(host(".example.com")), "did you mean `*.example.com`?");
        assert_eq!(help(host("2001:db8::1")), "write `[2001:db8::1]`");
        assert_eq!(host("www.example.com:443").unwrap_err().why, "it holds a port");
        assert_eq!(host("https://www.example.com").unwrap_err().why, "it is a URL");
        for bad in ["", "**", "a.*.example.com", "w*.example.com", "*.", "*.[::1]", "a..b", "a b", "*.*.example.com"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_have_no_query() {
        assert_eq!(path("/v2/"), Ok("/v2/".into()));
        assert_eq!(help(path("v2")), "write `/v2`");
        assert_eq!(path("/a?b=1").unwrap_err().why, "a query is no part of it");
        assert!(path("/a#b").is_err());
    }

    #[test]
    fn names_and_methods() {
        assert_eq!(method("PROPFIND").unwrap().as_str(), "PROPFIND");
        assert_eq!(help(method("get")), "did you mean `GET`?");
        assert!(method("GET POST").is_err());
        assert_eq!(header("X-Canary").unwrap(), "x-canary");
        assert!(header("x canary").is_err());
        assert!(header(":path").is_err());
        assert_eq!(cookie("__Host-id"), Ok("__Host-id".into()));
        assert_eq!(cookie("a=b").unwrap_err().why, "it holds `=`");
        assert!(cookie("").is_err());
        assert_eq!(upgrade("WebSocket"), Ok("websocket".into()));
        assert_eq!(help(upgrade("h2c")), "leave it out");
    }

    #[test]
    fn expressions_and_templates() {
        assert_eq!(regex("/v[12]/.*"), Ok("/v[12]/.*".into()));
        assert_eq!(regex("(").unwrap_err().why, "unclosed group");
        assert!(regex("(?=a)").unwrap_err().why.contains("look-around"));
        assert_eq!(template("https://{host}{uri}"), Ok("https://{host}{uri}".into()));
        assert!(template("{nobody}").unwrap_err().why.contains("is no place"));
        assert!(template("a}").is_err());
    }

    #[test]
    fn expires_as_nginx_has_it() {
        let after = |seconds| Ok(Expires::After(Duration::from_secs(seconds)));
        assert_eq!(expires("30d"), after(2_592_000));
        assert_eq!(expires("1h30m"), after(5_400));
        assert_eq!(expires("1y"), after(31_536_000));
        assert_eq!(expires("0"), after(0));
        assert_eq!(expires("-1h"), Ok(Expires::Before(Duration::from_secs(3_600))));
        assert_eq!(expires("epoch"), Ok(Expires::Epoch));
        assert_eq!(expires("max"), Ok(Expires::Max));
        assert_eq!(help(expires("3600")), "write `3600s` for seconds");
        assert_eq!(help(expires("-1")), "write `-1s` for seconds");
        assert_eq!(help(expires("off")), "leave `expires` out");
        assert_eq!(help(expires("20y")), "write `max`");
        for bad in ["", "-", "s", "1x", "1s1h", "1h1h", "5ms", "modified +24h", "@15h30m", "99999999999999999999y"] {
            assert!(expires(bad).is_err(), "{bad}");
        }
    }

    /// As [`expires`] reads it.
    fn shown(expires: Expires) -> String {
        match expires {
            Expires::After(kept) => format!("{}s", kept.as_secs()),
            Expires::Before(past) => format!("-{}s", past.as_secs()),
            Expires::Epoch => "epoch".into(),
            Expires::Max => "max".into(),
        }
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(keyed_on("client"), Ok(KeyedOn::default()));
        assert_eq!(keyed_on("header:X-User"), Ok(KeyedOn::Header(HeaderName::from_static("x-user"))));
        assert_eq!(help(keyed_on("header")), "write `header:NAME`");
        assert_eq!(help(keyed_on("path:a")), "write `path`");
        for bad in ["", "user", "header:", "cookie:", "query:", "cookie:a b", "Client"] {
            assert!(keyed_on(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hosts_are_read_back(name in "[a-z0-9_]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{2,6}){0,3}") {
            prop_assert_eq!(host(&name), Ok(HostMatch::Exact(name.clone())));
            prop_assert_eq!(host(&format!("*.{name}")), Ok(HostMatch::Under(name)));
        }

        #[test]
        fn expires_is_read_back(seconds in 0..=KEPT_MAX_SECS) {
            let span = Duration::from_secs(seconds);
            for written in [Expires::After(span), Expires::Before(span), Expires::Epoch, Expires::Max] {
                prop_assert_eq!(expires(&shown(written)), Ok(written));
            }
        }

        #[test]
        fn what_requests_are_told_apart_by_is_read_back(name in "[a-z0-9-]{1,20}") {
            let header = KeyedOn::Header(HeaderName::from_bytes(name.as_bytes()).unwrap());
            prop_assert_eq!(keyed_on(&format!("header:{name}")), Ok(header));
            prop_assert_eq!(keyed_on(&format!("cookie:{name}")), Ok(KeyedOn::Cookie(name.clone())));
            prop_assert_eq!(keyed_on(&format!("query:{name}")), Ok(KeyedOn::Query(name)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", like in "-?[0-9]{0,20}[a-zA-Z:*.\\[\\]/?#]{0,9}[0-9]{0,3}[ydhms]?") {
            for text in [text, like] {
                let _ = (host(&text), path(&text), method(&text), header(&text), cookie(&text), upgrade(&text));
                let _ = (expires(&text), keyed_on(&text), regex(&text), template(&text));
            }
        }
    }
}
