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
use crate::model::Member;
use crate::model::Model;
use crate::model::NetworkId;
use crate::model::Policy;
use crate::model::RegionId;
use crate::model::Rule;
use crate::model::Vip;
use crate::steering::rank;

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
        let places = self.atlas.places();
        match &vip.policy {
            Policy::Geolocation(rules) => {
                let of_place: Vec<u32> = places.iter().map(|place| classes.of(rule_choice(rules, place))).collect();
                self.mapped(&of_place, classes)
            }
            Policy::Geoproximity(members) => {
                let order = |place: &Place| Choice::Order(rank::by_distance(self.model, members, place.point()));
                let of_place: Vec<u32> = places.iter().map(|place| classes.of(order(place))).collect();
                self.mapped(&of_place, classes)
            }
            Policy::Latency(members) => self.by_latency(members, classes),
            Policy::Weighted(_) | Policy::Hash(_) | Policy::Failover(_) => SteeringMap {
                v4: PrefixTable::build(&Runs::<u32>::uniform(0)),
                v6: PrefixTable::build(&Runs::<u128>::uniform(0)),
                choices: vec![Choice::Everyone],
            },
        }
    }

    fn mapped(&self, of_place: &[u32], classes: Classes) -> SteeringMap {
        SteeringMap {
            v4: PrefixTable::build(&self.atlas.v4().map(|id| of_place[id as usize])),
            v6: PrefixTable::build(&self.atlas.v6().map(|id| of_place[id as usize])),
            choices: classes.choices,
        }
    }

    fn by_latency(&self, members: &[Member], mut classes: Classes) -> SteeringMap {
        let mut known = HashMap::new();
        let mut class = |place: u32, row: u32| {
            *known.entry((place, row)).or_insert_with(|| {
                let place = self.atlas.places().place(place);
                classes.of(Choice::Order(rank::by_latency(self.model, members, self.latency, row, place)))
            })
        };
        class(NOWHERE, 0);
        let v4 = table(self.atlas.v4(), self.latency.v4(), &mut class);
        let v6 = table(self.atlas.v6(), self.latency.v6(), &mut class);
        SteeringMap { v4, v6, choices: classes.choices }
    }
}

fn table<A: Address>(places: &Runs<A>, rows: &Runs<A>, class: &mut impl FnMut(u32, u32) -> u32) -> PrefixTable {
    PrefixTable::build(&places.merge(rows, class))
}

/// Choices by class, in the order in which places need them; the first belongs to clients of whom nothing is known.
#[derive(Debug, Default)]
struct Classes {
    choices: Vec<Choice>,
    index: HashMap<Choice, u32>,
}

impl Classes {
    /// The class of a choice. Should a table run out of classes (there are eight million), the rest are steered like
    /// clients of whom nothing is known.
    fn of(&mut self, choice: Choice) -> u32 {
        if let Some(class) = self.index.get(&choice) {
            return *class;
        }
        let class = self.choices.len() as u32;
        if class >= CLASSES_MAX {
            return 0;
        }
        self.choices.push(choice.clone());
        self.index.insert(choice, class);
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
