//! What this process's listeners have in hand, by pool and region, beside what those bear: the document that a DNS tier reads.
//!
//! A pool bears what its endpoints do that are up (`max_requests` of each; `max_connections` where connections are forwarded
//! as they are). A region bears what its pools do together, but no more than its listeners take, unless it says itself
//! (`max_requests` of `[region.*]`).

use std::collections::BTreeSet;

use crate::health::headroom::Headroom;
use crate::health::headroom::Room;
use crate::health::names::member_names;
use crate::model::Limits;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::model::RegionId;
use crate::proxy::counts::ProxyTotals;
use crate::world::World;

/// The headroom of a world, by what was counted of it.
pub fn headroom(world: &World, totals: &ProxyTotals) -> Headroom {
    let model = &world.snapshot.model;
    let forwarded = forwarded(model);
    let mut headroom = Headroom::default();
    let mut regions: Vec<Option<Room>> = vec![None; model.regions.len()];
    for (at, pool) in model.pools.iter().enumerate() {
        let Some(sums) = totals.pools.get(&pool.name) else { continue };
        let id = PoolId::from(at);
        // Where nobody bounds flows, the usual bound of a listener stands for what an endpoint bears.
        let flows_max = pool.upstream.flows_max.min(Limits::default().connections_max);
        let each = if forwarded.contains(&id) { flows_max } else { pool.upstream.requests_max };
        let mut room = Room { name: pool.name.clone(), queue: sums.queue.now, ..Room::default() };
        for (endpoint, name) in member_names(model, id) {
            let name = (pool.name.clone(), name.to_string());
            room.in_flight += totals.endpoints.get(&name).map_or(0, |sums| sums.requests.now);
            let serves = world.health.endpoint(endpoint).usable;
            room.capacity += if serves { u64::from(each) } else { 0 };
        }
        let region = regions[pool.region.index()]
            .get_or_insert_with(|| Room { name: model.region(pool.region).name.clone(), ..Room::default() });
        region.in_flight += room.in_flight;
        region.queue += room.queue;
        region.capacity += room.capacity;
        headroom.pools.push(room);
    }
    let bounded = |(at, room): (usize, Option<Room>)| {
        let room = room?;
        Some(Room { capacity: bears(model, RegionId::from(at), room.capacity), ..room })
    };
    headroom.regions = regions.into_iter().enumerate().filter_map(bounded).collect();
    headroom
}

/// What a region bears whose pools bear so much.
fn bears(model: &Model, region: RegionId, pools: u64) -> u64 {
    if let Some(said) = model.region(region).requests_max {
        return said;
    }
    let here = model.listeners.iter().filter(|listener| listener.region == region);
    let taken = here.map(|listener| match listener.protocol {
        Protocol::Http(_) => u64::from(listener.limits.requests_max),
        _ => u64::from(listener.limits.connections_max),
    });
    taken.reduce(|a, b| a + b).map_or(pools, |taken| taken.min(pools))
}

/// Pools whose connections are forwarded as they are.
fn forwarded(model: &Model) -> BTreeSet<PoolId> {
    model.listeners.iter().flat_map(Listener::flow_pools).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::geo::atlas::Atlas;
    use crate::geo::latency::LatencyTable;
    use crate::health::table::HealthTable;
    use crate::model::EndpointId;
    use crate::proxy::counts::ProxyCounts;
    use crate::proxy::counts::samples;
    use crate::snapshot::Snapshot;

    fn world(change: impl FnOnce(&mut Model), down: &[EndpointId]) -> World {
        let mut model = samples::model(&["edge"]);
        change(&mut model);
        let model = Arc::new(model);
        let health = HealthTable::all_up(&model).with_down(&model, down, &[]);
        let atlas = Arc::new(Atlas::of_networks(&[]));
        let (snapshot, _) = Snapshot::compile(model, Vec::new(), atlas, &LatencyTable::default()).unwrap();
        World { snapshot: Arc::new(snapshot), health, generation: 1 }
    }

    /// Seven requests at `eu`'s endpoint, and two that wait for it.
    fn counts() -> ProxyCounts {
        let counts = ProxyCounts::default();
        for worker in 0..2 {
            let endpoint = counts.endpoint(worker, "eu", "192.0.2.10");
            (0..3 + worker).for_each(|_| endpoint.request_begun());
            counts.pool(worker, "eu").queued();
        }
        counts
    }

    #[test]
    fn a_region_has_in_hand_what_its_pools_have() {
        let (world, counts) = (world(|_| {}, &[]), counts());
        let found = headroom(&world, &counts.totals(&world.snapshot.model));
        let room = |name: &str, in_flight, queue, capacity| Room { name: name.into(), in_flight, queue, capacity };
        assert_eq!(found.pools, [room("eu", 7, 2, 1024), room("us", 0, 0, 1024)], "us stands in for eu");
        assert_eq!(found.regions, [room("here", 7, 2, 2048)]);
    }

    #[test]
    fn endpoints_that_are_down_bear_nothing_and_listeners_take_no_more_than_they_say() {
        let counts = counts();
        let capacity = |world: &World| headroom(world, &counts.totals(&world.snapshot.model)).regions[0].capacity;
        assert_eq!(capacity(&world(|_| {}, &[EndpointId(1)])), 1024);
        assert_eq!(capacity(&world(|model| model.listeners[0].limits.requests_max = 100, &[])), 100);
        assert_eq!(capacity(&world(|model| model.regions[0].requests_max = Some(9_000), &[])), 9_000);
    }
}
