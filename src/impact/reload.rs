//! Whose answers would move if this world took the place of that one?
//!
//! VIPs are paired by name, and so are pools; for each pair and each class of clients both worlds are asked where they send
//! them. What moves is counted in parts of the address space ([`crate::impact::space`]), each VIP counting alike. Clients that
//! stay with a pool whose addresses change are counted apart: their answer changes, their region does not.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::impact::moves::moves;
use crate::impact::space::Cell;
use crate::impact::space::Classes;
use crate::impact::space::Extent;
use crate::impact::space::Space;
use crate::impact::space::Whereabouts;
use crate::model::Family;
use crate::model::FamilyRule;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Vip;
use crate::model::VipId;
use crate::steering::Shares;
use crate::steering::shares;
use crate::world::World;

/// Whose answers would move. Parts are of the whole, each family of its own, averaged over the VIPs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Impact {
    /// What is counted, in addresses and /48s.
    pub whole: Extent,
    /// Whether databases say what counts; otherwise all of unicast does.
    pub by_databases: bool,
    /// How many VIPs are in both worlds.
    pub vips: usize,
    /// What moves from one pool to another.
    pub moved: Extent,
    /// What stays with its pool, whose addresses change.
    pub readdressed: Extent,
    /// What moves of each VIP's own clients; those that nothing moves of are left out. Most first.
    pub by_vip: Vec<(String, Extent)>,
    /// What moves in each country; most first.
    pub by_country: Vec<CountryMoved>,
    /// What moves from where to where; most first.
    pub flows: Vec<Flow>,
    /// Pools whose addresses change, with what stays there; most first.
    pub readdressed_pools: Vec<(End, Extent)>,
    /// Where clients that no database places move; not counted.
    pub unplaced: Vec<(End, End)>,
    /// VIPs that begin to be answered.
    pub begin: Vec<String>,
    /// VIPs that are no longer answered.
    pub end: Vec<String>,
}

/// What moves in a country.
#[derive(Debug, Clone, PartialEq)]
pub struct CountryMoved {
    /// `DE`, `EU (no country)`, a custom network's name, `nowhere`.
    pub name: String,
    /// Part of the whole.
    pub of_all: Extent,
    /// Part of what the country has.
    pub of_its_own: Extent,
}

/// What moves from one pool to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// From here.
    pub from: End,
    /// To there.
    pub to: End,
    /// Part of the whole.
    pub part: Extent,
}

/// Where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A pool and its region.
    Pool {
        /// The pool's name.
        pool: String,
        /// The region's name.
        region: String,
    },
    /// No address.
    Nowhere,
}

impl Impact {
    /// Whether no answer changes.
    pub fn is_nothing(&self) -> bool {
        self.moved == Extent::default()
            && self.readdressed == Extent::default()
            && self.unplaced.is_empty()
            && self.begin.is_empty()
            && self.end.is_empty()
    }

    /// What changes when `new` is served in place of `old`.
    pub fn between(old: &World, new: &World) -> Impact {
        let (old_atlas, new_atlas) = (&old.snapshot.atlas, &new.snapshot.atlas);
        // Of two ideas of where addresses are, the one to come; a world without any takes the other's.
        let without = new_atlas.databases().is_empty() && !old_atlas.databases().is_empty();
        let space = Space::of(if without { old_atlas } else { new_atlas });
        Comparison::new(old, new, &space).finish()
    }
}

/// Pools of both worlds in one numbering: those of the new one by their ids, then those that only the old one has.
struct Ends {
    of_old: Vec<u32>,
    new_count: u32,
}

/// No pool.
const NO_POOL: u32 = u32::MAX;

impl Ends {
    fn of(old: &Model, new: &Model) -> Self {
        let names: HashMap<&str, u32> = new.pools.iter().zip(0..).map(|(pool, at)| (pool.name.as_str(), at)).collect();
        let new_count = new.pools.len() as u32;
        let of_old = (old.pools.iter().zip(0..))
            .map(|(pool, at)| names.get(pool.name.as_str()).copied().unwrap_or(new_count + at));
        Ends { of_old: of_old.collect(), new_count }
    }

    fn draw(&self, shares: &Shares, number: impl Fn(PoolId) -> u32) -> Vec<(u32, f64)> {
        match shares.pools.is_empty() {
            true => vec![(NO_POOL, 1.0)],
            false => shares.parts().map(|(pool, part)| (number(pool), part)).collect(),
        }
    }

    fn named(&self, end: u32, old: &Model, new: &Model) -> End {
        let of = |model: &Model, id: u32| {
            let pool = model.pool(PoolId(id));
            End::Pool { pool: pool.name.clone(), region: model.region(pool.region).name.clone() }
        };
        match end {
            NO_POOL => End::Nowhere,
            end if end < self.new_count => of(new, end),
            end => of(old, end - self.new_count),
        }
    }
}

