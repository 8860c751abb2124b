//! What would this client be answered, and why?
//!
//! The question goes through [`responder::respond`] as a query would; the steps come from [`steering::explain`], which
//! runs the same `decide` with the same draw and keeps what it is told. Nothing here decides.
//!
//! Of a URL it goes on: which region, listener, route, pool and endpoint ([`request`]).
//!
//! [`steering::explain`]: crate::steering::explain

pub mod asked;
mod endpoint;
mod listener;
pub mod request;

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;

use hickory_proto::op::Edns;
use hickory_proto::op::Message;
use hickory_proto::op::MessageType;
use hickory_proto::op::OpCode;
use hickory_proto::op::Query;
use hickory_proto::rr::Name;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::ClientSubnet as SubnetOption;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::serialize::binary::BinDecodable;
use hickory_proto::serialize::binary::BinEncodable;
use time::OffsetDateTime;

use crate::admin::dto::AnswerSaid;
use crate::admin::dto::BlockedSaid;
use crate::admin::dto::ClientSaid;
use crate::admin::dto::DecisionSaid;
use crate::admin::dto::DrawSaid;
use crate::admin::dto::EjectedSaid;
use crate::admin::dto::Explanation;
use crate::admin::dto::LocateSaid;
use crate::admin::dto::NextSaid;
use crate::admin::dto::OrderSaid;
use crate::admin::dto::PoolSaid;
use crate::admin::dto::RuleSaid;
use crate::admin::explain::asked::RequestAsked;
use crate::admin::explain::listener::Arrived;
use crate::admin::explain::request::Proxied;
use crate::admin::look;
use crate::dns::code::rcode;
use crate::geo::place::Origin;
use crate::geo::place::Place;
use crate::health::standings::Subject;
use crate::health::table::EndpointHealth;
use crate::model::ClientSubnet;
use crate::model::EndpointId;
use crate::model::Family;
use crate::model::GeoCode;
use crate::model::Location;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::responder;
use crate::responder::MESSAGE_BYTES_MAX;
use crate::responder::Transport;
use crate::steering;
use crate::steering::Client;
use crate::steering::Draw;
use crate::steering::Keying;
use crate::steering::LoadStep;
use crate::steering::Obstacle;
use crate::steering::PoolStep;
use crate::steering::PoolUse;
use crate::steering::Reason;
use crate::steering::Reweighed;
use crate::steering::Trace;
use crate::steering::TtlCause;
use crate::steering::Verdict;
use crate::world::World;

/// What is asked of `explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The name, absolute or not, or a request.
    pub what: What,
    /// The type's name, `A`.
    pub rtype: String,
    /// Whose place counts.
    pub who: Who,
    /// `region/X`, `pool/X`, `endpoint/POOL/ADDRESS`: taken to be down.
    pub down: Vec<String>,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A name, of DNS alone.
    Name(String),
    /// A page, for which DNS is asked first.
    Request(RequestAsked),
}

impl What {
    fn name(&self) -> &str {
        match self {
            What::Name(name) => name,
            What::Request(asked) => &asked.host,
        }
    }
}

/// Whose place counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Who {
    /// Nobody was named: this machine.
    #[default]
    Nobody,
    /// A client's network: address and prefix length.
    Network(IpAddr, u8),
    /// Somebody in this place.
    Geo(GeoCode),
    /// Somebody at this spot.
    At(Location),
}

impl Who {
    /// Reads the `--client`, `--geo` and `--at` of a question, of which at most one is given.
    ///
    /// # Errors
    /// A sentence about the one that is wrong.
    pub fn read(client: Option<&str>, geo: Option<&str>, at: Option<&str>) -> Result<Self, String> {
        match (client, geo, at) {
            (None, None, None) => Ok(Who::Nobody),
            (Some(client), None, None) => network(client),
            (None, Some(geo), None) => geo.parse().map(Who::Geo).map_err(|e| format!("geo `{geo}`: {e}")),
            (None, None, Some(at)) => spot(at),
            _ => Err("give one of client, geo and at".to_owned()),
        }
    }
}

