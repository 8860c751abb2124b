//! How much of the demand does each region bear, when these are up and those are not?
//!
//! Demand is laid over the classes of each VIP's clients once; then every question of what is up costs one decision for
//! each class. Demand that names addresses goes to their classes by how many of them each holds; demand of a place that has
//! no address in any database is decided for the place itself.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use crate::geo::atlas::Atlas;
use crate::geo::place::Place;
use crate::geo::runs::Address;
use crate::geo::runs::Block;
use crate::geo::runs::Runs;
use crate::health::table::HealthTable;
use crate::impact::demand::Demand;
use crate::impact::demand::From;
use crate::impact::demand::Line;
use crate::impact::reload::family_asked;
use crate::impact::space::Classes;
use crate::impact::space::UNICAST_V4;
use crate::impact::space::UNICAST_V6;
use crate::impact::space::own_sites;
use crate::impact::space::walk;
use crate::model;
use crate::model::GeoCode;
use crate::model::Problem;
use crate::model::VipId;
use crate::snapshot::Snapshot;
use crate::steering::Client;
use crate::steering::shares;
use crate::steering::shares_at;

/// More lines of demand than this that nobody could be found for are not told one by one.
const UNSERVED_TOLD_MAX: usize = 20;

/// Demand laid over the clients of each VIP.
#[derive(Debug)]
pub struct Load<'a> {
    snapshot: &'a Snapshot,
    /// Clients that are decided alike, each with its demand; by lines and steering map.
    spreads: Vec<Vec<(Who, f64)>>,
    /// Which VIP takes which spread, and what part of it.
    vips: Vec<(VipId, usize, f64)>,
    /// Lines whose demand is nobody's, and VIPs that do not exist.
    pub warnings: Vec<Problem>,
}

/// One of the clients that are decided alike.
#[derive(Debug, Clone, Copy)]
enum Who {
    At(Client),
    In(Place),
}

/// What each region bears, in the unit of the demand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Borne {
    /// By region.
    pub regions: Vec<f64>,
    /// What is sent to pools that are down or drained, because no other is left and the VIP says so.
    pub adrift: f64,
    /// What gets no address.
    pub unanswered: f64,
}

impl<'a> Load<'a> {
    /// Lays demand over the clients of these VIPs; `path` is the demand's, for warnings.
    pub fn spread(snapshot: &'a Snapshot, vips: &[VipId], demand: &Demand, path: &Path) -> Self {
        let mut load = Load { snapshot, spreads: Vec::new(), vips: Vec::new(), warnings: Vec::new() };
        let mut known: HashMap<(Option<&str>, u32), usize> = HashMap::new();
        let mut lost: BTreeMap<u32, Line> = BTreeMap::new();
        for id in vips {
            let map = snapshot.plan.map_of(*id);
            let vip = snapshot.model.vip(*id).name.as_str();
            let own = demand.of_one.get(vip).map(|lines| (Some(vip), lines, 1.0));
            let of_all = (None, &demand.of_all, 1.0 / vips.len() as f64);
            for (whose, lines, part) in own.into_iter().chain([of_all]).filter(|(_, lines, _)| !lines.is_empty()) {
                let spread = *known.entry((whose, map)).or_insert_with(|| {
                    let (spread, unserved) = spread_lines(snapshot, map, lines);
                    lost.extend(unserved.into_iter().map(|line| (line.number, line)));
                    load.spreads.push(spread);
                    load.spreads.len() - 1
                });
                load.vips.push((*id, spread, part));
            }
        }
        load.warn(demand, vips, path, &lost);
        load
    }

