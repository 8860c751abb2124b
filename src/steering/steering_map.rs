//! Which class of clients an address belongs to, for one way of steering.
//!
//! VIPs that cut the world in the same way share one map, whatever their pools: what identifies a map is the conditions
//! that distinguish places and which of them lead to the same choice. So a hundred thousand VIPs with the same rules have
//! one table.

use std::collections::HashMap;

use crate::geo::atlas::Atlas;
use crate::geo::latency::LatencyTable;
use crate::geo::place::NOWHERE;
use crate::geo::place::Place;
use crate::geo::runs::Address;
use crate::geo::runs::Runs;
use crate::geo::table::CLASSES_MAX;
use crate::geo::table::PrefixTable;
use crate::model::GeoCode;
use crate::model::Location;
use crate::model::Member;
use crate::model::Model;
use crate::model::NetworkId;
use crate::model::Policy;
use crate::model::RegionId;
use crate::model::Rule;
use crate::model::Vip;
use crate::steering::detour;
use crate::steering::rank;
use crate::steering::rank::Ranking;

/// What a class of clients chooses: the first rule of a choice, or an order of members.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    /// The rule of that index, or one that leads to the same; none matched when absent.
    Rule(Option<u16>),
    /// Members in this order.
    Order(Vec<u16>),
    /// All clients alike.
    Everyone,
}

/// The two tables of a way of steering, and what its classes mean.
#[derive(Debug)]
pub(super) struct SteeringMap {
    pub(super) v4: PrefixTable,
    pub(super) v6: PrefixTable,
    /// By class.
    pub(super) choices: Vec<Choice>,
    /// By class, in steps; told apart only for VIPs of which a pool sheds for its load.
    pub(super) detours: Vec<u8>,
    /// How many IPv4 addresses are in each class; counted for the same VIPs.
    pub(super) addresses: Vec<f64>,
}

/// What makes two VIPs share a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Likeness {
    /// Conditions in order, and the first rule with the same members.
    Rules(Vec<Conditions>),
    /// Coordinates by their bits, bias, whether without weight.
    Distances(Vec<(Point, i8, bool)>),
    /// Regions, whether without weight.
    Latencies(Vec<(RegionId, bool)>),
    Everyone,
    /// And detours count, which go by where these pools are.
    Detours(Box<Likeness>, Vec<[Point; 2]>),
}

/// What a rule asks, and the first rule with the same members.
type Conditions = (Vec<NetworkId>, Vec<GeoCode>, Vec<u32>, u16);
/// Coordinates by their bits.
type Point = Option<(u64, u64)>;

/// Every map once.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    model: &'a Model,
    atlas: &'a Atlas,
    latency: &'a LatencyTable,
    index: HashMap<Likeness, u32>,
    pub(super) maps: Vec<SteeringMap>,
}

impl<'a> Maps<'a> {
    pub(super) fn new(model: &'a Model, atlas: &'a Atlas, latency: &'a LatencyTable) -> Self {
        Maps { model, atlas, latency, index: HashMap::new(), maps: Vec::new() }
    }

    /// The index of a VIP's map, built if it is the first with it.
    pub(super) fn map_of(&mut self, vip: &Vip) -> u32 {
        let likeness = self.likeness(vip);
        if let Some(known) = self.index.get(&likeness) {
            return *known;
        }
        let map = self.build(vip);
        self.maps.push(map);
        let id = (self.maps.len() - 1) as u32;
        self.index.insert(likeness, id);
        id
    }