fn network(text: &str) -> Result<Who, String> {
    let wrong = || format!("client `{text}`: an address, or an address with a prefix length, as in 192.0.2.0/24");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    // A resolver sends this much of an address (RFC 7871 section 11.1).
    let (usual, most) = if address.is_ipv4() { (24, 32) } else { (56, 128) };
    let prefix = prefix.unwrap_or(usual);
    if prefix > most { Err(wrong()) } else { Ok(Who::Network(address, prefix)) }
}

fn spot(text: &str) -> Result<Who, String> {
    let wrong = || format!("at `{text}`: degrees north and east, as in 52.52,13.40");
    let (lat, lon) = text.split_once(',').ok_or_else(wrong)?;
    let (lat, lon) = (lat.trim().parse::<f64>().map_err(|_| wrong())?, lon.trim().parse::<f64>().map_err(|_| wrong())?);
    let inside = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    if inside { Ok(Who::At(Location { lat, lon })) } else { Err(wrong()) }
}

/// Answers a question about this world.
///
/// # Errors
/// A sentence about what is wrong with the question.
pub fn explain(world: &World, proxied: Proxied<'_>, question: &Question, draw: Draw) -> Result<Explanation, String> {
    let world = with_down(world, &question.down)?;
    let What::Request(asked) = &question.what else {
        return resolved(&world, question, draw).map(|(said, _)| said);
    };
    if let Some(name) =
        asked.listener.as_ref().filter(|name| world.snapshot.model.listeners.iter().all(|l| l.name != **name))
    {
        let names: Vec<&str> = world.snapshot.model.listeners.iter().map(|listener| listener.name.as_str()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(format!("listener `{name}` is not there; there is {there}"));
    }
    let (mut said, pool) = match asked.address() {
        Some(_) => (unasked(asked, &question.who), None),
        None => resolved(&world, question, draw)?,
    };
    let (arrived, because) = arrived(&world.snapshot.model, &said, pool, asked);
    let peer = match question.who {
        Who::Network(address, _) => address,
        Who::Nobody => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Who::Geo(_) | Who::At(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    said.request = Some(request::request((&world, proxied), asked, (&arrived, because), peer, draw.random));
    Ok(said)
}

/// Nobody asks DNS for an address.
fn unasked(asked: &RequestAsked, who: &Who) -> Explanation {
    let answer = AnswerSaid { rcode: "none".to_owned(), authoritative: false, records: Vec::new(), scope: None };
    Explanation {
        name: asked.host.clone(),
        rtype: "address".to_owned(),
        client: ClientSaid { prefix: prefix(who), from: from(who) },
        decision: None,
        answer,
        request: None,
    }
}

/// Where the client is sent to, and why in words.
fn arrived(model: &Model, said: &Explanation, pool: Option<PoolId>, asked: &RequestAsked) -> (Arrived, String) {
    let last = |record: &String| record.split_whitespace().last()?.parse().ok();
    let addresses = match asked.address() {
        Some(address) => vec![address],
        None => said.answer.records.iter().filter_map(last).collect(),
    };
    let region = pool.map(|pool| model.pool(pool).region);
    let because = match (pool, &asked.listener, &said.decision) {
        (_, Some(listener), _) => format!("listener {listener} was named"),
        (Some(pool), None, _) => format!("that of pool {}, which DNS answers with", model.pool(pool).name),
        (None, None, Some(_)) => "DNS has no pool left; a client with an older answer comes here".to_owned(),
        (None, None, None) if asked.address().is_some() => "the URL has an address".to_owned(),
        (None, None, None) => format!("{} is no VIP: any listener may be meant", said.name),
    };
    (Arrived { region, addresses }, because)
}

fn prefix(who: &Who) -> Option<String> {
    let client = client(who);
    (!is_placed(who)).then(|| format!("{}/{}", client.address, client.prefix))
}

/// Whether the client was placed by hand and has no address.
fn is_placed(who: &Who) -> bool {
    matches!(who, Who::Geo(_) | Who::At(_))
}

fn client(who: &Who) -> Client {
    match *who {
        Who::Nobody => Client::from_source(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Who::Network(address, prefix) => Client::from_subnet(address, prefix),
        Who::Geo(_) | Who::At(_) => Client::from_subnet(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    }
}

/// What DNS answers, and the pool it is from.
fn resolved(world: &World, question: &Question, draw: Draw) -> Result<(Explanation, Option<PoolId>), String> {
    let name = question.what.name();
    let name = Name::from_ascii(name.trim_end_matches('.')).map(|mut name| {
        name.set_fqdn(true);
        name
    });
    let name = name.map_err(|e| format!("name `{}`: {e}", question.what.name()))?;
    let rtype: RecordType =
        question.rtype.to_ascii_uppercase().parse().map_err(|_| format!("type `{}` is not known", question.rtype))?;
    let client = client(&question.who);
    let (vip, mut answer) = ask(world, &name, rtype, &client, draw)?;
    let family = if rtype == RecordType::AAAA { Family::V6 } else { Family::V4 };
    let trace = vip.map(|vip| trace(world, vip, family, &question.who, &client, draw));
    if let Some(trace) = trace.as_ref().filter(|_| is_placed(&question.who)) {
        answer = answer_of(&world.snapshot.model, trace);
    }
    let pool = trace.as_ref().and_then(|trace| trace.decision.pool);
    let said = Explanation {
        name: name.to_string(),
        rtype: rtype.to_string(),
        client: ClientSaid { prefix: prefix(&question.who), from: from(&question.who) },
        decision: trace.map(|trace| decision(world, &question.who, &trace)),
        answer,
        request: None,
    };
    Ok((said, pool))
}

fn from(who: &Who) -> String {
    match who {
        Who::Nobody => "nobody; name one with --client, --geo or --at".to_owned(),
        Who::Network(..) => "--client, as ECS".to_owned(),
        Who::Geo(code) => format!("--geo {code}"),
        Who::At(spot) => format!("--at {},{}", spot.lat, spot.lon),
    }
}

/// The world with these out of it.
fn with_down(world: &World, down: &[String]) -> Result<World, String> {
    let model = &world.snapshot.model;
    let (mut endpoints, mut pools): (Vec<EndpointId>, Vec<PoolId>) = Default::default();
    for text in down {
        match Subject::named(model, text) {
            Some(Subject::Endpoint(id)) => endpoints.push(id),
            Some(Subject::Pool(id)) => pools.push(id),
            Some(Subject::Region(region)) => {
                let inside = model.pools.iter().enumerate().filter(|(_, pool)| pool.region == region);
                pools.extend(inside.map(|(index, _)| PoolId::from(index)));
            }
            None => {
                return Err(format!("down `{text}`: there is no such region/NAME, pool/NAME or endpoint/POOL/ADDRESS"));
            }
        }
    }
    Ok(World { health: world.health.with_down(model, &endpoints, &pools), ..world.clone() })
}

/// Sends the query through the responder; which VIP answered, and what.
fn ask(
    world: &World,
    name: &Name,
    rtype: RecordType,
    client: &Client,
    draw: Draw,
) -> Result<(Option<VipId>, AnswerSaid), String> {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    let honoured = world.snapshot.model.geo.client_subnet == ClientSubnet::Honour && client.from_subnet;
    if honoured {
        edns.options_mut().insert(EdnsOption::Subnet(SubnetOption::new(client.address, client.prefix, 0)));
    }
    message.edns = Some(edns);
    let query = message.to_bytes().map_err(|e| format!("name `{name}`: {e}"))?;
    let mut reply = vec![0; MESSAGE_BYTES_MAX];
    // Over TCP, so that nothing is cut off.
    let outcome = responder::respond(&query, client.address, Transport::Tcp, world, draw, &mut reply);
    let reply = Message::from_bytes(&reply[..outcome.bytes]).map_err(|e| format!("the answer cannot be read: {e}"))?;
    let scope = match reply.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    };
    let rcode = mnemonic(outcome.rcode);
    let records = reply.answers.iter().map(ToString::to_string).collect();
    Ok((outcome.vip, AnswerSaid { rcode, authoritative: reply.metadata.authoritative, records, scope }))
}

fn trace(world: &World, vip: VipId, family: Family, who: &Who, client: &Client, draw: Draw) -> Trace {
    let (plan, health) = (&world.snapshot.plan, &world.health);
    let at = |place: Place| steering::explain_at(plan, health, vip, family, &place, draw);
    match who {
        Who::Nobody | Who::Network(..) => {
            steering::explain(plan, &world.snapshot.atlas, health, vip, family, client, draw)
        }
        Who::Geo(code) => at(Place::of(*code)),
        Who::At(spot) => at(Place { location: Some(*spot), ..Place::default() }),
    }
}

/// The answer of a client placed by hand, who has no address to send a query with.
fn answer_of(model: &Model, trace: &Trace) -> AnswerSaid {
    let name = &model.vip(trace.vip).name;
    let record = |ip: &IpAddr| {
        let rtype = if ip.is_ipv4() { "A" } else { "AAAA" };
        format!("{name} {} IN {rtype} {ip}", trace.decision.ttl)
    };
    AnswerSaid {
        rcode: if trace.decision.verdict == Verdict::ServFail { "SERVFAIL" } else { "NOERROR" }.to_owned(),
        authoritative: true,
        records: trace.addresses.iter().map(record).collect(),
        scope: None,
    }
}

fn decision(world: &World, who: &Who, trace: &Trace) -> DecisionSaid {
    let model = &world.snapshot.model;
    let vip = model.vip(trace.vip);
    let name_of = |pool: &PoolId| model.pool(*pool).name.clone();
    let rules = trace.rules.iter().map(|rule| RuleSaid {
        number: rule.number,
        conditions: match rule.conditions.is_empty() {
            true => "anywhere".to_owned(),
            false => {
                let said = rule.conditions.iter().map(|c| format!("{} {}", c.key, c.values.join(" ")));
                said.collect::<Vec<_>>().join(", ")
            }
        },
        matched: rule.matched,
        by: rule.by.clone(),
        place: rule.place.as_ref().map(ToString::to_string),
    });
    let order = trace.order.iter().map(|step| OrderSaid {
        pool: name_of(&step.pool),
        km: step.km,
        biased_km: step.biased_km,
        milliseconds: step.milliseconds,
    });
    let key = format!("{}/{}", trace.key_prefix.0, trace.key_prefix.1);
    let drawn = trace.drawn.as_ref().map(|drawn| DrawSaid {
        members: drawn.members.iter().map(|(pool, weight)| (name_of(pool), *weight)).collect(),
        chosen: name_of(&drawn.chosen),
        key: key.clone(),
        seconds: drawn.period,
    });
    let addresses = |list: &[IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    DecisionSaid {
        vip: vip.name.clone(),
        policy: look::policy(&vip.policy).to_owned(),
        locate: locate(world, who, trace),
        rules: rules.collect(),
        order: order.collect(),
        drawn,
        pools: pools(world, trace),
        all_down: trace.all_down.map(|rule| match rule {
            WhenAllDown::All => "all".to_owned(),
            WhenAllDown::NoData => "nodata".to_owned(),
            WhenAllDown::ServFail => "servfail".to_owned(),
            WhenAllDown::Pool(pool) => format!("pool:{}", name_of(&pool)),
        }),
        chosen_by: reweighed(trace)
            + &match trace.keying {
                Keying::Rotation => "in turn, beginning at random".to_owned(),
                Keying::Weighted => "at random by weight".to_owned(),
                Keying::Client => format!("hash of {key}"),
                Keying::Order => "in the order written".to_owned(),
                Keying::None if trace.addresses.is_empty() => "nothing to choose".to_owned(),
                Keying::None => "the only one".to_owned(),
            },
        endpoints: addresses(&trace.addresses),
        ttl: trace.decision.ttl,
        ttl_because: match trace.ttl_cause {
            TtlCause::Vip => "the VIP's ttl".to_owned(),
            TtlCause::Floor => "the VIP's min_ttl; a belief could turn sooner".to_owned(),
            TtlCause::Pool(pool) => format!("what is believed of {} could turn then", name_of(&pool)),
            TtlCause::Endpoint => "what is believed of an endpoint could turn then".to_owned(),
        },
        next: trace.next.as_ref().zip(trace.decision.pool).map(|(next, pool)| NextSaid {
            if_fails: name_of(&pool),
            pool: next.decision.pool.map(|pool| name_of(&pool)),
            endpoints: addresses(&next.addresses),
        }),
    }
}

/// The weights that operators ordered, before how they were used.
fn reweighed(trace: &Trace) -> String {
    let weight = |r: &Reweighed| format!("weight of {} is {} by order, not {}", r.address, r.weight, r.configured);
    trace.reweighed.iter().map(|endpoint| weight(endpoint) + "; ").collect()
}

fn locate(world: &World, who: &Who, trace: &Trace) -> LocateSaid {
    let (source, built) = match (trace.located.map(|located| located.origin), who) {
        (Some(Origin::Database(index)), _) => {
            let info = world.snapshot.atlas.databases().get(usize::from(index));
            let file = info.and_then(|info| Some(info.path.file_name()?.to_string_lossy().into_owned()));
            (file, info.map(|info| date(info.build_epoch)))
        }
        (Some(Origin::Network(id)), _) => {
            (Some(format!("network {}", world.snapshot.model.geo.networks[id.index()].name)), None)
        }
        (Some(Origin::Nowhere), _) => (None, None),
        (None, _) => (Some(from(who)), None),
    };
    LocateSaid {
        source,
        built,
        network: trace.located.map(|located| format!("{}/{}", located.network, located.prefix)),
        geo: trace.place.code().map(|code| code.to_string()),
        location: trace.place.location.map(|spot| [spot.lat, spot.lon]),
        asn: trace.place.asn,
    }
}

/// The name of a response code (IANA "DNS RCODEs").
fn mnemonic(code: u16) -> String {
    let known = [
        (rcode::NOERROR, "NOERROR"),
        (rcode::FORMERR, "FORMERR"),
        (rcode::SERVFAIL, "SERVFAIL"),
        (rcode::NXDOMAIN, "NXDOMAIN"),
        (rcode::NOTIMP, "NOTIMP"),
        (rcode::REFUSED, "REFUSED"),
        (rcode::YXDOMAIN, "YXDOMAIN"),
        (rcode::NOTAUTH, "NOTAUTH"),
    ];
    known
        .iter()
        .find(|(known, _)| *known == code)
        .map_or_else(|| format!("RCODE{code}"), |(_, name)| (*name).to_owned())
}

/// The day of a moment in seconds since the epoch, in UTC: `2026-11-18`.
fn date(epoch: u64) -> String {
    let day =
        i64::try_from(epoch).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok()).map(OffsetDateTime::date);
    day.map_or_else(|| "a day out of the calendar".to_owned(), |day| day.to_string())
}

fn pools(world: &World, trace: &Trace) -> Vec<PoolSaid> {
    let model = &world.snapshot.model;
    let because = |step: &PoolStep| match step.used {
        PoolUse::Used(Reason::Preferred) => "first choice",
        PoolUse::Used(Reason::NextRanked) => "next in order",
        PoolUse::Used(Reason::Fallback) => "fallback",
        PoolUse::Used(Reason::Nearest) => "nearest of the VIP's other pools",
        PoolUse::Used(Reason::AllDown) => "no pool is left",
        PoolUse::Dropped(Obstacle::Down) if step.healthy >= step.min_healthy => "taken to be down",
        PoolUse::Dropped(Obstacle::Down) => "down",
        PoolUse::Dropped(Obstacle::Withdrawn) => "taken out by an operator",
        PoolUse::Used(Reason::Shed) => "has room",
        PoolUse::Dropped(Obstacle::Loaded) => "sends this client elsewhere for its load",
        PoolUse::Dropped(Obstacle::NoAddress) => "no address of this family",
    };
    let said = trace.pools.iter().map(|step| {
        let pool = model.pool(step.pool);
        PoolSaid {
            pool: pool.name.clone(),
            region: model.region(pool.region).name.clone(),
            healthy: step.healthy,
            endpoints: step.endpoints,
            min_healthy: step.min_healthy,
            used: matches!(step.used, PoolUse::Used(_)),
            because: match load_words(model, trace, step) {
                Some(load) if step.used == PoolUse::Dropped(Obstacle::Loaded) => load,
                Some(load) => format!("{}; {load}", because(step)),
                None => because(step).to_owned(),
            },
            ejected: ejected(world, step.pool),
            blocked: blocked(world, step.pool),
        }
    });
    said.collect()
}

/// What a pool's load means for the client, where it sends some elsewhere: `sheds 34% of its clients (load 0.83, low 0.70,
/// high 0.90): this one goes elsewhere`.
fn load_words(model: &Model, trace: &Trace, step: &PoolStep) -> Option<String> {
    let LoadStep { load, goes, .. } = trace.loads.iter().find(|load| load.pool == step.pool)?;
    let feedback = model.pool(step.pool).load.as_ref()?;
    let becomes = match (goes, trace.nobody_has_room) {
        (false, _) => "this one stays",
        (true, false) => "this one goes elsewhere",
        (true, true) => "this one would go elsewhere, but nobody has room",
    };
    let known = load.percent.map_or("unknown".to_owned(), |percent| format!("{:.2}", f64::from(percent) / 100.0));
    let (low, high) = (feedback.low(), feedback.high());
    Some(format!(
        "sheds {:.0}% of its clients (load {known}, low {low:.2}, high {high:.2}): {becomes}",
        load.share() * 100.0
    ))
}

/// Why is not in a world: whoever has the ledger tells ([`tell_why_ejected`]).
fn ejected(world: &World, pool: PoolId) -> Vec<EjectedSaid> {
    let members = world.snapshot.model.members(pool).map(|(id, _)| (id, world.health.endpoint(id)));
    let said = |(id, health): (EndpointId, EndpointHealth)| EjectedSaid {
        endpoint: Subject::Endpoint(id).name(&world.snapshot.model),
        answered: health.usable,
        why: "its requests fail".to_owned(),
    };
    members.filter(|(_, health)| health.ejected).map(said).collect()
}

fn blocked(world: &World, pool: PoolId) -> Vec<BlockedSaid> {
    let model = &world.snapshot.model;
    let why = model.members(pool).filter_map(|(id, _)| Some((id, world.health.why_blocked(model, id)?)));
    why.map(|(id, why)| BlockedSaid { endpoint: Subject::Endpoint(id).name(model), why }).collect()
}

/// Puts in why endpoints are ejected, by their names.
pub fn tell_why_ejected(said: &mut Explanation, why: &HashMap<String, String>) {
    let pools = said.decision.iter_mut().flat_map(|decision| &mut decision.pools);
    for ejected in pools.flat_map(|pool| &mut pool.ejected) {
        if let Some(why) = why.get(&ejected.endpoint) {
            ejected.why.clone_from(why);
        }
    }
}
