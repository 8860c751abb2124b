//! Listeners, and how they treat pools, in words: what `changes` compares beside [`super::facts`].
//!
//! There are many settings, and most are left alone: of those only what is not as usual is a fact. A route without a name
//! is known by what it asks for, so that one more route is one line more.

use std::time::Duration;

use crate::config::forms::show_duration;
use crate::impact::facts::Fact;
use crate::impact::facts::all;
use crate::impact::facts::fact;
use crate::impact::facts::listed;
use crate::impact::facts::networks;
use crate::impact::facts::numbered;
use crate::model::AccessLogFormat;
use crate::model::AccessLogSettings;
use crate::model::Action;
use crate::model::ClientShown;
use crate::model::EncodedSlash;
use crate::model::Expires;
use crate::model::FlowTimeouts;
use crate::model::Forward;
use crate::model::HeaderEdit;
use crate::model::HostMatch;
use crate::model::Http;
use crate::model::HttpTimeouts;
use crate::model::KeyedOn;
use crate::model::Limits;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PathMatch;
use crate::model::PathRules;
use crate::model::Protocol;
use crate::model::ProxyProtocol;
use crate::model::ProxySettings;
use crate::model::ROUTE_RETRIES;
use crate::model::ROUTE_TIMEOUT;
use crate::model::RequestMatch;
use crate::model::Rewrite;
use crate::model::Route;
use crate::model::Speaks;
use crate::model::TextMatch;
use crate::model::Underscores;
use crate::model::Upstream;

/// Facts that are not as usual.
#[derive(Default)]
struct Unusual(Vec<Fact>);

impl Unusual {
    fn add<T: PartialEq>(&mut self, key: &str, is: T, usual: T, words: impl Fn(T) -> String) {
        if is != usual {
            self.0.push(fact(key, words(is)));
        }
    }

    fn time(&mut self, key: &str, is: Duration, usual: Duration) {
        self.add(key, is, usual, show_duration);
    }

    fn number<T: PartialEq + ToString>(&mut self, key: &str, is: T, usual: T) {
        self.add(key, is, usual, |number| number.to_string());
    }

    /// Something that is not there as a rule.
    fn some<T: PartialEq>(&mut self, key: &str, is: Option<T>, words: impl Fn(T) -> String) {
        if let Some(is) = is {
            self.0.push(fact(key, words(is)));
        }
    }
}

fn per_cent(number: u32) -> String {
    format!("{number}%")
}

/// How listeners treat a pool.
pub fn upstream(upstream: &Upstream) -> Vec<Fact> {
    let usual = Upstream::default();
    let mut facts = Unusual::default();
    facts.add("protocol", upstream.speaks, usual.speaks, |speaks| {
        let word = match speaks {
            Speaks::Http1 => "http1",
            Speaks::Http2 => "http2",
            Speaks::Either => "either",
        };
        word.to_owned()
    });
    facts.some("tls", upstream.tls.as_ref(), |tls| {
        let name = tls.server_name.as_deref().unwrap_or("the endpoint's address");
        let roots = tls.ca_file.as_ref().map_or_else(String::new, |file| format!(", ca_file {}", file.display()));
        let verify = if tls.verify { "" } else { ", not verified" };
        format!("{name}{roots}{verify}")
    });
    facts.add("hash_on", &upstream.keyed_on, &usual.keyed_on, keyed_on);
    facts.some("bounded_load", upstream.bound_percent, per_cent);
    facts.time("slow_start", upstream.slow_start, usual.slow_start);
    facts.add("panic", upstream.panic_percent, usual.panic_percent, per_cent);
    facts.time("connect_timeout", upstream.connect_timeout, usual.connect_timeout);
    facts.time("idle_timeout", upstream.idle_timeout, usual.idle_timeout);
    facts.number("max_connections", upstream.connections_max, usual.connections_max);
    facts.number("max_requests", upstream.requests_max, usual.requests_max);
    facts.add("retry_budget", upstream.retry_percent, usual.retry_percent, per_cent);
    facts.add("on_down", upstream.closes_when_down, false, |_| "close".to_owned());
    facts.0
}

/// `[proxy]`, without its secrets.
pub fn proxy(proxy: &ProxySettings) -> Vec<Fact> {
    let mut facts = Unusual::default();
    facts.number("workers", proxy.workers, 0);
    facts.some("sticky_secret_file", proxy.sticky_secret_file.as_ref(), |file| file.display().to_string());
    facts.0
}

/// `[access_log]`.
pub fn access_log(log: Option<&AccessLogSettings>) -> Vec<Fact> {
    let Some(log) = log else { return Vec::new() };
    let client = match log.client {
        ClientShown::Prefix => "prefix",
        ClientShown::Full => "full",
        ClientShown::None => "none",
    };
    vec![
        fact("file", log.file.as_ref().map_or_else(|| "standard error".to_owned(), |file| file.display().to_string())),
        fact("sample", log.sample),
        fact("format", if log.format == AccessLogFormat::Json { "json" } else { "text" }),
        fact("client", client),
        fact("rate_max", log.rate_max),
    ]
}