/// The comparison under way.
struct Comparison<'a> {
    old: &'a World,
    new: &'a World,
    space: &'a Space<'a>,
    ends: Ends,
    /// By pool of the new world.
    readdressed: Vec<bool>,
    /// By the maps of the old and the new world.
    cells: HashMap<(u32, u32), Vec<Cell>>,
    vips: usize,
    by_vip: Vec<(VipId, Extent)>,
    /// By index of the space's whereabouts.
    by_country: Vec<Extent>,
    flows: HashMap<(u32, u32), Extent>,
    stays: HashMap<u32, Extent>,
    unplaced: HashSet<(u32, u32)>,
}

impl<'a> Comparison<'a> {
    fn new(old: &'a World, new: &'a World, space: &'a Space<'a>) -> Self {
        let ends = Ends::of(&old.snapshot.model, &new.snapshot.model);
        let readdressed = readdressed(old, new, &ends);
        Comparison {
            old,
            new,
            space,
            ends,
            readdressed,
            cells: HashMap::new(),
            vips: 0,
            by_vip: Vec::new(),
            by_country: vec![Extent::default(); space.whereabouts.len()],
            flows: HashMap::new(),
            stays: HashMap::new(),
            unplaced: HashSet::new(),
        }
    }

    fn finish(mut self) -> Impact {
        let (old, new) = (self.old.snapshot.clone(), self.new.snapshot.clone());
        let mut former: HashMap<&str, VipId> =
            old.model.vips.iter().enumerate().map(|(at, vip)| (vip.name.as_str(), VipId::from(at))).collect();
        let mut begin = Vec::new();
        for (at, vip) in new.model.vips.iter().enumerate() {
            match former.remove(vip.name.as_str()) {
                Some(before) => self.vip(before, VipId::from(at)),
                None => begin.push(vip.name.clone()),
            }
        }
        let mut end: Vec<String> = former.into_keys().map(str::to_owned).collect();
        end.sort();
        self.summed(begin, end)
    }

    /// Compares one VIP.
    fn vip(&mut self, before: VipId, after: VipId) {
        let (old, new) = (&self.old.snapshot, &self.new.snapshot);
        let maps = (old.plan.map_of(before), new.plan.map_of(after));
        let space = self.space;
        let cells = self.cells.remove(&maps).unwrap_or_else(|| {
            let table =
                |plan: &crate::steering::Plan, map| Classes { v4: plan.classes_v4(map), v6: plan.classes_v6(map) };
            space.cells(&[&table(&old.plan, maps.0), &table(&new.plan, maps.1)])
        });
        let mut moved = Extent::default();
        for cell in &cells {
            moved += self.cell(before, after, cell);
        }
        self.cells.insert(maps, cells);
        self.vips += 1;
        if moved != Extent::default() {
            self.by_vip.push((after, moved));
        }
    }

    /// Compares one class of a VIP's clients; what of them moves.
    fn cell(&mut self, before: VipId, after: VipId, cell: &Cell) -> Extent {
        let (old, new) = (&self.old.snapshot, &self.new.snapshot);
        let (old_vip, new_vip) = (old.model.vip(before), new.model.vip(after));
        let was = shares(&old.plan, &self.old.health, before, family_asked(&old.model, old_vip), &cell.client);
        let is = shares(&new.plan, &self.new.health, after, family_asked(&new.model, new_vip), &cell.client);
        let old_draw = self.ends.draw(&was, |pool| self.ends.of_old[pool.index()]);
        let new_draw = self.ends.draw(&is, |pool| pool.0);
        let same_keys = match cell.client.address.is_ipv4() {
            true => old_vip.hash.v4 == new_vip.hash.v4,
            false => old_vip.hash.v6 == new_vip.hash.v6,
        };
        // A draw that is made anew every TTL anyway moves no more by another key.
        let moves = moves(&old_draw, &new_draw, same_keys || !(was.for_good && is.for_good));
        self.note_stays(cell, &new_draw, &moves);
        let mut moved = Extent::default();
        for (from, to, part) in moves {
            let extent = cell.extent(self.space) * part;
            if extent == Extent::default() {
                self.unplaced.insert((from, to));
                continue;
            }
            moved += extent;
            *self.flows.entry((from, to)).or_default() += extent;
            for (at, extent) in cell.extents.iter().filter(|(at, _)| self.space.counts(*at)) {
                self.by_country[*at] += *extent * part;
            }
        }
        moved
    }

    /// Counts who stays with a pool whose addresses change.
    fn note_stays(&mut self, cell: &Cell, draw: &[(u32, f64)], moves: &[(u32, u32, f64)]) {
        for (pool, part) in draw {
            if self.readdressed.get(*pool as usize).is_some_and(|changes| *changes) {
                let came: f64 = moves.iter().filter(|(_, to, _)| to == pool).map(|(_, _, part)| part).sum();
                *self.stays.entry(*pool).or_default() += cell.extent(self.space) * (part - came).max(0.0);
            }
        }
    }

