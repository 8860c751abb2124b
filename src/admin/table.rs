//! Every request there is, in one table: requests are dispatched by it and the OpenAPI document is written from it, so
//! that neither can know what the other does not.

use std::future::Future;
use std::pin::Pin;

use axum::http::Method;
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::Schema;

use crate::admin::answers;
use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::dto;
use crate::admin::failure::Kind;

/// The bytes of a body; an order has a few hundred.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// The bytes of a simulation's, whose demand may have a hundred thousand lines.
const DEMAND_BYTES_MAX: usize = 4 << 20;

/// One request.
pub struct Route {
    /// `GET`, `PUT`, `POST` or `DELETE`; `HEAD` and `OPTIONS` follow from it.
    pub method: Method,
    /// Its path; `{name}` stands for one segment, `{name*}` for all that are left.
    pub path: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// The keys of its query string.
    pub keys: &'static [Key],
    /// Its body.
    pub body: Option<Shape>,
    /// What it answers.
    pub answer: Answer,
    /// What it may be refused for, beside what any request may.
    pub refusals: &'static [Kind],
    pub(super) handler: Handler,
}

impl Route {
    /// Whether it waits for its turn to look. What is quick does not, for whoever watches over the process asks it; nor
    /// does what has turns of its own, nor what only those may ask who may order.
    pub(super) fn takes_a_turn(&self) -> bool {
        self.method == Method::GET && !["/livez", "/readyz", "/metrics", "/v1/map", "/v1/headroom"].contains(&self.path)
    }

    /// The most bytes of its body.
    pub(super) fn body_bytes_max(&self) -> usize {
        if self.path == "/v1/simulate" { DEMAND_BYTES_MAX } else { ORDER_BYTES_MAX }
    }
}

/// A key of a query string.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it may be there several times.
    pub repeated: bool,
}

/// What a request answers when all is well.
pub enum Answer {
    /// A JSON document.
    Json(Shape),
    /// Any JSON document: one that describes itself.
    AnyJson,
    /// A text.
    Text,
    /// Events, each with data of one of these shapes.
    Events(&'static [(&'static str, Shape)]),
}

/// A shape of the API, by the functions that describe it.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Its name in the document.
    pub name: fn() -> String,
    /// Itself.
    pub schema: fn() -> RefOr<Schema>,
    /// Those it is made of.
    pub parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

const fn shape<T: ToSchema>() -> Shape {
    Shape { name: || T::name().into_owned(), schema: T::schema, parts: T::schemas }
}

/// A list's shape has a name for each kind of items, which `List` alone would not.
const fn list<T: ToSchema>() -> Shape {
    Shape {
        name: || format!("ListOf{}", T::name()),
        schema: dto::List::<T>::schema,
        parts: |shapes| {
            shapes.push((T::name().into_owned(), T::schema()));
            T::schemas(shapes);
        },
    }
}

type Handler = fn(Asked) -> Pin<Box<dyn Future<Output = Said> + Send>>;

const fn key(name: &'static str, about: &'static str) -> Key {
    Key { name, about, required: false, repeated: false }
}

const fn required(name: &'static str, about: &'static str) -> Key {
    Key { required: true, ..key(name, about) }
}

const fn repeated(name: &'static str, about: &'static str) -> Key {
    Key { repeated: true, ..key(name, about) }
}

const LIMIT: Key = key("limit", "at most so many items, 1 to 10000; 1000 unless told");
const AFTER: Key = key("after", "what the list before said as `next`");
const STRETCH: &[Key] = &[LIMIT, AFTER];

macro_rules! route {
    ($method:ident $path:literal, $about:literal, $keys:expr, $body:expr, $answer:expr, $refusals:expr, $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            about: $about,
            keys: $keys,
            body: $body,
            answer: $answer,
            refusals: $refusals,
            handler: |asked| Box::pin($handler(asked)),
        }
    };
}

use Answer::Json;

