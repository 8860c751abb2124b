//! What becomes of a request in the region that its client is sent to, step by step.
//!
//! Its head is read, judged, routed and prepared by the proxy's own [`decide`]; the pool is [`which::pool`]'s, the endpoint that
//! of [`super::endpoint`]. Nothing here decides but which listener is meant, which is the client's doing ([`super::listener`]).

use std::net::IpAddr;

use http::HeaderMap;
use http::StatusCode;
use http::header;

use crate::admin::dto::EndpointStep;
use crate::admin::dto::FlowStep;
use crate::admin::dto::HeaderSaid;
use crate::admin::dto::MemberStep;
use crate::admin::dto::OutcomeSaid;
use crate::admin::dto::RequestSaid;
use crate::admin::dto::RouteStep;
use crate::admin::dto::RoutedPool;
use crate::admin::dto::RoutedPoolStep;
use crate::admin::dto::SentSaid;
use crate::admin::explain::asked::RequestAsked;
use crate::admin::explain::endpoint::PoolNow;
use crate::admin::explain::listener;
use crate::admin::explain::listener::Arrived;
use crate::balance::live_pools::LivePools;
use crate::config::forms::show_duration;
use crate::model::EndpointId;
use crate::model::Expires;
use crate::model::HeaderEdit;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::Route;
use crate::model::Speaks;
use crate::model::Underscores;
use crate::model::Upstream;
use crate::proxy::asked::Asked;
use crate::proxy::decide::Caller;
use crate::proxy::decide::Decision;
use crate::proxy::decide::Forwarded;
use crate::proxy::decide::Known;
use crate::proxy::decide::decide;
use crate::proxy::decide::serves;
use crate::proxy::h1::request;
use crate::proxy::h1::request::BadHead;
use crate::regional::choice::Choice;
use crate::regional::elsewhere::Stays;
use crate::regional::front::Front;
use crate::regional::which;
use crate::regional::which::Because;
use crate::regional::which::Serves;
use crate::regional::which::Unwell;
use crate::route::client::is_in;
use crate::route::explain::Verdict;
use crate::route::explain::verdicts;
use crate::route::forwarded::Words;
use crate::route::head::Head;
use crate::route::hop_by_hop;
use crate::route::keyed;
use crate::route::plan::ActionPlan;
use crate::route::plan::RoutePlan;
use crate::world::World;

/// What is known of a proxy that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proxied<'a> {
    /// What requests tell of endpoints; nothing when no proxy is asked.
    pub live: Option<&'a LivePools>,
    /// Now.
    pub now: Moment,
}

/// A request as it came, kept while the decision takes it apart.
struct Came {
    method: http::Method,
    headers: HeaderMap,
}

/// The steps of a request by a client with that address.
pub(super) fn request(
    (world, proxied): (&World, Proxied<'_>),
    asked: &RequestAsked,
    (arrived, because): (&Arrived, String),
    peer: IpAddr,
    draw: u64,
) -> RequestSaid {
    let model = &world.snapshot.model;
    let (chosen, listeners) = listener::choose(model, asked, arrived);
    let region = chosen.map(|at| model.listeners[at].region).or(arrived.region);
    let mut said = RequestSaid {
        method: asked.method.clone(),
        url: asked.url.clone(),
        client: peer.to_string(),
        region: region.map(|region| model.region(region).name.clone()),
        region_because: because,
        outcome: no_listener(model, asked),
        listeners,
        routes: Vec::new(),
        pool: None,
        endpoint: None,
        flows: Vec::new(),
        sent: None,
    };
    let front = chosen.and_then(|at| world.snapshot.regional.fronts.get(at)?.as_deref());
    if let Some(front) = front {
        match request::take(&mut asked.head(), &mut 0) {
            Ok(Some(head)) => {
                let asked = Asked::of(head, proxied.now, proxied.now);
                Steps { world, proxied, front, draw }.take(&mut said, asked, peer);
            }
            Ok(None) => said.outcome = refused(BadHead::Malformed),
            Err(bad) => said.outcome = refused(bad),
        }
    }
    said
}

fn no_listener(model: &Model, asked: &RequestAsked) -> OutcomeSaid {
    let because = match (&asked.listener, model.listeners.iter().any(|one| listener::speaks(one, asked.scheme))) {
        (Some(name), _) => format!("{name} does not speak {}", asked.scheme),
        (None, true) => "none of those listeners is for it; --listener NAME takes one all the same".to_owned(),
        (None, false) => format!("the configuration has no [[listener]] that speaks {}", asked.scheme),
    };
    OutcomeSaid { because, ..outcome("no-listener", None, None) }
}

fn outcome(what: &str, status: Option<StatusCode>, code: Option<&str>) -> OutcomeSaid {
    OutcomeSaid {
        what: what.to_owned(),
        status: status.map(|status| status.as_u16()),
        code: code.map(str::to_owned),
        because: String::new(),
        location: None,
        body: None,
    }
}

fn refused(bad: BadHead) -> OutcomeSaid {
    OutcomeSaid { because: bad.words().to_owned(), ..outcome("refused", Some(bad.status()), Some(bad.code())) }
}

/// The way of a request that has come to a listener.
struct Steps<'a> {
    world: &'a World,
    proxied: Proxied<'a>,
    front: &'a Front,
    draw: u64,
}