    fn warn(&mut self, demand: &Demand, vips: &[VipId], path: &Path, lost: &BTreeMap<u32, Line>) {
        let model = &self.snapshot.model;
        let names: std::collections::HashSet<&str> = vips.iter().map(|id| model.vip(*id).name.as_str()).collect();
        for (vip, lines) in demand.of_one.iter().filter(|(vip, _)| !names.contains(vip.as_str())) {
            let fact = match model.vips.iter().any(|known| known.name == *vip) {
                true => continue,
                false => format!("there is no VIP `{vip}`: its demand is not counted"),
            };
            let place = model::Place::at(path, lines.first().map_or(0, |line| line.number), 0);
            self.warnings.push(Problem::warning("W0601", place, fact).help("name a [vip.*] of the configuration"));
        }
        for line in lost.values().take(UNSERVED_TOLD_MAX) {
            let fact =
                format!("every address of `{}` is in a more specific line: its demand is not counted", line.from);
            let place = model::Place::at(path, line.number, 0);
            self.warnings.push(Problem::warning("W0602", place, fact).help("take the line out, or the others"));
        }
    }

    /// How much is laid over the clients of all these VIPs.
    pub fn total(&self) -> f64 {
        let sums: Vec<f64> = self.spreads.iter().map(|spread| spread.iter().map(|(_, weight)| weight).sum()).collect();
        self.vips.iter().map(|(_, spread, part)| sums[*spread] * part).sum()
    }

    /// What each region bears when this is what is up.
    pub fn borne(&self, health: &HealthTable) -> Borne {
        let model = &self.snapshot.model;
        let mut borne = Borne { regions: vec![0.0; model.regions.len()], ..Borne::default() };
        for (id, spread, part) in &self.vips {
            let family = family_asked(model, model.vip(*id));
            for (who, weight) in &self.spreads[*spread] {
                let to = match who {
                    Who::At(client) => shares(&self.snapshot.plan, health, *id, family, client),
                    Who::In(place) => shares_at(&self.snapshot.plan, health, *id, family, place),
                };
                let weight = weight * part;
                for (pool, share) in to.parts() {
                    match health.pool(pool).usable {
                        true => borne.regions[model.pool(pool).region.index()] += weight * share,
                        false => borne.adrift += weight * share,
                    }
                }
                if to.pools.is_empty() {
                    borne.unanswered += weight;
                }
            }
        }
        borne
    }
}

/// How much of a line lies in a class.
#[derive(Debug, Default)]
struct Held {
    v4: f64,
    v6: f64,
    example: Option<Client>,
}

/// Lines that name networks by prefix, those that name places, and the one for everywhere else; numbered from 1 as in
/// `lines`, 0 is none.
struct Lines {
    v4: Runs<u32>,
    v6: Runs<u128>,
    geos: HashMap<GeoCode, u32>,
    elsewhere: u32,
}

impl Lines {
    fn of(lines: &[Line]) -> Self {
        let (mut v4, mut v6, mut geos, mut elsewhere) = (Vec::new(), Vec::new(), HashMap::new(), 0);
        for (line, value) in lines.iter().zip(1..) {
            match line.from {
                From::Network(IpAddr::V4(ip), prefix) => v4.push(Block { first: u32::from(ip), prefix, value }),
                From::Network(IpAddr::V6(ip), prefix) => v6.push(Block { first: u128::from(ip), prefix, value }),
                From::Geo(code) => drop(geos.insert(code, value)),
                From::Elsewhere => elsewhere = value,
            }
        }
        let v4 = Runs::from_nested(v4, |_, inner| inner);
        let v6 = Runs::from_nested(v6, |_, inner| inner);
        Lines { v4, v6, geos, elsewhere }
    }

    /// The line of each place, by the atlas's ids; without databases, everywhere else is also where nobody says.
    fn by_place(&self, atlas: &Atlas) -> Vec<u32> {
        let everywhere = atlas.databases().is_empty();
        let of = |place: &Place| {
            let found = place.code().and_then(|code| {
                let country = GeoCode { subdivision: None, ..code };
                let continent = GeoCode { country: None, ..country };
                [code, country, continent].iter().find_map(|code| self.geos.get(code).copied())
            });
            found.unwrap_or(if everywhere || *place != Place::default() { self.elsewhere } else { 0 })
        };
        atlas.places().iter().map(of).collect()
    }
}

