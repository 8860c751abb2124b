//! Two configurations side by side, section by section: what was added, taken out, changed.
//!
//! Items are paired by name, facts of an item by key, in the order of the file to come. What is compared is what is meant,
//! not what is written: a default that is spelled out changes nothing, and neither does another order of sections.

use std::collections::HashMap;

use crate::impact::facts;
use crate::impact::facts::Fact;
use crate::impact::proxy_facts;
use crate::model::PoolId;
use crate::snapshot::Snapshot;
use crate::zone::tree::Node;
use crate::zone::tree::RecordSet;
use crate::zone::tree::Zone;

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl Sign {
    /// `+`, `-`, `~`.
    pub fn letter(self) -> char {
        match self {
            Sign::Added => '+',
            Sign::Removed => '-',
            Sign::Changed => '~',
        }
    }
}

/// A section, zone or database that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What became of it.
    pub sign: Sign,
    /// `pool`, `vip`, `zone`, …
    pub kind: &'static str,
    /// Its name; empty where there is only one.
    pub name: String,
    /// What of it changed; of what is new, all that it is.
    pub details: Vec<Detail>,
}

/// A fact that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What became of it.
    pub sign: Sign,
    /// `ttl`, `endpoint 192.0.2.10`.
    pub key: String,
    /// What was.
    pub from: Option<String>,
    /// What is.
    pub to: Option<String>,
}

impl Detail {
    fn of(key: &str) -> Self {
        Detail { sign: Sign::Changed, key: key.to_owned(), from: None, to: None }
    }
}

/// What differs between two snapshots.
pub fn changes(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let both = [&*old.model, &*new.model];
    let mut out = settings(old, new);
    out.extend(paired("tls", both.map(|m| Items::of(&m.tls, |tls| &tls.name, |_, tls| facts::tls(tls)))));
    let databases = [old, new].map(|of| of.atlas.databases());
    let named: [Vec<String>; 2] = databases.map(|all| all.iter().map(|info| info.path.display().to_string()).collect());
    let items = |at: usize| Items {
        names: named[at].iter().map(String::as_str).collect(),
        facts: Box::new(move |i| facts::database(&databases[at][i])),
    };
    out.extend(paired("database", [items(0), items(1)]));
    out.extend(paired("network", both.map(|m| Items::of(&m.geo.networks, |n| &n.name, |_, n| facts::network(n)))));
    out.extend(paired("region", both.map(|m| Items::of(&m.regions, |r| &r.name, |_, r| facts::region(r)))));
    out.extend(paired("health_check", both.map(|m| Items::of(&m.checks, |c| &c.name, |_, c| facts::health_check(c)))));
    out.extend(paired(
        "pool",
        both.map(|m| Items::of(&m.pools, |p| &p.name, |at, p| facts::pool(m, PoolId::from(at), p))),
    ));
    out.extend(paired(
        "listener",
        both.map(|m| Items::of(&m.listeners, |l| &l.name, |_, l| proxy_facts::listener(m, l))),
    ));
    out.extend(paired("vip", both.map(|m| Items::of(&m.vips, |v| &v.name, |_, v| facts::vip(m, v)))));
    out.extend(zones(old, new));
    out
}

/// What there is only one of: `[server]`, `[admin]`, `[geo]`.
fn settings(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let (before, after) = (&*old.model, &*new.model);
    let mut server = differ(&facts::server(&before.server), &facts::server(&after.server));
    if before.server.cookie_secrets != after.server.cookie_secrets {
        server.push(Detail::of("cookie secrets"));
    } else if server.is_empty() && before.server != after.server {
        // A setting that has no words here is told all the same.
        server.push(Detail::of("other settings"));
    }
    let mut admin = differ(&facts::admin(&before.admin), &facts::admin(&after.admin));
    if admin.is_empty() && before.admin != after.admin {
        admin.push(Detail::of("other settings"));
    }
    let mut geo = differ(&facts::geo(&before.geo), &facts::geo(&after.geo));
    if old.plan.latency() != new.plan.latency() {
        geo.push(Detail::of("latency figures"));
    }
    let mut proxy = differ(&proxy_facts::proxy(&before.proxy), &proxy_facts::proxy(&after.proxy));
    // Those that a process draws come and go with sticky routes.
    if after.proxy.sticky_secret_file.is_some() && before.proxy.sticky_secrets != after.proxy.sticky_secrets {
        proxy.push(Detail::of("sticky secrets"));
    }
    let logs = [before, after].map(|model| proxy_facts::access_log(model.access_log.as_ref()));
    let access_log = differ(&logs[0], &logs[1]);
    let all = [("server", server), ("admin", admin), ("geo", geo), ("proxy", proxy), ("access_log", access_log)];
    let changed = all.into_iter().filter(|(_, details)| !details.is_empty());
    changed.map(|(kind, details)| Change { sign: Sign::Changed, kind, name: String::new(), details }).collect()
}

/// The items of one kind: their names, and the facts of each when they are asked for. A hundred thousand VIPs are never
/// all in words at once.
struct Items<'a> {
    names: Vec<&'a str>,
    facts: Box<dyn Fn(usize) -> Vec<Fact> + 'a>,
}