impl Steps<'_> {
    fn take(&self, said: &mut RequestSaid, mut asked: Asked, peer: IpAddr) {
        let front = self.front;
        let mut came = Came { method: asked.method.clone(), headers: asked.headers.clone() };
        if front.http().underscores == Underscores::Drop {
            hop_by_hop::drop_underscores(&mut came.headers);
        }
        let is_trusted = is_in(&front.http().trusted_proxies, peer);
        // Its handshake was for this very name.
        let caller = Caller { peer, is_trusted, words: &Words::of(peer), presented: None };
        let now = self.proxied.now;
        let serves = |own, head: &Head<'_>, client| serves((self.world, front), own, head, client, now);
        let decision = decide(front, &caller, &mut asked, self.draw, serves);
        if let Some(client) = decision.client() {
            said.client = client.to_string();
        }
        match decision {
            Decision::Refused(refusal) => said.outcome = refused(BadHead::Refused(refusal)),
            Decision::Misdirected => {
                said.outcome = outcome("refused", Some(StatusCode::MISDIRECTED_REQUEST), Some("misdirected"));
            }
            Decision::NoRoute(known) => {
                said.routes = self.routes(&known, &came);
                let because = "no route is for it".to_owned();
                said.outcome =
                    OutcomeSaid { because, ..outcome("no-route", Some(StatusCode::NOT_FOUND), Some("no_route")) };
            }
            Decision::Redirected(known, status, location) => {
                said.routes = self.routes(&known, &came);
                let location = Some(String::from_utf8_lossy(location.as_bytes()).into_owned());
                let because = "the route sends the client elsewhere".to_owned();
                said.outcome = OutcomeSaid { location, because, ..outcome("redirected", Some(status), None) };
            }
            Decision::Answered(known, status, body) => {
                said.routes = self.routes(&known, &came);
                let because = "the route answers by itself".to_owned();
                said.outcome = OutcomeSaid { body: Some(body), because, ..outcome("answered", Some(status), None) };
            }
            Decision::Forwarded(forwarded) => {
                said.routes = self.routes(&forwarded.known, &came);
                self.forward(said, &forwarded, &came);
            }
        }
    }

    fn routes(&self, known: &Known, came: &Came) -> Vec<RouteStep> {
        let verdicts = verdicts(self.front.plan.table(), &head(known, came));
        let steps = verdicts.routes.iter().zip(verdicts.lines()).zip(self.front.plan.routes()).enumerate();
        let step = |(at, ((verdict, line), route)): (usize, ((&Verdict, String), &RoutePlan))| RouteStep {
            number: at + 1,
            route: route.name.clone(),
            used: *verdict == Verdict::Wins,
            because: line,
        };
        steps.map(step).collect()
    }

    fn forward(&self, said: &mut RequestSaid, forwarded: &Forwarded, came: &Came) {
        let World { snapshot, health, .. } = self.world;
        let serves = forwarded.serves;
        let place = forwarded.known.route.unwrap_or_default();
        let route = &self.front.plan.routes()[place];
        let head = head(&forwarded.known, came);
        said.pool = Some(self.pool(route, forwarded, serves, &head));
        let Some(plan) = snapshot.regional.pool(serves.pool) else { return };
        let live = self.proxied.live.and_then(|live| live.pool(serves.pool)).map(|live| &**live);
        // Without a file each process draws a secret of its own.
        let knows_cookies = self.proxied.live.is_some() || snapshot.model.proxy.sticky_secret_file.is_some();
        let (now, most) = (self.proxied.now, plan.upstream.requests_max);
        let pool = PoolNow { plan, health, live, now, most, knows_cookies };
        let (step, choice) = pool.step((self.front, route), forwarded, &head, self.draw);
        said.outcome = match choice {
            _ if forwarded.outgoing.is_too_long(self.front.http()) => {
                let because = "its body is longer than max_body".to_owned();
                OutcomeSaid {
                    because,
                    ..outcome("refused", Some(StatusCode::PAYLOAD_TOO_LARGE), Some("body_too_long"))
                }
            }
            Choice::Nobody => OutcomeSaid {
                because: step.because.clone(),
                ..outcome("no-endpoint", Some(StatusCode::SERVICE_UNAVAILABLE), None)
            },
            Choice::Member(_) | Choice::AllFull => {
                let because = match &step.chosen {
                    Some(address) => format!("goes to {address}"),
                    None => format!("goes to an endpoint of {}", plan.name),
                };
                OutcomeSaid { because, ..outcome("forwarded", None, None) }
            }
        };
        if !serves.is_sent_on() {
            said.flows = self.flows(serves.pool, &step, forwarded.known.client);
        }
        said.endpoint = Some(step);
        // The region that serves it changes its response.
        let declared = self.front.http().routes.get(place).filter(|_| !serves.is_sent_on());
        said.sent = Some(sent(route, declared, &plan.upstream, forwarded, came));
    }

    /// Where it goes on from endpoints that are listeners at L4: from the one that was chosen, or from all that may be.
    fn flows(&self, pool: PoolId, step: &EndpointStep, client: IpAddr) -> Vec<FlowStep> {
        let World { snapshot, health, .. } = self.world;
        let may_be = |member: &MemberStep| match &step.chosen {
            Some(chosen) => *chosen == member.address,
            None => member.candidate,
        };
        let members = snapshot.model.members(pool).zip(&step.members).filter(|(_, member)| may_be(member));
        let flow = |((id, _), member): ((EndpointId, _), &MemberStep)| {
            let flow = snapshot.regional.flows.get(health.front_of(id)?)?.as_deref()?;
            // Before TLS that passes through, which server is named is the endpoint's matter; what is asked of us is not.
            let own = flow.pool(None)?;
            let serves = which::serves(&snapshot.model, health, own, || Err(Stays::AsTold));
            let plan = snapshot.regional.pool(serves.pool)?;
            let live = self.proxied.live.and_then(|live| live.pool(serves.pool)).map(|live| &**live);
            let (now, most) = (self.proxied.now, plan.upstream.flows_max);
            let pool = PoolNow { plan, health, live, now, most, knows_cookies: false };
            let tells = self.front.listener.proxy_protocol_to.is_some();
            let hears = !flow.listener.proxy_protocol_from.is_empty();
            Some(FlowStep {
                endpoint: member.address.clone(),
                listener: flow.listener.name.clone(),
                looked_at: self.looked_at(&snapshot.model, own, serves),
                step: pool.flow_step(flow, Some(client).filter(|_| tells && hears), self.draw),
            })
        };
        members.filter_map(flow).collect()
    }

    fn pool(&self, route: &RoutePlan, forwarded: &Forwarded, serves: Serves, head: &Head<'_>) -> RoutedPool {
        let model = &self.world.snapshot.model;
        let name = |id: PoolId| model.pool(id).name.clone();
        let (shared, shared_by) = match &route.action {
            ActionPlan::Forward { split, keyed_on } if split.is_choice() => (
                split.weights().map(|(pool, weight)| (name(pool), weight)).collect(),
                Some(keyed::words(keyed_on, head, forwarded.known.client)),
            ),
            _ => (Vec::new(), None),
        };
        RoutedPool {
            own: name(forwarded.pool),
            shared,
            shared_by,
            looked_at: self.looked_at(model, forwarded.pool, serves),
            pool: name(serves.pool),
        }
    }

    fn looked_at(&self, model: &Model, own: PoolId, serves: Serves) -> Vec<RoutedPoolStep> {
        let step = |(id, unwell): (PoolId, Option<Unwell>)| {
            let used = id == serves.pool;
            let mut because = match unwell {
                None if id == own => "up".to_owned(),
                None => "up, the fallback".to_owned(),
                Some(Unwell::Down) => "down".to_owned(),
                Some(Unwell::Withdrawn) => "taken out by an operator".to_owned(),
            };
            if used && let Because::LastHope(stays) = serves.because {
                because += &format!(", and serves as it can: no fallback is up, and {}", stays_words(model, stays));
            }
            RoutedPoolStep { pool: model.pool(id).name.clone(), used, because }
        };
        let mut steps: Vec<_> = which::looked_at(model, &self.world.health, own).into_iter().map(step).collect();
        if let Because::SentOn(vip) = serves.because {
            let pool = model.pool(serves.pool);
            let (region, vip) = (&model.region(pool.region).name, &model.vip(vip).name);
            let because = format!("of region {region}, where DNS sends this client now for {vip}");
            steps.push(RoutedPoolStep { pool: pool.name.clone(), used: true, because });
        }
        steps
    }
}

