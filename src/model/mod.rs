//! The nouns of rhumb: what a checked configuration means.
//!
//! Plain values with dense ids for cross references. Nothing here reads files, knows serde, or looks at a clock;
//! `config` makes a [`Model`] from text, `snapshot` compiles it.

mod access_log;
mod geo_code;
mod health_check;
mod ids;
mod listener;
mod load_feedback;
mod location;
mod moment;
mod pool;
mod problem;
mod query_log;
mod route;
mod settings;
mod upstream;
mod vip;

pub use access_log::{AccessLogFormat, AccessLogSettings};
pub use geo_code::{CONTINENTS, GeoCode, GeoCodeError};
pub use health_check::{Body, CheckKind, DnsAnswer, DnsCheck, HealthCheck, StatusRange, TlsCheck, TlsTrust};
pub use ids::{CheckId, EndpointId, NetworkId, PoolId, RegionId, VipId};
pub use listener::{
    EncodedSlash, FlowTimeouts, Forward, Http, HttpTimeouts, Limits, Listener, Passthrough, PathRules, Protocol,
    ProxyProtocol, ProxySettings, StickySecrets, Underscores,
};
pub use load_feedback::{LoadFeedback, LoadOf};
pub use location::Location;
pub use moment::Moment;
pub use pool::{Balance, Endpoint, Pool, Region, WEIGHT_MAX};
pub use problem::{Place, Problem, Severity, plain_words};
pub use query_log::{ClientShown, QueryLogFormat, QueryLogSettings};
pub use route::{
    Action, Arm, Expires, HeaderEdit, HostMatch, KeyedOn, PathMatch, ROUTE_RETRIES, ROUTE_TIMEOUT, RequestMatch,
    Rewrite, Route, StickyCookie, TextMatch,
};
pub use settings::{
    AdminSettings, ClientSubnet, CookieSecrets, GeoSettings, Network, Role, ServerSettings, TlsFiles, Token,
    ZoneSettings,
};
pub use upstream::{Speaks, Upstream, UpstreamTls, usual_port};
pub use vip::{ANSWERS_MAX, Family, FamilyRule, HashGranularity, Member, Policy, Rule, Vip, WhenAllDown};

/// A whole configuration, checked: every name resolved to an id, every default filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[geo]` and `[[geo.network]]`.
    pub geo: GeoSettings,
    /// `[region.*]`, by [`RegionId`].
    pub regions: Vec<Region>,
    /// `[health_check.*]`, by [`CheckId`].
    pub checks: Vec<HealthCheck>,
    /// `[pool.*]`, by [`PoolId`].
    pub pools: Vec<Pool>,
    /// The endpoints of all pools, by [`EndpointId`]; those of one pool stand together.
    pub endpoints: Vec<Endpoint>,
    /// `[vip.*]`, by [`VipId`].
    pub vips: Vec<Vip>,
    /// `[zone.*]`: only what differs from "load it and serve it".
    pub zones: Vec<ZoneSettings>,
    /// `[tls.*]`.
    pub tls: Vec<TlsFiles>,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// `[query_log]`; nothing is logged without it.
    pub query_log: Option<QueryLogSettings>,
    /// `[[listener]]`, in the order they were written.
    pub listeners: Vec<Listener>,
    /// `[access_log]`; nothing is logged without it.
    pub access_log: Option<AccessLogSettings>,
    /// `[proxy]`.
    pub proxy: ProxySettings,
}

impl Model {
    /// The region of that id.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[id.index()]
    }
    /// The pool of that id.
    pub fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[id.index()]
    }
    /// The endpoint of that id.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id.index()]
    }
    /// The VIP of that id.
    pub fn vip(&self, id: VipId) -> &Vip {
        &self.vips[id.index()]
    }
    /// Whether any route brings clients back to their endpoint.
    pub fn is_sticky(&self) -> bool {
        let routes = self.listeners.iter().flat_map(|listener| match &listener.protocol {
            Protocol::Http(http) => http.routes.as_slice(),
            _ => &[],
        });
        routes.into_iter().any(|route| route.sticky.is_some())
    }
    /// The endpoints of a pool with their ids, in the order they were written.
    pub fn members(&self, pool: PoolId) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        let range = self.pool(pool).endpoints.clone();
        range.map(|i| (EndpointId(i), &self.endpoints[i as usize]))
    }
    /// The fallbacks of a pool, in order; a loop (which `config` refuses) ends it.
    pub fn fallbacks(&self, pool: PoolId) -> Vec<PoolId> {
        let mut chain = Vec::new();
        let mut next = self.pool(pool).fallback;
        while let Some(fallback) = next.filter(|f| *f != pool && !chain.contains(f)) {
            chain.push(fallback);
            next = self.pool(fallback).fallback;
        }
        chain
    }
}
