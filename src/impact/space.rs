//! The address space, cut into clients that are steered alike: how much of it is each?
//!
//! A hundred million addresses have a few dozen classes, so what is asked of each address is asked of each class and
//! multiplied by how much there is of it. What counts as how much?
//!
//! - **IPv4**: addresses. With databases, those that a database or custom network places somewhere; the rest is private,
//!   reserved or unused, and nobody's answers are counted by it. Without databases, all of unicast (1.0.0.0 to
//!   223.255.255.255).
//! - **IPv6**: /48s, the usual network of one site, but a stretch that is in one place counts at most as one /32. What
//!   registries hand out runs from /48 to /19 for reasons of history, and whoever has a /19 has not 8,192 times the clients of
//!   a /32. Without databases, all of 2000::/3 alike.
//!
//! The two families are never added: an address and a /48 are not the same thing. IPv6 prefixes that carry IPv4 addresses
//! (6to4, NAT64) are steered as those and are left out.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::geo::atlas::Atlas;
use crate::geo::place::Place;
use crate::geo::runs::Address;
use crate::geo::runs::Runs;
use crate::model::NetworkId;
use crate::steering::Client;

/// Unicast IPv4 (RFC 6890): 1.0.0.0 to 223.255.255.255.
pub(super) const UNICAST_V4: (u32, u32) = (0x0100_0000, 0xdfff_ffff);
/// Unicast IPv6 as far as it is handed out (RFC 4291 section 2.4): 2000::/3.
pub(super) const UNICAST_V6: (u128, u128) = (0x2 << 124, (0x4 << 124) - 1);
/// 6to4, 2002::/16: its clients are steered by the IPv4 address inside.
const CARRIERS_V6: (u128, u128) = (0x2002 << 112, (0x2003 << 112) - 1);
/// How many addresses a /48 has.
const SITE: f64 = (1u128 << 80) as f64;
/// A stretch in one place counts at most as so many /48s: a /32.
const SITES_MAX: f64 = 65_536.0;

/// How much of the address space: in each family as its own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extent {
    /// IPv4: addresses.
    pub v4: f64,
    /// IPv6: /48s.
    pub v6: f64,
}

impl std::ops::AddAssign for Extent {
    fn add_assign(&mut self, other: Self) {
        self.v4 += other.v4;
        self.v6 += other.v6;
    }
}

impl std::ops::Mul<f64> for Extent {
    type Output = Extent;
    fn mul(self, by: f64) -> Extent {
        Extent { v4: self.v4 * by, v6: self.v6 * by }
    }
}

impl Extent {
    /// These as parts of a whole, each family of its own; 0 of a family that the whole lacks.
    pub fn of(self, whole: Extent) -> Extent {
        let part = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Extent { v4: part(self.v4, whole.v4), v6: part(self.v6, whole.v6) }
    }

    /// The larger of the two.
    pub fn most(self) -> f64 {
        self.v4.max(self.v6)
    }

    fn add(&mut self, family: Family, amount: f64) {
        match family {
            Family::V4 => self.v4 += amount,
            Family::V6 => self.v6 += amount,
        }
    }
}

/// The family of a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Where clients are, as people count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whereabouts {
    /// A country, ISO 3166-1 alpha-2.
    Country([u8; 2]),
    /// A continent, and nothing more is known.
    Continent([u8; 2]),
    /// A custom network that says nothing of where it is.
    Network(NetworkId),
    /// Nobody says where.
    Nowhere,
}

impl Whereabouts {
    /// Of a place.
    pub fn of(place: &Place) -> Self {
        match (place.country, place.continent, place.network) {
            (Some(country), _, _) => Whereabouts::Country(country),
            (None, Some(continent), _) => Whereabouts::Continent(continent),
            (None, None, Some(network)) => Whereabouts::Network(network),
            (None, None, None) => Whereabouts::Nowhere,
        }
    }
}

/// Clients of one class in each table looked at.
#[derive(Debug, Clone)]
pub struct Cell {
    /// One of them, by which all are known.
    pub client: Client,
    /// How much of the address space they are, by where they are: an index into [`Space::whereabouts`].
    pub extents: Vec<(usize, Extent)>,
}

impl Cell {
    /// All of it, as far as it counts in this space.
    pub fn extent(&self, space: &Space<'_>) -> Extent {
        let mut sum = Extent::default();
        self.extents.iter().filter(|(at, _)| space.counts(*at)).for_each(|(_, extent)| sum += *extent);
        sum
    }
}