/// Why no other region is asked.
fn stays_words(model: &Model, stays: Stays) -> String {
    match stays {
        Stays::AsTold => "its listener sends nobody on to other regions".to_owned(),
        Stays::Probe => "it asks how this region is: a health probe, or by an address".to_owned(),
        Stays::WasSentOn => "another region has sent it on to here".to_owned(),
        Stays::NoVip => "no VIP has its name or the listener's address".to_owned(),
        Stays::NowhereElse(vip) => format!("DNS would send it to no other region for {}", model.vip(vip).name),
        Stays::InPlaintext(pool) => {
            format!("{}, to which DNS would send it now, has no `tls`, while it came over TLS", model.pool(pool).name)
        }
    }
}

/// What routes saw.
fn head<'a>(known: &'a Known, came: &'a Came) -> Head<'a> {
    Head {
        host: &known.host,
        path: &known.path,
        query: known.query.as_deref(),
        method: &came.method,
        headers: &came.headers,
    }
}

fn sent(
    route: &RoutePlan,
    declared: Option<&Route>,
    upstream: &Upstream,
    forwarded: &Forwarded,
    came: &Came,
) -> SentSaid {
    let outgoing = &forwarded.outgoing;
    let again = if outgoing.is_idempotent() {
        "at another endpoint, before anything of a response went on"
    } else {
        "at another endpoint, only where the first has not begun with it"
    };
    SentSaid {
        method: outgoing.method.to_string(),
        target: outgoing.target(),
        authority: String::from_utf8_lossy(outgoing.authority.as_bytes()).into_owned(),
        protocol: protocol(upstream),
        headers: headers(&outgoing.headers, &came.headers),
        removed: removed(&outgoing.headers, &came.headers),
        response: declared.map(response).unwrap_or_default(),
        timeout_ms: u64::try_from(outgoing.head_timeout(route.timeout).as_millis()).unwrap_or(u64::MAX),
        retries: route.retries,
        retried: if route.retries == 0 { "never" } else { again }.to_owned(),
    }
}