    fn summed(self, begin: Vec<String>, end: Vec<String>) -> Impact {
        let (old, new) = (&self.old.snapshot.model, &self.new.snapshot.model);
        let all = self.space.whole * self.vips as f64;
        let sum = |parts: &mut dyn Iterator<Item = Extent>| {
            let mut sum = Extent::default();
            parts.for_each(|part| sum += part);
            sum.of(all)
        };
        let named = |end: u32| self.ends.named(end, old, new);
        let flow = |((from, to), extent): (&(u32, u32), &Extent)| Flow {
            from: named(*from),
            to: named(*to),
            part: extent.of(all),
        };
        let mut flows: Vec<Flow> = self.flows.iter().map(flow).collect();
        flows.sort_by(|a, b| most_first(a.part, b.part).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
        let mut by_vip: Vec<(String, Extent)> =
            self.by_vip.iter().map(|(id, moved)| (new.vip(*id).name.clone(), moved.of(self.space.whole))).collect();
        by_vip.sort_by(|a, b| most_first(a.1, b.1).then_with(|| a.0.cmp(&b.0)));
        let mut stays: Vec<(End, Extent)> =
            self.stays.iter().map(|(pool, extent)| (named(*pool), extent.of(all))).collect();
        stays.retain(|(_, part)| *part != Extent::default());
        stays.sort_by(|a, b| most_first(a.1, b.1).then_with(|| a.0.cmp(&b.0)));
        let mut unplaced: Vec<(End, End)> = self.unplaced.iter().map(|(from, to)| (named(*from), named(*to))).collect();
        unplaced.sort();
        Impact {
            whole: self.space.whole,
            by_databases: self.space.by_databases(),
            vips: self.vips,
            moved: sum(&mut self.flows.values().copied()),
            readdressed: sum(&mut self.stays.values().copied()),
            by_vip,
            by_country: self.countries(all),
            flows,
            readdressed_pools: stays,
            unplaced,
            begin,
            end,
        }
    }

    fn countries(&self, all: Extent) -> Vec<CountryMoved> {
        let mut own = vec![Extent::default(); self.by_country.len()];
        for cell in self.space.cells(&[]) {
            cell.extents.iter().for_each(|(at, extent)| own[*at] += *extent);
        }
        let moved = self.by_country.iter().enumerate().filter(|(_, moved)| **moved != Extent::default());
        let country = |(at, moved): (usize, &Extent)| CountryMoved {
            name: whereabouts_named(self.space.whereabouts[at], &self.new.snapshot.model),
            of_all: moved.of(all),
            of_its_own: moved.of(own[at] * self.vips as f64),
        };
        let mut list: Vec<CountryMoved> = moved.map(country).collect();
        list.sort_by(|a, b| most_first(a.of_all, b.of_all).then_with(|| a.name.cmp(&b.name)));
        list
    }
}

fn most_first(a: Extent, b: Extent) -> std::cmp::Ordering {
    b.most().total_cmp(&a.most())
}

/// The addresses that decide where clients go where a VIP lets the family decide; IPv4 unless there are none.
pub(super) fn family_asked(model: &Model, vip: &Vip) -> Family {
    let any_v4 = || {
        let pools = vip.pools();
        pools.iter().any(|pool| model.members(*pool).any(|(_, endpoint)| endpoint.address.is_ipv4()))
    };
    if vip.family == FamilyRule::SameRegion || any_v4() { Family::V4 } else { Family::V6 }
}

/// What whereabouts are called.
fn whereabouts_named(at: Whereabouts, model: &Model) -> String {
    let text = |letters: [u8; 2]| letters.map(char::from).iter().collect::<String>();
    match at {
        Whereabouts::Country(code) => text(code),
        Whereabouts::Continent(code) => format!("{} (no country)", text(code)),
        Whereabouts::Network(id) => {
            model.geo.networks.get(id.index()).map_or_else(|| "a network".to_owned(), |n| n.name.clone())
        }
        Whereabouts::Nowhere => "nowhere".to_owned(),
    }
}

/// Which pools of the new world are answered with other addresses, or in other parts, than that pool of the old one.
fn readdressed(old: &World, new: &World, ends: &Ends) -> Vec<bool> {
    let usable = |world: &World, pool: PoolId| {
        let members = world.snapshot.model.members(pool);
        let up = members.filter(|(id, _)| world.health.endpoint(*id).usable);
        let mut list: Vec<_> = up.map(|(_, endpoint)| (endpoint.address, endpoint.weight)).collect();
        list.sort_unstable();
        list
    };
    let mut changed = vec![false; new.snapshot.model.pools.len()];
    for (before, after) in ends.of_old.iter().enumerate().filter(|(_, after)| **after < ends.new_count) {
        let pool = PoolId(*after);
        let balance = |world: &World, pool: PoolId| world.snapshot.model.pool(pool).balance;
        let before = PoolId::from(before);
        changed[pool.index()] = usable(old, before) != usable(new, pool) || balance(old, before) != balance(new, pool);
    }
    changed
}