/// The classes of a steering map over both families.
#[derive(Debug)]
pub struct Classes {
    /// Over IPv4.
    pub v4: Runs<u32>,
    /// Over IPv6.
    pub v6: Runs<u128>,
}

/// The address space as an atlas knows it.
#[derive(Debug)]
pub struct Space<'a> {
    atlas: &'a Atlas,
    /// By place id, an index into `whereabouts`.
    of_place: Vec<u32>,
    /// Every one that the atlas knows.
    pub whereabouts: Vec<Whereabouts>,
    /// All that counts.
    pub whole: Extent,
}

impl<'a> Space<'a> {
    /// The space of an atlas.
    pub fn of(atlas: &'a Atlas) -> Self {
        let mut index = HashMap::new();
        let mut whereabouts = Vec::new();
        let of_place = atlas.places().iter().map(|place| {
            let at = Whereabouts::of(place);
            *index.entry(at).or_insert_with(|| {
                whereabouts.push(at);
                (whereabouts.len() - 1) as u32
            })
        });
        let of_place = of_place.collect();
        let mut space = Space { atlas, of_place, whereabouts, whole: Extent::default() };
        for cell in space.cells(&[]) {
            let extent = cell.extent(&space);
            space.whole += extent;
        }
        space
    }

    /// Whether the clients there are part of the whole: all are when there is no database, else those that are placed.
    pub fn counts(&self, at: usize) -> bool {
        self.whereabouts[at] != Whereabouts::Nowhere || !self.by_databases()
    }

    /// Whether databases say what counts.
    pub fn by_databases(&self) -> bool {
        !self.atlas.databases().is_empty()
    }

    /// The clients that all of these tables hold alike.
    pub fn cells(&self, tables: &[&Classes]) -> Vec<Cell> {
        let mut cells = Cells { space: self, index: HashMap::new(), list: Vec::new(), last: None };
        let v4: Vec<&Runs<u32>> = tables.iter().map(|table| &table.v4).collect();
        walk(self.atlas.v4(), &v4, UNICAST_V4, |piece, classes| {
            cells.add(piece.place, classes, piece.first.ip(), Family::V4, piece.first.count_to(piece.last));
        });
        let v6: Vec<&Runs<u128>> = tables.iter().map(|table| &table.v6).collect();
        walk(self.atlas.v6(), &v6, UNICAST_V6, |piece, classes| {
            if let Some((first, sites)) = own_sites(piece.first, piece.last) {
                cells.add(piece.place, classes, first.ip(), Family::V6, sites * self.weighed(piece.stretch));
            }
        });
        cells.list
    }

    /// By how much each /48 of a stretch counts for less than one.
    fn weighed(&self, stretch: (u128, u128)) -> f64 {
        let sites = stretch.0.count_to(stretch.1) / SITE;
        if self.by_databases() { sites.min(SITES_MAX) / sites } else { 1.0 }
    }
}

/// The first IPv6 address here that is steered as one, and how many /48s of such there are.
pub(super) fn own_sites(first: u128, last: u128) -> Option<(u128, f64)> {
    let carried = (first.max(CARRIERS_V6.0), last.min(CARRIERS_V6.1));
    let carriers = if carried.0 <= carried.1 { carried.0.count_to(carried.1) } else { 0.0 };
    let begin = if (CARRIERS_V6.0..=CARRIERS_V6.1).contains(&first) { CARRIERS_V6.1 + 1 } else { first };
    (begin <= last).then(|| (begin, (first.count_to(last) - carriers) / SITE))
}

/// Cells in the making.
struct Cells<'s, 'a> {
    space: &'s Space<'a>,
    /// By classes: where the cell stands in the list, and where each of its whereabouts stands in it.
    index: HashMap<Vec<u32>, Seat>,
    list: Vec<Cell>,
    /// The cell met last: neighbours in the address space are most often of one class.
    last: Option<(Vec<u32>, Seat)>,
}

/// Where a cell stands, and where each of its whereabouts does (none: not met yet).
struct Seat {
    cell: usize,
    places: Vec<u32>,
}

/// A whereabouts that a cell has not met yet.
const UNMET: u32 = u32::MAX;

impl Cells<'_, '_> {
    fn add(&mut self, place: u32, classes: &[u32], client: IpAddr, family: Family, amount: f64) {
        if self.last.as_ref().is_none_or(|(last, _)| last != classes) {
            self.change_to(classes, client);
        }
        let (_, seat) = self.last.as_mut().expect("changed to just now");
        let at = self.space.of_place[place as usize];
        let extents = &mut self.list[seat.cell].extents;
        let place = &mut seat.places[at as usize];
        if *place == UNMET {
            *place = extents.len() as u32;
            extents.push((at as usize, Extent::default()));
        }
        extents[*place as usize].1.add(family, amount);
    }