fn protocol(upstream: &Upstream) -> String {
    let over = if upstream.tls.is_some() { " over TLS" } else { "" };
    match upstream.speaks {
        Speaks::Http2 => format!("HTTP/2{over}"),
        Speaks::Either if upstream.tls.is_some() => format!("HTTP/2 or HTTP/1.1, as it chooses,{over}"),
        Speaks::Http1 | Speaks::Either => format!("HTTP/1.1{over}"),
    }
}

/// Drawn anew for each request, so that a value would say nothing.
const DRAWN: [&str; 2] = ["x-request-id", "sec-websocket-key"];

fn headers(sent: &HeaderMap, came: &HeaderMap) -> Vec<HeaderSaid> {
    // Whom the client asked for goes along apart from them.
    let others = sent.iter().filter(|(name, _)| **name != header::HOST);
    let said = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let is_the_clients = came.get_all(name).iter().any(|known| known == value);
        let value = match DRAWN.contains(&name.as_str()) && !is_the_clients {
            true => "(another for each request)".to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        HeaderSaid { name: name.to_string(), value, is_the_clients }
    };
    others.map(said).collect()
}

fn removed(sent: &HeaderMap, came: &HeaderMap) -> Vec<String> {
    // The body is framed anew for each connection.
    let framing = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let gone = came.keys().filter(|name| !sent.contains_key(*name) && !framing.contains(name));
    gone.map(ToString::to_string).collect()
}

/// What becomes of the response's headers.
fn response(route: &Route) -> Vec<String> {
    let expires = route.expires.map(|expires| match expires {
        Expires::After(time) => format!("may be kept for {}", show_duration(time)),
        Expires::Before(time) => format!("stale since {} ago", show_duration(time)),
        Expires::Epoch => "stale since 1970".to_owned(),
        Expires::Max => "may be kept for ten years".to_owned(),
    });
    let edits = route.response_headers.iter().map(|edit| match edit {
        HeaderEdit::Set(name, value) => format!("set {name}: {value}"),
        HeaderEdit::Add(name, value) => format!("add {name}: {value}"),
        HeaderEdit::Remove(name) => format!("remove {name}"),
    });
    expires.into_iter().chain(edits).collect()
}