    fn likeness(&self, vip: &Vip) -> Likeness {
        let likeness = self.likeness_without_detours(vip);
        if likeness == Likeness::Everyone || !detour::matters(self.model, vip) {
            return likeness;
        }
        let point = |at: Option<Location>| at.map(|at| (at.lat.to_bits(), at.lon.to_bits()));
        let hops = match &vip.policy {
            Policy::Geolocation(rules) => rules
                .iter()
                .map(|rule| rank::of_rule(self.model, vip, Some(rule)))
                .map(|ranking| Detours::ends(self.model, &ranking).map(point))
                .collect(),
            // Where one member is all there is, the next pool is its fallback.
            Policy::Geoproximity(members) | Policy::Latency(members) if members.len() == 1 => {
                vec![Detours::ends(self.model, &rank::of_order(self.model, vip, members, &[0])).map(point)]
            }
            _ => Vec::new(),
        };
        Likeness::Detours(Box::new(likeness), hops)
    }

    fn likeness_without_detours(&self, vip: &Vip) -> Likeness {
        let region = |member: &Member| self.model.pool(member.pool).region;
        match &vip.policy {
            Policy::Geolocation(rules) => Likeness::Rules(
                (0..rules.len())
                    .map(|at| {
                        let rule = &rules[at];
                        (rule.networks.clone(), rule.geos.clone(), rule.asns.clone(), first_alike(rules, at))
                    })
                    .collect(),
            ),
            Policy::Geoproximity(members) => Likeness::Distances(
                members
                    .iter()
                    .map(|m| {
                        let location = self.model.region(region(m)).location;
                        (location.map(|l| (l.lat.to_bits(), l.lon.to_bits())), m.bias, m.weight == 0)
                    })
                    .collect(),
            ),
            Policy::Latency(members) => {
                Likeness::Latencies(members.iter().map(|m| (region(m), m.weight == 0)).collect())
            }
            Policy::Weighted(_) | Policy::Hash(_) | Policy::Failover(_) => Likeness::Everyone,
        }
    }

    fn build(&self, vip: &Vip) -> SteeringMap {
        let mut classes = Classes::default();
        let mut detours = detour::matters(self.model, vip).then(|| Detours { maps: self, vip, ends: HashMap::new() });
        let mut class = |choice: Choice, place: &Place, row: u32| {
            let detour = detours.as_mut().map_or(detour::UNKNOWN, |detours| detours.of(&choice, place, row));
            classes.of(choice, detour)
        };
        let places = self.atlas.places();
        let (v4, v6) = match &vip.policy {
            Policy::Geolocation(rules) => {
                let of_place = |place: &Place| class(rule_choice(rules, place), place, 0);
                self.mapped(&places.iter().map(of_place).collect::<Vec<u32>>())
            }
            Policy::Geoproximity(members) => {
                let order = |place: &Place| Choice::Order(rank::by_distance(self.model, members, place.point()));
                let of_place = |place: &Place| class(order(place), place, 0);
                self.mapped(&places.iter().map(of_place).collect::<Vec<u32>>())
            }
            Policy::Latency(members) => self.by_latency(members, &mut class),
            Policy::Weighted(_) | Policy::Hash(_) | Policy::Failover(_) => {
                class(Choice::Everyone, &Place::default(), 0);
                (Runs::uniform(0), Runs::uniform(0))
            }
        };
        let addresses = if detours.is_some() { addresses(&v4, classes.choices.len()) } else { Vec::new() };
        let (v4, v6) = (PrefixTable::build(&v4), PrefixTable::build(&v6));
        SteeringMap { v4, v6, choices: classes.choices, detours: classes.detours, addresses }
    }

    fn mapped(&self, of_place: &[u32]) -> (Runs<u32>, Runs<u128>) {
        (self.atlas.v4().map(|id| of_place[id as usize]), self.atlas.v6().map(|id| of_place[id as usize]))
    }

    fn by_latency(
        &self,
        members: &[Member],
        class: &mut impl FnMut(Choice, &Place, u32) -> u32,
    ) -> (Runs<u32>, Runs<u128>) {
        let mut known = HashMap::new();
        let mut class = |place: u32, row: u32| {
            *known.entry((place, row)).or_insert_with(|| {
                let place = self.atlas.places().place(place);
                let order = rank::by_latency(self.model, members, self.latency, row, place);
                class(Choice::Order(order), place, row)
            })
        };
        class(NOWHERE, 0);
        let v4 = self.atlas.v4().merge(self.latency.v4(), &mut class);
        let v6 = self.atlas.v6().merge(self.latency.v6(), &mut class);
        (v4, v6)
    }
}