/// Every request.
pub static ROUTES: &[Route] = &[
    route!(GET "/v1/status", "One screen about everything.", &[], None, Json(shape::<dto::Status>()), &[],
        answers::status::status),
    route!(GET "/v1/regions", "Every region.", STRETCH, None, Json(list::<dto::Region>()),
        &[Kind::Changed], answers::resources::regions),
    route!(GET "/v1/regions/{name}", "One region.", &[], None, Json(shape::<dto::Region>()), &[Kind::Unknown],
        answers::resources::region),
    route!(GET "/v1/pools", "Every pool.", &[key("region", "only those of this region"),
        key("up", "`true`: only those that are answered; `false`: only those that are not"), LIMIT, AFTER], None,
        Json(list::<dto::Pool>()), &[Kind::Unknown, Kind::Changed], answers::resources::pools),
    route!(GET "/v1/pools/{name}", "One pool, with its endpoints and the VIPs that use it.", &[], None,
        Json(shape::<dto::Pool>()), &[Kind::Unknown], answers::resources::pool),
    route!(GET "/v1/endpoints", "Every endpoint.", &[key("region", "only those of this region"),
        key("pool", "only those of this pool"), key("observed", "only those that probes find `up`, `down` or `unknown`"),
        key("up", "`true`: only those that may be answered; `false`: only those that may not"), LIMIT, AFTER], None,
        Json(list::<dto::Endpoint>()), &[Kind::Unknown, Kind::Changed], answers::resources::endpoints),
    route!(GET "/v1/endpoints/{pool}/{address}", "One endpoint.", &[], None, Json(shape::<dto::Endpoint>()),
        &[Kind::Unknown], answers::resources::endpoint),
    route!(GET "/v1/vips", "Every VIP.", &[key("pool", "only those whose policy names this pool"),
        key("up", "`true`: only those with a pool that is answered; `false`: only those without"), LIMIT, AFTER], None,
        Json(list::<dto::Vip>()), &[Kind::Unknown, Kind::Changed], answers::resources::vips),
    route!(GET "/v1/vips/{name}", "One VIP.", &[], None, Json(shape::<dto::Vip>()), &[Kind::Unknown],
        answers::resources::vip),
    route!(GET "/v1/zones", "Every zone.", STRETCH, None, Json(list::<dto::Zone>()), &[Kind::Changed],
        answers::resources::zones),
    route!(GET "/v1/zones/{name}", "One zone.", &[], None, Json(shape::<dto::Zone>()), &[Kind::Unknown],
        answers::resources::zone),
    route!(GET "/v1/listeners", "Every socket that takes queries, and every listener of the proxy.", &[], None,
        Json(list::<dto::Listener>()), &[], answers::resources::listeners),
    route!(GET "/v1/headroom", "What this process's listeners have in hand and how much is borne, by region and pool: what the \
        `load` of a DNS tier's pools reads.", &[], None, Json(shape::<dto::Headroom>()), &[], answers::headroom::headroom),
    route!(GET "/v1/overrides", "Every order, planned ones too.", STRETCH, None,
        Json(list::<dto::Override>()), &[Kind::Changed], answers::overrides::list),
    route!(GET "/v1/overrides/{kind}/{name*}", "The orders for one region, pool or endpoint.", &[], None,
        Json(list::<dto::Override>()), &[Kind::Unknown], answers::overrides::of),
    route!(PUT "/v1/overrides/{kind}/{name*}", "Orders something of a region, pool or endpoint, in place of what was \
        ordered of it before.", &[], Some(shape::<dto::OverrideOrdered>()), Json(shape::<dto::OverrideTaken>()),
        &[Kind::Unknown, Kind::Override, Kind::Unsafe, Kind::NotSaved], answers::overrides::put),
    route!(DELETE "/v1/overrides/{kind}/{name*}", "Ends the orders for a region, pool or endpoint.",
        &[key("aspect", "`state` or `weight`: only that order; both unless told"),
        key("force", "`true`: even if that leaves a VIP without a healthy pool")], None,
        Json(shape::<dto::OverrideEnded>()), &[Kind::Unknown, Kind::Unsafe, Kind::NotSaved], answers::overrides::delete),
    route!(GET "/v1/events", "What turned, when and why, oldest first; the last thousand are kept.",
        &[key("from", "the number of the first event wanted; 0 unless told"), LIMIT], None,
        Json(list::<dto::EventSaid>()), &[], answers::events::events),
    route!(GET "/v1/explain", "What a client would be answered, and why; of a URL, also what becomes of the request.",
        &[key("name", "the name to ask for"), key("type", "the type to ask for; A unless told"),
        key("url", "or a URL to request, as in https://www.example.com/api?x=1"),
        key("method", "of the request; GET unless told"),
        repeated("header", "a header of the request, as in `x-canary: true`; once for each"),
        repeated("cookie", "a cookie of the request, as in `user=7`; once for each"),
        key("listener", "the listener that the request comes to, whatever DNS says"),
        key("client", "a client's address, or its network as in 192.0.2.0/24"),
        key("geo", "or a client somewhere in this place: CONTINENT[-COUNTRY[-SUBDIVISION]]"),
        key("at", "or a client at this spot: degrees north and east, as in 52.52,13.40"),
        key("down", "taken to be down: region/X, pool/X, endpoint/POOL/ADDRESS, with commas between")], None,
        Json(shape::<dto::Explanation>()), &[], answers::explain::explained),
    route!(GET "/v1/map", "Where a VIP sends each country now.",
        &[required("vip", "the VIP's name"), key("type", "A or AAAA; A unless told")], None,
        Json(shape::<dto::MapSaid>()), &[Kind::Unknown], answers::explain::map),
    route!(GET "/v1/stream", "Server-sent events: `hello` first, then what changes. `standing` events carry their number \
        as id, and a reader that comes back with Last-Event-ID is told what it missed.", &[], None,
        Answer::Events(&[("hello", shape::<dto::Hello>()), ("standing", shape::<dto::EventSaid>()),
        ("lost", shape::<dto::Lost>()), ("overrides", shape::<dto::OverridesNow>()),
        ("config", shape::<dto::ReloadSaid>()), ("shares", shape::<dto::SharesSaid>())]), &[Kind::Busy],
        answers::events::stream),
    route!(POST "/v1/reload", "Reads all files again.",
        &[key("wait", "`false`: answer at once; else when queries see it")], None, Json(shape::<dto::Reloaded>()),
        &[Kind::Reload], answers::files::reload),
    route!(POST "/v1/config/check", "Checks the files as a reload would, and changes nothing.", &[], None,
        Json(shape::<dto::ConfigChecked>()), &[], answers::files::check),
    route!(POST "/v1/config/diff", "What a reload would change; nothing is changed by asking.",
        &[key("impact", "`true`: whose answers would move, too")], None, Json(shape::<dto::ConfigDiff>()),
        &[Kind::Reload], answers::what_if::diff),
    route!(POST "/v1/simulate", "Which region bears how much if these fail or are drained; nothing is changed by asking.",
        &[], Some(shape::<dto::Simulate>()), Json(shape::<dto::Simulated>()), &[], answers::what_if::simulated),
    route!(GET "/v1/openapi.json", "This document.", &[], None, Answer::AnyJson, &[], answers::openapi),
    route!(GET "/metrics", "What is counted, for Prometheus.", &[], None, Answer::Text, &[Kind::Path], answers::metrics),
    route!(GET "/livez", "Whether the process lives.", &[], None, Answer::Text, &[], answers::alive),
    route!(GET "/readyz", "Whether clients may be sent here.", &[], None, Answer::Text, &[Kind::Busy],
        answers::ready),
    #[cfg(test)]
    route!(GET "/panic", "Fails, for a test.", &[], None, Answer::Text, &[], answers::panics),
];