/// `[[listener]]`.
pub fn listener(model: &Model, listener: &Listener) -> Vec<Fact> {
    let mut facts = Unusual(vec![
        fact("region", &model.region(listener.region).name),
        fact("bind", listener.bind),
        fact("protocol", listener.protocol_word()),
    ]);
    if !listener.proxy_protocol_from.is_empty() {
        facts.0.push(fact("proxy_protocol.accept_from", networks(&listener.proxy_protocol_from)));
    }
    facts.some("proxy_protocol.send", listener.proxy_protocol_to, |version| {
        if version == ProxyProtocol::V1 { "v1" } else { "v2" }.to_owned()
    });
    let (limits, usual) = (&listener.limits, Limits::default());
    facts.number("max_connections", limits.connections_max, usual.connections_max);
    facts.number("max_requests", limits.requests_max, usual.requests_max);
    facts.number("max_queue", limits.queue_max, usual.queue_max);
    facts.time("queue_timeout", limits.queue_timeout, usual.queue_timeout);
    facts.some("client_rate", limits.client_rate, |rate| rate.to_string());
    facts.0.push(fact("drain_timeout", show_duration(listener.drain_timeout)));
    facts.add("misdirected", listener.sends_on, true, |sends_on| if sends_on { "forward" } else { "serve" }.to_owned());
    match &listener.protocol {
        Protocol::Http(http) => of_http(model, http, &mut facts),
        Protocol::Tcp(forward) => of_forward(model, forward, FlowTimeouts::TCP, &mut facts),
        Protocol::Udp(forward) => of_forward(model, forward, FlowTimeouts::UDP, &mut facts),
        Protocol::TlsPassthrough(through) => {
            of_flows(&through.timeouts, FlowTimeouts::TCP, &mut facts);
            let named = through.routes.iter().map(|(host, pool)| {
                let host = match host {
                    HostMatch::Any => "*".to_owned(),
                    HostMatch::Exact(name) => name.clone(),
                    HostMatch::Under(name) => format!("*.{name}"),
                };
                fact(&format!("routes.{host}"), &model.pool(*pool).name)
            });
            facts.0.extend(named);
        }
    }
    facts.0
}

fn of_forward(model: &Model, forward: &Forward, usual: FlowTimeouts, facts: &mut Unusual) {
    facts.0.push(fact("pool", &model.pool(forward.pool).name));
    of_flows(&forward.timeouts, usual, facts);
}

fn of_flows(timeouts: &FlowTimeouts, usual: FlowTimeouts, facts: &mut Unusual) {
    facts.time("timeouts.hello", timeouts.hello, usual.hello);
    facts.time("timeouts.idle", timeouts.idle, usual.idle);
    facts.time("timeouts.half_closed", timeouts.half_closed, usual.half_closed);
}

fn of_http(model: &Model, http: &Http, facts: &mut Unusual) {
    let certificates = all(http.tls.iter().map(|at| &model.tls[*at].name));
    facts.some("tls", Some(certificates).filter(|_| !http.tls.is_empty()), |names| names);
    if !http.trusted_proxies.is_empty() {
        facts.0.push(fact("trusted_proxies", networks(&http.trusted_proxies)));
    }
    facts.add("paths", http.paths, PathRules::default(), |paths| {
        let slash = match paths.encoded_slash {
            EncodedSlash::Keep => "keep",
            EncodedSlash::Decode => "decode",
            EncodedSlash::Refuse => "refuse",
        };
        format!("encoded_slash {slash}, merge_slashes {}", paths.merge_slashes)
    });
    facts.add("underscores", http.underscores, Underscores::default(), |underscores| {
        let word = match underscores {
            Underscores::Refuse => "refuse",
            Underscores::Drop => "drop",
            Underscores::Keep => "keep",
        };
        word.to_owned()
    });
    facts.0.push(fact("upgrades", all(&http.upgrades)));
    facts.some("trailers", Some(&http.trailers).filter(|names| !names.is_empty()), all);
    facts.some("max_body", http.body_bytes_max, |bytes| format!("{bytes} bytes"));
    let (timeouts, usual) = (&http.timeouts, HttpTimeouts::default());
    facts.time("timeouts.handshake", timeouts.handshake, usual.handshake);
    facts.time("timeouts.header", timeouts.header, usual.header);
    facts.time("timeouts.body", timeouts.body, usual.body);
    facts.time("timeouts.idle", timeouts.idle, usual.idle);
    facts.time("timeouts.upgraded_idle", timeouts.upgraded_idle, usual.upgraded_idle);
    facts.some("timeouts.age", timeouts.age, show_duration);
    facts.0.extend(numbered(http.routes.iter().map(|route| self::route(model, route)).collect()));
}