/// How many addresses are in each of so many classes.
fn addresses(runs: &Runs<u32>, classes: usize) -> Vec<f64> {
    let mut counts = vec![0.0; classes];
    runs.runs().for_each(|(first, last, class)| counts[class as usize] += first.count_to(last));
    counts
}

/// How much farther clients have to their next pool.
struct Detours<'a> {
    maps: &'a Maps<'a>,
    vip: &'a Vip,
    /// The regions of the first pool of a choice and of the next.
    ends: HashMap<Choice, Option<[RegionId; 2]>>,
}

impl Detours<'_> {
    fn of(&mut self, choice: &Choice, place: &Place, row: u32) -> u8 {
        let Maps { model, latency, .. } = self.maps;
        let ends = self.ends.entry(choice.clone()).or_insert_with(|| {
            let ranking = ranking_of_choice(model, self.vip, choice);
            let (first, next) = detour::hop(&ranking)?;
            Some([first, next].map(|pool| model.pool(pool).region))
        });
        let Some([first, next]) = *ends else { return detour::UNKNOWN };
        let figure = |region| latency.figure(row, place, region);
        match (&self.vip.policy, figure(first), figure(next)) {
            (Policy::Latency(_), first @ Some(_), next @ Some(_)) => detour::detour_in_time(first, next),
            _ => detour::detour(place.point(), model.region(first).location, model.region(next).location),
        }
    }

    /// Where the first pool of a ranking is, and the next.
    fn ends(model: &Model, ranking: &Ranking) -> [Option<Location>; 2] {
        let at = |pool| model.region(model.pool(pool).region).location;
        detour::hop(ranking).map_or([None, None], |(first, next)| [at(first), at(next)])
    }
}

/// The ranking that a choice means for a VIP.
pub(super) fn ranking_of_choice(model: &Model, vip: &Vip, choice: &Choice) -> Ranking {
    match (choice, &vip.policy) {
        (Choice::Rule(rule), Policy::Geolocation(rules)) => {
            rank::of_rule(model, vip, rule.map(|at| &rules[usize::from(at)]))
        }
        (Choice::Order(order), Policy::Geoproximity(members) | Policy::Latency(members)) => {
            rank::of_order(model, vip, members, order)
        }
        // The rest do not look at the place.
        _ => rank::ranking_of(model, vip, &LatencyTable::default(), 0, &Place::default()),
    }
}

/// Choices by class, in the order in which places need them; the first belongs to clients of whom nothing is known.
#[derive(Debug, Default)]
struct Classes {
    choices: Vec<Choice>,
    detours: Vec<u8>,
    index: HashMap<(Choice, u8), u32>,
}

impl Classes {
    /// The class of a choice and a detour. Should a table run out of classes (there are eight million), the rest are steered like
    /// clients of whom nothing is known.
    fn of(&mut self, choice: Choice, detour: u8) -> u32 {
        let of = (choice, detour);
        if let Some(class) = self.index.get(&of) {
            return *class;
        }
        let class = self.choices.len() as u32;
        if class >= CLASSES_MAX {
            return 0;
        }
        self.choices.push(of.0.clone());
        self.detours.push(detour);
        self.index.insert(of, class);
        class
    }
}

fn rule_choice(rules: &[Rule], place: &Place) -> Choice {
    Choice::Rule(rank::first_match(rules, place).map(|at| first_alike(rules, at)))
}

/// The first rule that leads to the same choice as this one.
fn first_alike(rules: &[Rule], at: usize) -> u16 {
    let alike = |rule: &Rule| rule.members == rules[at].members && rule.geofence == rules[at].geofence;
    rules.iter().position(alike).unwrap_or(at) as u16
}
