//! `[vip.*]` as they were written.

use std::time::Duration;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::Words;
use crate::config::fields::unknown_word;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::dns::name::Name;
use crate::model::ANSWERS_MAX;
use crate::model::FamilyRule;
use crate::model::GeoCode;

use super::pools::WEIGHT_MAX;

/// `[vip.*]`.
#[derive(Debug)]
pub struct Vip {
    /// Its name.
    pub name: Written<Name>,
    /// How pools are ordered.
    pub policy: Option<Written<PolicyWord>>,
    /// Whether a TTL was written, readable or not.
    pub has_ttl: bool,
    /// The longest TTL.
    pub ttl: Option<Written<Duration>>,
    /// The shortest TTL.
    pub min_ttl: Option<Written<Duration>>,
    /// At most this many records.
    pub answers: Option<Written<u64>>,
    /// Prefix lengths for anything keyed on the client: IPv4, IPv6.
    pub hash: (Option<Written<u64>>, Option<Written<u64>>),
    /// What to answer when no pool is left.
    pub when_all_down: Option<Written<AllDown>>,
    /// What to answer when the pool has no address of the family asked for.
    pub family: Option<Written<FamilyRule>>,
    /// Whether `rules` or `pools` was written at all, readable or not.
    pub has_choices: bool,
    /// `rules`, of geolocation.
    pub rules: Option<List<Rule>>,
    /// `pools`, of every other policy.
    pub pools: Option<List<Member>>,
}

/// A policy's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyWord {
    /// First matching rule.
    Geolocation,
    /// Nearest.
    Geoproximity,
    /// Lowest latency.
    Latency,
    /// A weighted draw.
    Weighted,
    /// Rendezvous hashing.
    Hash,
    /// As declared.
    Failover,
}

/// What to answer when no pool is left; a pool is still a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllDown {
    /// As if all were up.
    All,
    /// NOERROR without records.
    NoData,
    /// SERVFAIL.
    ServFail,
    /// From this pool.
    Pool(String),
}

/// One of `pools`.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The pool's name.
    pub pool: Written<String>,
    /// Its share.
    pub weight: Option<Written<u64>>,
    /// Shrinks or widens its region.
    pub bias: Option<Written<i64>>,
}

/// One of `rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Names of networks.
    pub networks: Option<List<String>>,
    /// Places.
    pub geos: Option<List<GeoCode>>,
    /// Autonomous system numbers.
    pub asns: Option<List<u64>>,
    /// `pool`, or `pools`.
    pub members: Option<List<Member>>,
    /// Whether it never leaves its pools.
    pub geofence: Option<Written<bool>>,
    /// Whether every key was known; if not, its conditions are not what was meant.
    pub all_known: bool,
}

impl PolicyWord {
    /// The word.
    pub fn word(self) -> &'static str {
        POLICIES.words.iter().find(|(_, policy)| *policy == self).map_or("", |(word, _)| word)
    }
}

const POLICIES: Words<PolicyWord> = Words {
    words: &[
        ("geolocation", PolicyWord::Geolocation),
        ("geoproximity", PolicyWord::Geoproximity),
        ("latency", PolicyWord::Latency),
        ("weighted", PolicyWord::Weighted),
        ("hash", PolicyWord::Hash),
        ("failover", PolicyWord::Failover),
    ],
};
const FAMILIES: Words<FamilyRule> =
    Words { words: &[("same-region", FamilyRule::SameRegion), ("any-region", FamilyRule::AnyRegion)] };
const ALL_DOWN: Words<()> = Words { words: &[("all", ()), ("nodata", ()), ("servfail", ()), ("pool:NAME", ())] };

/// RFC 2181 section 8: a TTL has 31 bits.
const TTL_MAX: Duration = Duration::from_secs(0x7fff_ffff);

impl Vip {
    /// Reads one VIP.
    pub fn read(reports: &mut Reports<'_>, name: Written<Name>, mut fields: Fields) -> Vip {
        fields.require("policy", "\"failover\"");
        let second = Duration::from_secs(1);
        let has_ttl = fields.has("ttl");
        let has_choices = fields.has("rules") || fields.has("pools");
        let vip = Vip {
            has_ttl,
            has_choices,
            policy: fields.word(reports, "policy", &POLICIES),
            ttl: ttl(reports, &mut fields, "ttl", Duration::ZERO),
            min_ttl: ttl(reports, &mut fields, "min_ttl", second),
            answers: fields.integer(reports, "answers", 1..=ANSWERS_MAX as u64),
            hash: granularity(reports, &mut fields),
            when_all_down: fields.any("when_all_down").and_then(|value| all_down(reports, value)),
            family: fields.word(reports, "family", &FAMILIES),
            rules: rules(reports, &mut fields),
            pools: members(reports, &mut fields, "pools"),
            name,
        };
        fields.finish(reports);
        vip
    }
}