impl<'a> Items<'a> {
    fn of<T>(all: &'a [T], name: impl Fn(&'a T) -> &'a str, facts: impl Fn(usize, &'a T) -> Vec<Fact> + 'a) -> Self {
        Items { names: all.iter().map(name).collect(), facts: Box::new(move |at| facts(at, &all[at])) }
    }
}

/// What differs between the items of one kind; those that are gone come last.
fn paired(kind: &'static str, [old, new]: [Items<'_>; 2]) -> Vec<Change> {
    let mut out = Vec::new();
    let mut before: HashMap<&str, usize> = old.names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    for (at, name) in new.names.iter().enumerate() {
        let facts = (new.facts)(at);
        let (sign, details) = match before.remove(name) {
            Some(former) => (Sign::Changed, differ(&(old.facts)(former), &facts)),
            None => (Sign::Added, differ(&[], &facts)),
        };
        if sign == Sign::Added || !details.is_empty() {
            out.push(Change { sign, kind, name: (*name).to_owned(), details });
        }
    }
    let gone = old.names.iter().filter(|name| before.contains_key(**name));
    out.extend(gone.map(|name| Change { sign: Sign::Removed, kind, name: (*name).to_owned(), details: Vec::new() }));
    out
}

/// What differs between the facts of one item.
fn differ(old: &[Fact], new: &[Fact]) -> Vec<Detail> {
    if old == new {
        return Vec::new();
    }
    let find = |facts: &[Fact], key: &str| facts.iter().position(|fact| fact.key == key);
    let mut out = Vec::new();
    for fact in new {
        match find(old, &fact.key).map(|at| &old[at]) {
            Some(before) if before.value == fact.value => {}
            Some(before) => out.push(detail(Sign::Changed, fact, Some(before), Some(fact))),
            None => out.push(detail(Sign::Added, fact, None, Some(fact))),
        }
    }
    let gone = old.iter().filter(|before| find(new, &before.key).is_none());
    out.extend(gone.map(|before| detail(Sign::Removed, before, Some(before), None)));
    out.extend(reordered(old, new));
    out
}

fn detail(sign: Sign, fact: &Fact, from: Option<&Fact>, to: Option<&Fact>) -> Detail {
    let value = |fact: &Fact| fact.value.clone();
    Detail { sign, key: fact.key.clone(), from: from.map(value), to: to.map(value) }
}

/// Lists whose items are the same in another order: of rules, the first that matches counts.
fn reordered(old: &[Fact], new: &[Fact]) -> Option<Detail> {
    let keys = |facts: &[Fact], others: &[Fact]| -> Vec<String> {
        let common = |fact: &&Fact| fact.listed && others.iter().any(|other| other.key == fact.key);
        facts.iter().filter(common).map(|fact| fact.key.clone()).collect()
    };
    let (was, is) = (keys(old, new), keys(new, old));
    (was != is).then(|| Detail { from: Some(was.join("; ")), to: Some(is.join("; ")), ..Detail::of("order") })
}

fn zones(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let all: [Vec<&Zone>; 2] = [old, new].map(|of| of.zones.iter().map(|zone| &**zone).collect());
    let names: [Vec<String>; 2] = [0, 1].map(|at| all[at].iter().map(|zone| zone.apex().to_string()).collect());
    let items = [0, 1].map(|at| Items {
        names: names[at].iter().map(String::as_str).collect(),
        facts: Box::new({
            let zones = &all[at];
            move |i: usize| facts::zone(zones[i])
        }),
    });
    let mut out = paired("zone", items);
    let before: HashMap<&String, &Zone> = names[0].iter().zip(all[0].iter().copied()).collect();
    for (name, zone) in names[1].iter().zip(&all[1]) {
        let Some(former) = before.get(name).filter(|former| former.serial() == zone.serial()) else { continue };
        if same_records(former, zone) {
            continue;
        }
        // Secondaries look at the serial alone.
        let still = Some(format!("still {}, although records changed: secondaries will not notice", zone.serial()));
        let warning = Detail { to: still, ..Detail::of("serial") };
        match out.iter_mut().find(|change| change.name == *name) {
            Some(change) => change.details.push(warning),
            None => {
                out.push(Change { sign: Sign::Changed, kind: "zone", name: name.clone(), details: vec![warning] });
            }
        }
    }
    out
}

/// Whether two zones hold the same records, VIPs aside.
fn same_records(a: &Zone, b: &Zone) -> bool {
    let alike = |(a, b): (Node<'_>, Node<'_>)| {
        let same = |(a, b): (RecordSet<'_>, RecordSet<'_>)| a.rtype == b.rtype && a.prepared.data == b.prepared.data;
        a.owner() == b.owner() && a.sets().count() == b.sets().count() && a.sets().zip(b.sets()).all(same)
    };
    a.records() == b.records() && nodes(a).count() == nodes(b).count() && nodes(a).zip(nodes(b)).all(alike)
}

/// The names of a zone that have records: what is only a VIP, or only above other names, has none.
fn nodes(zone: &Zone) -> impl Iterator<Item = Node<'_>> {
    std::iter::successors(zone.first(), |node| node.after()).filter(|node| node.sets().next().is_some())
}
