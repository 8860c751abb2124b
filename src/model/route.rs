//! What a listener does with a request: whom it is for, and what is done with it on the way.

use std::time::Duration;

use http::HeaderName;
use http::Method;
use http::StatusCode;

use super::PoolId;

/// Until the head of a response, unless told: what people wait at most before they try again.
pub const ROUTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries at another endpoint, unless told: when a second one fails too, more would.
pub const ROUTE_RETRIES: u8 = 1;

/// One of a listener's `routes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What metrics and `explain` call it: its `name`, or its place, `routes[2]`.
    pub name: String,
    /// Which requests are for it.
    pub matches: RequestMatch,
    /// What becomes of them.
    pub action: Action,
    /// The path the backend sees, when it is another.
    pub rewrite: Option<Rewrite>,
    /// Changes to the request's headers, in order.
    pub request_headers: Vec<HeaderEdit>,
    /// Changes to the response's headers, in order.
    pub response_headers: Vec<HeaderEdit>,
    /// How long responses may be kept, nginx's `expires`.
    pub expires: Option<Expires>,
    /// Until the response's head: the whole of waiting, connecting, trying again.
    pub timeout: Duration,
    /// How often a request is tried at another endpoint; 0: never.
    pub retries: u8,
    /// Brings clients back to their endpoint.
    pub sticky: Option<StickyCookie>,
}

/// Which requests: all of it must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestMatch {
    /// Whom the client asked for.
    pub host: HostMatch,
    /// What it asked for.
    pub path: PathMatch,
    /// Any of these; all methods when empty.
    pub methods: Vec<Method>,
    /// Each of these.
    pub headers: Vec<(HeaderName, TextMatch)>,
    /// Each of these cookies.
    pub cookies: Vec<(String, TextMatch)>,
    /// Each of these parameters of the query.
    pub query: Vec<(String, TextMatch)>,
}

/// Whom a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum HostMatch {
    /// `*`: anyone.
    #[default]
    Any,
    /// This name: lower case, without port or last dot.
    Exact(String),
    /// `*.example.com`: any name under it, however deep, but not itself. Without the `*.`.
    Under(String),
}

/// What path a client asked for, once it was normalised.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathMatch {
    /// Any.
    #[default]
    Any,
    /// This.
    Exact(String),
    /// `/v2` is `/v2` and everything under `/v2/`, not `/v20`; `/v2/` is everything under it, not `/v2`.
    Prefix(String),
    /// A regular expression that matches the whole of it.
    Regex(String),
}

/// What a header, cookie or parameter must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// There, whatever it says.
    Present,
    /// Not there.
    Absent,
    /// Exactly this.
    Is(String),
    /// Beginning so.
    Prefix(String),
    /// Ending so.
    Suffix(String),
    /// With this in it.
    Contains(String),
    /// A regular expression that matches the whole of it.
    Regex(String),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to one of these pools.
    Forward {
        /// One pool, or several by weight (canary).
        arms: Vec<Arm>,
        /// What decides between several: a client must not flip between them.
        keyed_on: KeyedOn,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// A template, `https://{host}{uri}`.
        to: String,
    },
    /// We answer ourselves.
    Respond {
        /// With this status.
        status: StatusCode,
        /// And this text.
        body: String,
    },
}

/// A pool of a weighted choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// The pool.
    pub pool: PoolId,
    /// Its share; 0: none.
    pub weight: u32,
}

/// What tells one client from another, where requests of one client should end up together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyedOn {
    /// The client's network: so many bits of its address.
    Client {
        /// Of an IPv4 address.
        v4: u8,
        /// Of an IPv6 address.
        v6: u8,
    },
    /// A header; the client's address when there is none.
    Header(HeaderName),
    /// A cookie; the client's address when there is none.
    Cookie(String),
    /// The path, without the query.
    Path,
    /// A parameter of the query; the client's address when there is none.
    Query(String),
}

impl Default for KeyedOn {
    /// Single IPv4 addresses, and the /64 that one IPv6 client roams in.
    fn default() -> Self {
        KeyedOn::Client { v4: 32, v6: 64 }
    }
}

/// What the backend sees as path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// This in place of the route's prefix: `/v2/` to `/` makes `/v2/a` `/a`.
    Prefix(String),
    /// A template, `/api{path}`, with `{1}` to `{9}` from the route's regular expression.
    Path(String),
}

/// A change to headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// This value and no other; a template.
    Set(HeaderName, String),
    /// This value beside those that are there; a template.
    Add(HeaderName, String),
    /// None.
    Remove(HeaderName),
}

/// How long a response may be kept: nginx's `expires`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// So long from now.
    After(Duration),
    /// It was stale so long ago: not to be kept (nginx's negative time).
    Before(Duration),
    /// Stale since 1970: not to be kept.
    Epoch,
    /// For ten years.
    Max,
}

/// The cookie that brings a client back to its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
}