fn ttl(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
    key: &'static str,
    least: Duration,
) -> Option<Written<Duration>> {
    let ttl = fields.duration(reports, key, least..=TTL_MAX)?;
    if ttl.value.subsec_nanos() != 0 {
        let fact = format!("`{key}` is {}, and DNS counts whole seconds", forms::show_duration(ttl.value));
        let help = format!("write `{key} = \"{}s\"`", ttl.value.as_secs() + 1);
        reports.error(codes::RANGE, ttl.span, fact).help(help);
        return None;
    }
    Some(ttl)
}

fn granularity(reports: &mut Reports<'_>, fields: &mut Fields) -> (Option<Written<u64>>, Option<Written<u64>>) {
    let Some(mut hash) = fields.table(reports, "hash", "a table, as in `{ v4 = 24, v6 = 56 }`") else {
        return (None, None);
    };
    let both = (hash.integer(reports, "v4", 0..=32), hash.integer(reports, "v6", 0..=128));
    hash.finish(reports);
    both
}

fn all_down(reports: &mut Reports<'_>, value: Written<Value>) -> Option<Written<AllDown>> {
    let Value::Text(text) = &value.value else {
        let takes = "one of `all`, `nodata`, `servfail`, `pool:NAME`";
        wrong_type(reports, value.span, "`when_all_down`", takes, &value.value, None);
        return None;
    };
    let meant = match text.as_str() {
        "all" => AllDown::All,
        "nodata" => AllDown::NoData,
        "servfail" => AllDown::ServFail,
        other => match other.strip_prefix("pool:") {
            Some(pool) => AllDown::Pool(pool.trim().to_owned()),
            None => {
                unknown_word(reports, value.span, "when_all_down", other, &ALL_DOWN);
                return None;
            }
        },
    };
    Some(Written { value: meant, span: value.span })
}

fn members(reports: &mut Reports<'_>, fields: &mut Fields, key: &'static str) -> Option<List<Member>> {
    let list = fields.tables(reports, key, "a pool", "{ pool = \"POOL\" }")?;
    let written = list.items.len();
    let read = |item: Written<Fields>| {
        let span = item.span;
        Member::read(reports, item.value).map(|value| Written { value, span })
    };
    let items: Vec<_> = list.items.into_iter().filter_map(read).collect();
    let complete = list.complete && items.len() == written;
    Some(List { items, span: list.span, complete })
}

impl Member {
    fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Option<Member> {
        fields.require("pool", "\"POOL\"");
        let pool = fields.name(reports, "pool");
        let weight = fields.integer(reports, "weight", 0..=WEIGHT_MAX);
        let bias = fields.signed(reports, "bias", -99..=99);
        fields.finish(reports);
        Some(Member { pool: pool?, weight, bias })
    }
}

fn rules(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<List<Rule>> {
    let list = fields.tables(reports, "rules", "a rule", "{ geos = [\"EU\"], pool = \"POOL\" }")?;
    let items = list.items.into_iter();
    let items = items.map(|item| Written { span: item.span, value: Rule::read(reports, item.value) }).collect();
    Some(List { items, span: list.span, complete: list.complete })
}

impl Rule {
    fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Rule {
        if !fields.has("pools") {
            fields.require("pool", "\"POOL\"");
        } else if let Some((_, span)) = fields.first_of(&["pool"]) {
            let fact = "a rule has `pool` or `pools`, not both";
            reports.error(codes::MISPLACED, span, fact).help("put every pool into `pools`".to_owned());
        }
        let networks = fields.names(reports, "networks");
        let geos = fields.forms(reports, "geos", &forms::GEO);
        let asns = fields.integers(reports, "asns", 1..=u64::from(u32::MAX));
        let geofence = fields.flag(reports, "geofence");
        let one = fields.name(reports, "pool");
        let members = members(reports, &mut fields, "pools").or_else(|| one.map(alone));
        let all_known = fields.finish(reports);
        Rule { networks, geos, asns, members, geofence, all_known }
    }

    /// Whether it has no condition.
    pub fn is_catch_all(&self) -> bool {
        self.networks.is_none() && self.geos.is_none() && self.asns.is_none()
    }
}

fn alone(pool: Written<String>) -> List<Member> {
    let span: Span = pool.span;
    let member = Member { pool, weight: None, bias: None };
    List { items: vec![Written { value: member, span }], span, complete: true }
}