    /// Puts the last cell away and takes the one of these classes out.
    fn change_to(&mut self, classes: &[u32], client: IpAddr) {
        if let Some((last, seat)) = self.last.take() {
            self.index.insert(last, seat);
        }
        let seat = self.index.remove_entry(classes).unwrap_or_else(|| {
            self.list.push(Cell { client: Client::from_source(client), extents: Vec::new() });
            (classes.to_vec(), Seat { cell: self.list.len() - 1, places: vec![UNMET; self.space.whereabouts.len()] })
        });
        self.last = Some(seat);
    }
}

/// Addresses in one place and of one class in each table.
pub(super) struct Piece<A> {
    /// Its first address.
    pub(super) first: A,
    /// Its last address.
    pub(super) last: A,
    /// The place, as the atlas numbers it.
    pub(super) place: u32,
    /// The stretch it lies in: its neighbours in the same place, whatever their class.
    pub(super) stretch: (A, A),
}

/// Every piece between two addresses, in order, with its class in each table.
pub(super) fn walk<A: Address>(
    places: &Runs<A>,
    tables: &[&Runs<A>],
    bounds: (A, A),
    mut each: impl FnMut(Piece<A>, &[u32]),
) {
    let mut runs: Vec<_> = tables.iter().map(|table| table.runs().peekable()).collect();
    let mut classes = vec![0; tables.len()];
    for (first, last, place) in places.runs() {
        let stretch = (first.max(bounds.0), last.min(bounds.1));
        if stretch.0 > stretch.1 {
            continue;
        }
        let mut from = stretch.0;
        loop {
            let mut until = stretch.1;
            for (run, class) in runs.iter_mut().zip(&mut classes) {
                while run.next_if(|(_, last, _)| *last < from).is_some() {}
                let (_, last, value) = run.peek().expect("runs cover the whole space");
                *class = *value;
                until = until.min(*last);
            }
            each(Piece { first: from, last: until, place, stretch }, &classes);
            match until.next() {
                Some(next) if next <= stretch.1 => from = next,
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Network;

    fn atlas(networks: &[(&str, u8, &str)]) -> Atlas {
        let networks: Vec<Network> = networks
            .iter()
            .map(|(ip, prefix, geo)| Network {
                name: format!("{ip}/{prefix}"),
                cidr: vec![(ip.parse().unwrap(), *prefix)],
                geo: geo.parse().ok(),
                location: None,
            })
            .collect();
        Atlas::of_networks(&networks)
    }

    #[test]
    fn without_a_database_all_of_unicast_counts() {
        let atlas = atlas(&[("192.0.2.0", 24, "EU-DE"), ("10.0.0.0", 8, "")]);
        let space = Space::of(&atlas);
        assert_eq!(space.whole.v4, 223.0 * (1 << 24) as f64);
        assert_eq!(space.whole.v6, (1u64 << 45) as f64 - (1u64 << 32) as f64);
        let all = space.cells(&[]);
        let of = |at: Whereabouts| {
            let known = |(index, _): &&(usize, Extent)| space.whereabouts[*index] == at;
            all[0].extents.iter().find(known).map_or(0.0, |(_, extent)| extent.v4)
        };
        assert_eq!(of(Whereabouts::Country(*b"DE")), 256.0);
        assert_eq!(of(Whereabouts::Network(NetworkId(1))), (1 << 24) as f64);
    }

    #[test]
    fn cells_are_of_one_class_in_every_table_and_lose_nothing() {
        let atlas = atlas(&[("192.0.2.0", 24, "EU-DE"), ("198.51.100.0", 24, "NA-US")]);
        let space = Space::of(&atlas);
        let class = |first: u32, prefix, value| Runs::from_disjoint([crate::geo::runs::Block { first, prefix, value }]);
        let table = |v4| Classes { v4, v6: Runs::uniform(0) };
        let (a, b) = (table(class(0xc000_0200, 25, 1)), table(class(0xc000_0000, 8, 1)));
        let cells = space.cells(&[&a, &b]);
        assert_eq!(cells.len(), 3, "{cells:#?}");
        let sum: f64 = cells.iter().map(|cell| cell.extent(&space).v4).sum();
        assert_eq!(sum, space.whole.v4);
        let half = cells.iter().find(|cell| cell.client.address.to_string() == "192.0.2.0").unwrap();
        assert_eq!(half.extent(&space), Extent { v4: 128.0, v6: 0.0 });
    }
}
