//! What becomes of a request in a region, step by step, as `explain` of a URL tells it.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// What the regional tier does with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestSaid {
    /// `GET` and the like.
    pub method: String,
    /// As it was asked for.
    pub url: String,
    /// The client, as choices see it: behind proxies that are trusted.
    pub client: String,
    /// Step 5: the region that the client is sent to; absent when nothing says which.
    pub region: Option<String>,
    /// Why that one, in words.
    pub region_because: String,
    /// Step 6: the listeners, and why each is or is not the one.
    pub listeners: Vec<ListenerStep>,
    /// Step 7: the routes of that listener, in the order they were written.
    pub routes: Vec<RouteStep>,
    /// What comes of it.
    pub outcome: OutcomeSaid,
    /// Step 8: the pool, when it goes to one.
    pub pool: Option<RoutedPool>,
    /// Step 9: the endpoint, when it goes to a pool.
    pub endpoint: Option<EndpointStep>,
    /// Step 10: where it goes on, when endpoints that it may go to are listeners at L4 of this configuration; one for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowStep>,
    /// What the endpoint is sent, when it goes to a pool.
    pub sent: Option<SentSaid>,
}

/// An endpoint that is a listener at L4, and what that does with a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowStep {
    /// The endpoint: `10.0.1.1:8080`.
    pub endpoint: String,
    /// The listener's name.
    pub listener: String,
    /// Its pools that were looked at, in order.
    pub looked_at: Vec<RoutedPoolStep>,
    /// The endpoint of the pool that serves.
    pub step: EndpointStep,
}

/// A listener that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerStep {
    /// Its name.
    pub listener: String,
    /// Its socket, as configured.
    pub address: String,
    /// Whether the request comes in there.
    pub used: bool,
    /// Why, in words.
    pub because: String,
}

/// A route that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteStep {
    /// Its number, from 1.
    pub number: usize,
    /// Its name, or its place.
    pub route: String,
    /// Whether the request is for it.
    pub used: bool,
    /// Why, in words.
    pub because: String,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeSaid {
    /// `forwarded`, `redirected`, `answered`, `refused`, `no-route`, `no-listener`, `no-endpoint`.
    pub what: String,
    /// The status that we answer with ourselves.
    pub status: Option<u16>,
    /// The code of logs and metrics, when it is not served.
    pub code: Option<String>,
    /// Why, in words.
    pub because: String,
    /// Where the client is sent.
    pub location: Option<String>,
    /// What it is told.
    pub body: Option<String>,
}

/// The pool that a request goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoutedPool {
    /// The pool that the route names for this client.
    pub own: String,
    /// The pools that the route shares its clients between by weight; empty when it has one.
    pub shared: Vec<(String, u32)>,
    /// What decides between those, in words.
    pub shared_by: Option<String>,
    /// Those looked at, in order: the route's, and those it falls back to.
    pub looked_at: Vec<RoutedPoolStep>,
    /// The pool that serves; it is the route's own when none of those looked at is up.
    pub pool: String,
}

/// A pool that was looked at for a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoutedPoolStep {
    /// The pool.
    pub pool: String,
    /// Whether the request goes to it.
    pub used: bool,
    /// Why, in words: `up`, `down`, `taken out by an operator`.
    pub because: String,
}

/// How the endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStep {
    /// The pool's way of choosing, in words.
    pub method: String,
    /// What it goes by, where it hashes.
    pub key: Option<String>,
    /// What the sticky cookie does, in words; absent when the route has none.
    pub sticky: Option<String>,
    /// Whether too few are up, so that requests go to all.
    pub panics: bool,
    /// The endpoint that the request goes to now; absent when turns, load or chance decide between several.
    pub chosen: Option<String>,
    /// What decided or will decide, in words.
    pub because: String,
    /// Every endpoint of the pool, in its order.
    pub members: Vec<MemberStep>,
}

/// An endpoint of the pool that a request goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberStep {
    /// `10.0.0.1:8080`.
    pub address: String,
    /// What it weighs, by configuration or by order.
    pub weight: u32,
    /// Whether it is a backup.
    pub backup: bool,
    /// Whether this request may go to it.
    pub candidate: bool,
    /// Its part of the requests in hundredths, where turns or chance decide.
    pub percent: Option<f64>,
    /// Requests in hand there, over all cores; absent when no proxy was asked.
    pub in_flight: Option<u32>,
    /// How it stands, in words: `up`, `down`, `taken out by an operator`, `ejected`, `growing`, `full`.
    pub standing: String,
}

/// What an endpoint is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SentSaid {
    /// `GET` and the like.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whom the client asked for, passed on.
    pub authority: String,
    /// `HTTP/1.1`, `HTTP/2`, or either.
    pub protocol: String,
    /// Every header, in order.
    pub headers: Vec<HeaderSaid>,
    /// Names of headers that the client sent and the endpoint does not get.
    pub removed: Vec<String>,
    /// Changes to the response's headers, in words.
    pub response: Vec<String>,
    /// Until the response's head, in milliseconds.
    pub timeout_ms: u64,
    /// How often it may be tried at another endpoint.
    pub retries: u8,
    /// When it is tried again, in words.
    pub retried: String,
}

/// A header that an endpoint is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeaderSaid {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the client sent it so.
    pub is_the_clients: bool,
}
