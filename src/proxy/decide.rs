//! What becomes of a request: refused, answered here, or sent to a pool, and then how.
//!
//! No socket and no waiting: `explain` asks the same function.

use std::net::IpAddr;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;

use crate::model::Moment;
use crate::model::PoolId;
use crate::model::Underscores;
use crate::proxy::asked::Asked;
use crate::proxy::asked::is_grpc;
use crate::proxy::h1::request::TARGET_BYTES_MAX;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::tls::Presented;
use crate::proxy::websocket;
use crate::regional::Regional;
use crate::regional::elsewhere::Visitor;
use crate::regional::front::Front;
use crate::regional::pool::PoolPlan;
use crate::regional::which::Serves;
use crate::route::client;
use crate::route::cookies;
use crate::route::forwarded;
use crate::route::forwarded::Hop;
use crate::route::forwarded::Words;
use crate::route::head::Head;
use crate::route::hop_by_hop;
use crate::route::keyed;
use crate::route::path::PathFault;
use crate::route::plan::ActionPlan;
use crate::route::probe;
use crate::route::refusal::Refusal;
use crate::route::sent_on;
use crate::route::strict;
use crate::route::strict::Parsed;
use crate::route::template::Values;
use crate::route::upgrade::Upgrade;
use crate::world::World;

/// Who asks, as far as it is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The peer, or whom its PROXY header speaks for.
    pub peer: IpAddr,
    /// Whether it is one of `trusted_proxies`.
    pub is_trusted: bool,
    /// What endpoints are told of it, made once for its connection.
    pub words: &'a Words,
    /// The certificate that was shown to it, in TLS.
    pub presented: Option<&'a Presented>,
}

