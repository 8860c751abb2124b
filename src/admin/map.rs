//! Where does a VIP send each country now? By the same `decide` that answers queries ([`steering::shares`]), once for each
//! place that the databases tell apart; a country's places count by their IPv4 addresses. Nothing here decides.
//!
//! [`steering::shares`]: crate::steering::shares()

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::admin::dto::CountrySaid;
use crate::admin::dto::DestinationSaid;
use crate::admin::dto::MapSaid;
use crate::geo::place::NOWHERE;
use crate::geo::place::Place;
use crate::geo::runs::Address;
use crate::model::Family;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::VipId;
use crate::steering;
use crate::steering::Client;
use crate::world::World;

/// Addresses by the pool they are sent to.
type Parts = HashMap<PoolId, f64>;

/// The map of one VIP.
pub(super) fn map(world: &World, vip: VipId, family: Family) -> MapSaid {
    let walk = Walk { world, vip, family };
    let model = &world.snapshot.model;
    let by_place = match model.vip(vip).policy {
        // Latencies are told of networks, which places do not know.
        Policy::Latency(_) => walk.by_network(),
        _ => walk.by_place(),
    };
    let mut countries: BTreeMap<([u8; 2], [u8; 2]), Parts> = BTreeMap::new();
    let mut elsewhere = Parts::new();
    for (place, parts) in by_place {
        let known = |place: &Place| Some((place.country?, place.code()?.continent));
        let sum = match known(world.snapshot.atlas.places().place(place)) {
            Some(country) => countries.entry(country).or_default(),
            None if place == NOWHERE => &mut elsewhere,
            None => continue,
        };
        parts.into_iter().for_each(|(pool, part)| *sum.entry(pool).or_default() += part);
    }
    let text = |code: [u8; 2]| String::from_utf8_lossy(&code).into_owned();
    MapSaid {
        generation: world.generation,
        vip: model.vip(vip).name.clone(),
        rtype: if family == Family::V4 { "A" } else { "AAAA" }.to_owned(),
        countries: countries
            .into_iter()
            .map(|((country, continent), parts)| CountrySaid {
                country: text(country),
                continent: text(continent),
                to: said(world, &parts),
            })
            .collect(),
        elsewhere: said(world, &elsewhere),
    }
}

fn said(world: &World, parts: &Parts) -> Vec<DestinationSaid> {
    let model = &world.snapshot.model;
    let all: f64 = parts.values().sum();
    let mut to: Vec<DestinationSaid> = parts
        .iter()
        .map(|(pool, part)| DestinationSaid {
            region: model.region(model.pool(*pool).region).name.clone(),
            pool: model.pool(*pool).name.clone(),
            share: (part / all * 1e4).round() / 1e4,
        })
        .collect();
    to.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.pool.cmp(&b.pool)));
    to
}

/// One VIP, asked for every place.
struct Walk<'a> {
    world: &'a World,
    vip: VipId,
    family: Family,
}

impl Walk<'_> {
    /// Every place once, with what its clients get.
    fn by_place(&self) -> Vec<(u32, Parts)> {
        let atlas = &self.world.snapshot.atlas;
        // A place that only IPv6 has counts a little.
        let mut addresses = vec![1.0; atlas.places().count()];
        atlas.v4().runs().for_each(|(first, last, place)| addresses[place as usize] += f64::from(last - first) + 1.0);
        let all = atlas.places().iter().enumerate();
        all.map(|(place, at)| {
            let (plan, health) = (&self.world.snapshot.plan, &self.world.health);
            let shares = steering::shares_at(plan, health, self.vip, self.family, at);
            (place as u32, shares.parts().map(|(pool, share)| (pool, share * addresses[place])).collect())
        })
        .collect()
    }

    /// Every IPv4 network of one place, by the client that is its first address.
    fn by_network(&self) -> Vec<(u32, Parts)> {
        let mut by_place: HashMap<u32, Parts> = HashMap::new();
        for (first, last, place) in self.world.snapshot.atlas.v4().runs() {
            let client = Client::from_subnet(first.ip(), 32);
            let (plan, health) = (&self.world.snapshot.plan, &self.world.health);
            let parts = by_place.entry(place).or_default();
            for (pool, share) in steering::shares(plan, health, self.vip, self.family, &client).parts() {
                *parts.entry(pool).or_default() += share * (f64::from(last - first) + 1.0);
            }
        }
        by_place.into_iter().collect()
    }
}