/// What a path and a method lead to.
pub(super) enum Found {
    /// A request, and what the braces stand for.
    Route(&'static Route, Vec<String>),
    /// The path takes other methods.
    Method(Vec<&'static Method>),
    /// The path is none.
    Nothing,
}

/// Looks a request up. `HEAD` is a `GET` whose body is left out.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let sought = if method == Method::HEAD { &Method::GET } else { method };
    let mut others = Vec::new();
    for route in ROUTES {
        if let Some(named) = matches(route.path, path) {
            if route.method == *sought {
                return Found::Route(route, named);
            }
            others.push(&route.method);
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::Method(others) }
}

/// What the braces of `pattern` stand for in `path`; segments are decoded after they were told apart.
fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut named = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        if expected.ends_with("*}") {
            let rest: Option<Vec<String>> = segments.map(decoded).collect();
            named.push(rest.filter(|rest| !rest.is_empty() && rest.iter().all(|s| !s.is_empty()))?.join("/"));
            return Some(named);
        }
        let segment = segments.next()?;
        if expected.starts_with('{') {
            named.push(decoded(segment).filter(|s| !s.is_empty())?);
        } else if segment != expected {
            return None;
        }
    }
    segments.next().is_none().then_some(named)
}

/// A segment without its percent-encoding (RFC 3986 section 2.1); none when that is not text.
fn decoded(segment: &str) -> Option<String> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        out.push(match byte {
            b'%' => (hex(bytes.next())? * 16 + hex(bytes.next())?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(method: Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        match find(&method, path) {
            Found::Route(route, named) => Some((route.path, named)),
            _ => None,
        }
    }

    #[test]
    fn paths_lead_to_requests() {
        assert_eq!(found(Method::GET, "/v1/pools"), Some(("/v1/pools", vec![])));
        assert_eq!(found(Method::HEAD, "/v1/pools/eu-web"), Some(("/v1/pools/{name}", vec!["eu-web".into()])));
        let endpoint = "/v1/overrides/endpoint/eu-web/2001:db8::1";
        let named = vec!["endpoint".to_owned(), "eu-web/2001:db8::1".to_owned()];
        assert_eq!(found(Method::PUT, endpoint), Some(("/v1/overrides/{kind}/{name*}", named.clone())));
        assert_eq!(found(Method::DELETE, "/v1/overrides/endpoint/eu-web%2F2001%3Adb8::1").unwrap().1, named);
        for nothing in [
            "",
            "/",
            "/v1",
            "/v1/pools/",
            "/v1/pools/a/b",
            "/v1//pools",
            "/v1/overrides/pool/",
            "/v1/pools/%ff",
            "/v1/pools/%4",
        ] {
            assert!(found(Method::GET, nothing).is_none(), "{nothing}");
        }
        assert!(matches!(find(&Method::PATCH, "/v1/pools"), Found::Method(others) if others == [&Method::GET]));
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\PC*", like in "/v1/(pools|overrides)(/[a-z%0-9]{0,4}){0,4}") {
            let _ = (found(Method::GET, &path), found(Method::PUT, &like));
        }
    }
}