/// What is known of a request that may pass, to the end of it.
#[derive(Debug)]
pub struct Known {
    /// Lower case, without port.
    pub host: String,
    /// In its one form, as it was routed.
    pub path: String,
    /// As it came.
    pub query: Option<String>,
    /// The client, behind proxies that are trusted.
    pub client: IpAddr,
    /// Its identifier.
    pub request_id: HeaderValue,
    /// The place of its route.
    pub route: Option<usize>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision {
    /// It may not pass.
    Refused(Refusal),
    /// The certificate that the client was shown is not of this host: it should come by another connection (RFC 9110 section
    /// 15.5.20).
    Misdirected,
    /// No route is for it.
    NoRoute(Known),
    /// The client is sent elsewhere.
    Redirected(Known, StatusCode, HeaderValue),
    /// We answer.
    Answered(Known, StatusCode, String),
    /// It goes to a pool.
    Forwarded(Box<Forwarded>),
}

/// A request that goes to a pool.
#[derive(Debug)]
pub struct Forwarded {
    /// What is known of it.
    pub known: Known,
    /// The pool its route names for this client.
    pub pool: PoolId,
    /// The pool that serves it.
    pub serves: Serves,
    /// What is sent there.
    pub outgoing: Outgoing,
    /// The value of its sticky cookie.
    pub sticky: Option<Vec<u8>>,
    /// What the pool chooses by, where it hashes.
    pub key: u64,
    /// The client's `Trailer` lines, which end with us.
    pub declared: Option<HeaderMap>,
}

impl Decision {
    /// The client, once it is known.
    pub fn client(&self) -> Option<IpAddr> {
        match self {
            Decision::Refused(_) | Decision::Misdirected => None,
            Decision::NoRoute(known) | Decision::Redirected(known, ..) | Decision::Answered(known, ..) => {
                Some(known.client)
            }
            Decision::Forwarded(forwarded) => Some(forwarded.known.client),
        }
    }
}

/// Decides. `serves` says which pool serves a request for the pool that its route names, and the key by which that pool chooses.
///
/// A request that another region serves goes there as the client sent it: the routes of that region are for it, and change it.
pub fn decide(
    front: &Front,
    caller: &Caller<'_>,
    asked: &mut Asked,
    draw: u64,
    serves: impl FnOnce(PoolId, &Head<'_>, IpAddr) -> (Serves, u64),
) -> Decision {
    if front.http().underscores == Underscores::Drop {
        hop_by_hop::drop_underscores(&mut asked.headers);
    }
    let protocol = asked.protocol.as_deref();
    let Asked { method, uri, version, headers, .. } = &*asked;
    let parsed = Parsed { method, uri, version: *version, headers, protocol };
    let admitted = match strict::check(&parsed, &front.rules()) {
        Ok(admitted) => admitted,
        Err(refusal) => return Decision::Refused(refusal),
    };
    let host = &*admitted.authority.host;
    if caller.presented.is_some_and(|presented| !presented.covers(host)) {
        return Decision::Misdirected;
    }
    let query = uri.query();
    let address = client::address(caller.peer, headers, &front.http().trusted_proxies);
    let head = Head { host, path: &admitted.path, query, method, headers };
    let found = front.plan.find_at(&head);
    let upgrade = match admitted.upgrade {
        Upgrade::None => None,
        Upgrade::To(protocol) => Some(protocol.to_ascii_lowercase()),
    };
    let chosen = found.and_then(|(_, route)| route.pool(&head, address));
    let chosen = chosen.map(|pool| (pool, serves(pool, &head, address)));
    let sticky = found.and_then(|(_, route)| cookies::value(headers, route.sticky.as_deref()?)).map(<[u8]>::to_vec);
    let (host, path) = (host.to_owned(), admitted.path.clone().into_owned());
    let query = query.map(str::to_owned);
    let has_authority_in_target = uri.authority().is_some();
    let authority = match (has_authority_in_target, headers.get(header::HOST)) {
        (false, Some(host)) => host.clone(),
        _ => match HeaderValue::from_str(uri.authority().map_or(host.as_str(), |authority| authority.as_str())) {
            Ok(authority) => authority,
            Err(_) => return Decision::Refused(Refusal::HostMalformed),
        },
    };
    let request_id = forwarded::request_id(&mut asked.headers, caller.is_trusted, draw);
    let known = Known { host, path, query, client: address, request_id, route: found.map(|(at, _)| at) };
    let Some((_, route)) = found else { return Decision::NoRoute(known) };
    let values = values(&known, front.scheme);
    match &route.action {
        ActionPlan::Respond { status, body } => {
            let (status, body) = (*status, body.clone());
            return Decision::Answered(known, status, body);
        }
        ActionPlan::Redirect { .. } => {
            return match route.location(&values) {
                Some((status, location)) => Decision::Redirected(known, status, location),
                // What came out of the template cannot stand in a header: the client's doing.
                None => Decision::Refused(Refusal::Path(PathFault::Control)),
            };
        }
        ActionPlan::Forward { .. } => {}
    }
    let Some((pool, (serves, key))) = chosen else { return Decision::NoRoute(known) };
    let is_sent_on = serves.is_sent_on();
    // Its cookies are for that region's endpoints.
    let sticky = sticky.filter(|_| !is_sent_on);
    let rewritten = if is_sent_on { None } else { route.backend_path(&values, front.http().paths) };
    let path = match rewritten {
        None => known.path.clone(),
        Some(Ok(path)) => path,
        Some(Err(fault)) => return Decision::Refused(Refusal::Path(fault)),
    };
    // Escapes make three bytes of one, a rewrite adds its own.
    if path.len() + known.query.as_ref().map_or(0, String::len) > TARGET_BYTES_MAX {
        return Decision::Refused(Refusal::TargetTooLong);
    }
    let mut headers = std::mem::take(&mut asked.headers);
    let declared = declared(&headers, front);
    prepare(&mut headers, &authority, caller, front, address);
    headers.extend(declared.iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    // A client over HTTP/2 sends no key; an endpoint of HTTP/1.1 needs one.
    if upgrade.as_deref() == Some("websocket") && !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        headers.insert(header::SEC_WEBSOCKET_KEY, websocket::key(draw));
    }
    if is_sent_on {
        sent_on::mark(&mut headers, &front.region);
    } else {
        route.edit_request(&mut headers, &values);
    }
    let outgoing = Outgoing {
        method: if asked.protocol.is_some() { Method::GET } else { asked.method.clone() },
        is_grpc: is_grpc(&headers),
        path,
        query: known.query.clone(),
        authority,
        headers,
        extent: asked.extent,
        upgrade,
        is_extended_connect: asked.protocol.is_some(),
        says_empty: matches!(asked.method, Method::POST | Method::PUT | Method::PATCH),
    };
    Decision::Forwarded(Box::new(Forwarded { known, pool, serves, outgoing, sticky, key, declared }))
}

/// Which trailers the client says will come, of those that may pass.
fn declared(headers: &HeaderMap, front: &Front) -> Option<HeaderMap> {
    if !headers.contains_key(header::TRAILER) {
        return None;
    }
    let passes = |name: &HeaderName| front.trailers().contains(name) || name.as_str().starts_with("grpc-");
    let names = hop_by_hop::tokens(headers, &header::TRAILER).filter_map(|token| HeaderName::from_bytes(token).ok());
    let declared = names.filter(passes).filter_map(|name| HeaderValue::from_str(name.as_str()).ok());
    Some(declared.map(|name| (header::TRAILER, name)).collect())
}

/// What templates are filled with.
pub fn values<'a>(known: &'a Known, scheme: &'a str) -> Values<'a> {
    Values {
        scheme,
        host: &known.host,
        path: &known.path,
        query: known.query.as_deref(),
        client: known.client,
        request_id: known.request_id.to_str().unwrap_or_default(),
        captures: &[],
    }
}

/// The headers that the backend sees, before the operator's changes.
fn prepare(headers: &mut HeaderMap, authority: &HeaderValue, caller: &Caller<'_>, front: &Front, address: IpAddr) {
    hop_by_hop::strip(headers);
    if let Some(cookies) = cookies::joined(headers) {
        headers.insert(header::COOKIE, cookies);
    }
    let hop = Hop {
        peer: caller.peer,
        is_trusted: caller.is_trusted,
        client: address,
        scheme: front.scheme,
        authority: authority.to_str().unwrap_or_default(),
    };
    forwarded::announce(headers, &hop, caller.words);
}

/// Which pool serves a request of `front` for the pool that its route names, in that world; and its key there, for the pool that
/// serves may hash although the route's own does not.
#[inline]
pub fn serves(
    (world, front): (&World, &Front),
    own: PoolId,
    head: &Head<'_>,
    client: IpAddr,
    now: Moment,
) -> (Serves, u64) {
    let regional: &Regional = &world.snapshot.regional;
    let visitor = || visitor(head, client, now);
    let serves = regional.serves(&front.site, (&world.snapshot.plan, &world.health), own, visitor);
    (serves, key_at(regional, serves.pool, head, client))
}

/// The pool of another region for a request that every endpoint tried here has failed, and its key there; none where it stays.
#[cold]
pub fn beyond((world, front): (&World, &Front), head: &Head<'_>, client: IpAddr, now: Moment) -> Option<(PoolId, u64)> {
    let regional: &Regional = &world.snapshot.regional;
    let found = regional.beyond(&front.site, (&world.snapshot.plan, &world.health), &visitor(head, client, now));
    let (_, pool) = found.ok()?;
    Some((pool, key_at(regional, pool, head, client)))
}

fn visitor<'a>(head: &Head<'a>, client: IpAddr, now: Moment) -> Visitor<'a> {
    let (was_sent_on, is_probe) = (sent_on::is_marked(head.headers), probe::is_probe(head));
    Visitor { host: Some(head.host), client, now, was_sent_on, is_probe }
}

fn key_at(regional: &Regional, pool: PoolId, head: &Head<'_>, client: IpAddr) -> u64 {
    regional.pool(pool).map_or(0, |plan| pool_key(plan, head, client))
}

/// The key of a request for a pool that hashes.
fn pool_key(plan: &PoolPlan, head: &Head<'_>, client: IpAddr) -> u64 {
    if plan.method.is_keyed() { keyed::key(&plan.upstream.keyed_on, head, client, plan.service) } else { 0 }
}