/// Lays lines over the classes of a steering map; gives those that hold no address of their own, too.
fn spread_lines(snapshot: &Snapshot, map: u32, lines: &[Line]) -> (Vec<(Who, f64)>, Vec<Line>) {
    let atlas = &*snapshot.atlas;
    let classes = Classes { v4: snapshot.plan.classes_v4(map), v6: snapshot.plan.classes_v6(map) };
    let index = Lines::of(lines);
    let by_place = index.by_place(atlas);
    let mut held: HashMap<(u32, u32), Held> = HashMap::new();
    let mut add = |line: u32, class: u32, client: IpAddr, v4: f64, v6: f64| {
        if line != 0 {
            let held = held.entry((line, class)).or_default();
            held.v4 += v4;
            held.v6 += v6;
            // Either will do: one class is one decision. IPv4 where there is any.
            if held.example.is_none_or(|known| known.address.is_ipv6() && client.is_ipv4()) {
                held.example = Some(Client::from_source(client));
            }
        }
    };
    // Networks wherever they are, places and everywhere else only where clients can be.
    walk(atlas.v4(), &[&index.v4, &classes.v4], (u32::MIN, u32::MAX), |piece, at| {
        add(at[0], at[1], piece.first.ip(), piece.first.count_to(piece.last), 0.0);
    });
    walk(atlas.v6(), &[&index.v6, &classes.v6], (u128::MIN, u128::MAX), |piece, at| {
        if let Some((first, sites)) = own_sites(piece.first, piece.last) {
            add(at[0], at[1], first.ip(), 0.0, sites);
        }
    });
    if !index.geos.is_empty() || index.elsewhere != 0 {
        let unless_named = |line: u32, place: u32| if line == 0 { by_place[place as usize] } else { 0 };
        walk(atlas.v4(), &[&index.v4, &classes.v4], UNICAST_V4, |piece, at| {
            add(unless_named(at[0], piece.place), at[1], piece.first.ip(), piece.first.count_to(piece.last), 0.0);
        });
        walk(atlas.v6(), &[&index.v6, &classes.v6], UNICAST_V6, |piece, at| {
            if let Some((first, sites)) = own_sites(piece.first, piece.last) {
                add(unless_named(at[0], piece.place), at[1], first.ip(), 0.0, sites);
            }
        });
    }
    shared_out(lines, held)
}

/// Gives each class its part of each line's weight.
fn shared_out(lines: &[Line], held: HashMap<(u32, u32), Held>) -> (Vec<(Who, f64)>, Vec<Line>) {
    let mut sums = vec![(0.0, 0.0); lines.len() + 1];
    for ((line, _), held) in &held {
        sums[*line as usize].0 += held.v4;
        sums[*line as usize].1 += held.v6;
    }
    let mut by_class: BTreeMap<u32, (Client, f64)> = BTreeMap::new();
    for ((line, class), held) in held {
        let (v4, v6) = sums[line as usize];
        // Whoever has IPv6 in a place has IPv4 most often too: a place is weighed by its IPv4 addresses when it has any.
        let part = if v4 > 0.0 { held.v4 / v4 } else { held.v6 / v6 };
        let Some(client) = held.example else { continue };
        by_class.entry(class).or_insert((client, 0.0)).1 += lines[line as usize - 1].weight * part;
    }
    let mut spread: Vec<(Who, f64)> =
        by_class.into_values().map(|(client, weight)| (Who::At(client), weight)).collect();
    let mut unserved = Vec::new();
    for (line, _) in lines.iter().zip(&sums[1..]).filter(|(_, sums)| **sums == (0.0, 0.0)) {
        match line.from {
            From::Geo(code) => spread.push((Who::In(Place::of(code)), line.weight)),
            From::Network(..) | From::Elsewhere => unserved.push(*line),
        }
    }
    spread.retain(|(_, weight)| *weight > 0.0);
    (spread, unserved)
}