/// Names of the operator's choice hold no bracket, so `routes[2]` is one that has none.
fn route(model: &Model, route: &Route) -> Fact {
    let (asked, done) = (asked(&route.matches), done(model, route));
    match route.name.contains('[') {
        true => listed(format!("route {asked}"), done),
        false => listed(format!("route {}", route.name), format!("{asked} {done}")),
    }
}

/// `www.example.com /static/… with header x-canary`.
fn asked(matches: &RequestMatch) -> String {
    let host = match &matches.host {
        HostMatch::Any => "*".to_owned(),
        HostMatch::Exact(name) => name.clone(),
        HostMatch::Under(name) => format!("*.{name}"),
    };
    let path = match &matches.path {
        PathMatch::Any => String::new(),
        PathMatch::Exact(path) => format!(" {path}"),
        PathMatch::Prefix(prefix) => format!(" {prefix}…"),
        PathMatch::Regex(regex) => format!(" ~ {regex}"),
    };
    let methods = if matches.methods.is_empty() { String::new() } else { format!(" {}", all(&matches.methods)) };
    let headers = matches.headers.iter().map(|(name, text)| must(&format!("header {name}"), text));
    let cookies = matches.cookies.iter().map(|(name, text)| must(&format!("cookie {name}"), text));
    let query = matches.query.iter().map(|(name, text)| must(&format!("parameter {name}"), text));
    let with: Vec<String> = headers.chain(cookies).chain(query).collect();
    let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
    format!("{host}{path}{methods}{with}")
}

fn must(what: &str, text: &TextMatch) -> String {
    match text {
        TextMatch::Present => what.to_owned(),
        TextMatch::Absent => format!("no {what}"),
        TextMatch::Is(text) => format!("{what} = {text:?}"),
        TextMatch::Prefix(text) => format!("{what} = {text:?}…"),
        TextMatch::Suffix(text) => format!("{what} = …{text:?}"),
        TextMatch::Contains(text) => format!("{what} = …{text:?}…"),
        TextMatch::Regex(text) => format!("{what} ~ {text}"),
    }
}

/// What becomes of a request: `pools eu-app 95, eu-canary 5 by cookie session, sticky backend`.
fn done(model: &Model, route: &Route) -> String {
    let mut out = match &route.action {
        Action::Forward { arms, keyed_on: by } => {
            let pool = |id| model.pool(id).name.as_str();
            match &arms[..] {
                [one] => format!("pool {}", pool(one.pool)),
                many => {
                    let arms = all(many.iter().map(|arm| format!("{} {}", pool(arm.pool), arm.weight)));
                    format!("pools {arms} by {}", keyed_on(by))
                }
            }
        }
        Action::Redirect { status, to } => format!("redirect {} {to}", status.as_u16()),
        Action::Respond { status, body } => format!("respond {} {body:?}", status.as_u16()),
    };
    if route.timeout != ROUTE_TIMEOUT {
        out.push_str(&format!(", timeout {}", show_duration(route.timeout)));
    }
    if route.retries != ROUTE_RETRIES {
        out.push_str(&format!(", retries {}", route.retries));
    }
    match &route.rewrite {
        None => {}
        Some(Rewrite::Prefix(to)) => out.push_str(&format!(", prefix rewritten to {to}")),
        Some(Rewrite::Path(to)) => out.push_str(&format!(", path rewritten to {to}")),
    }
    for (which, edits) in [("request", &route.request_headers), ("response", &route.response_headers)] {
        if !edits.is_empty() {
            out.push_str(&format!(", {which} headers: {}", all(edits.iter().map(edit))));
        }
    }
    if let Some(expires) = route.expires {
        out.push_str(&format!(", expires {}", self::expires(expires)));
    }
    if let Some(sticky) = &route.sticky {
        out.push_str(&format!(", sticky {}", sticky.name));
    }
    out
}

fn edit(edit: &HeaderEdit) -> String {
    match edit {
        HeaderEdit::Set(name, value) => format!("{name} = {value:?}"),
        HeaderEdit::Add(name, value) => format!("{name} + {value:?}"),
        HeaderEdit::Remove(name) => format!("no {name}"),
    }
}

fn expires(expires: Expires) -> String {
    match expires {
        Expires::After(kept) => show_duration(kept),
        Expires::Before(past) => format!("-{}", show_duration(past)),
        Expires::Epoch => "epoch".to_owned(),
        Expires::Max => "max".to_owned(),
    }
}

fn keyed_on(keyed_on: &KeyedOn) -> String {
    match keyed_on {
        KeyedOn::Client { v4, v6 } => format!("client /{v4} and /{v6}"),
        KeyedOn::Header(name) => format!("header {name}"),
        KeyedOn::Cookie(name) => format!("cookie {name}"),
        KeyedOn::Path => "path".to_owned(),
        KeyedOn::Query(name) => format!("query {name}"),
    }
}
