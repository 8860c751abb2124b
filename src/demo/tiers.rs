//! What the server believes of the regions' tiers, from the world that answers queries.

use crate::demo::layout::DemoRegion;
use crate::demo::layout::Pools;
use crate::demo::layout::ZONES;
use crate::model::EndpointId;
use crate::model::PoolId;
use crate::world::World;

/// How a region is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Up,
    /// Its edge is believed down.
    Down,
    /// An operator took it out.
    Drained,
}

impl State {
    /// In a word.
    pub fn words(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
            State::Drained => "drained",
        }
    }
}

/// So many are up of so many.
pub type Count = (usize, usize);

/// A region at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// As DNS sees it.
    pub state: State,
    /// Edges.
    pub edges: Count,
    /// Listeners at L4.
    pub zones: Count,
    /// Applications.
    pub apps: Count,
}

/// A tier that looks at the one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who looks, and at what: `L4 l4-eu-west-a: applications`.
    pub what: String,
    /// Whether any of those is up.
    pub is_up: bool,
}

/// A region's pools in the served configuration. People may edit the demo's file while it runs: what is not there any more is
/// not counted.
pub fn of(world: &World, region: &DemoRegion) -> Tiers {
    let Pools { edge, own, apps, .. } = region.pools();
    let health = find(world, &edge).map(|id| world.health.pool(id));
    let state = match health {
        Some(health) if health.withdrawn => State::Drained,
        Some(health) if health.usable => State::Up,
        _ => State::Down,
    };
    let [a, b] = apps.map(|pool| count(world, &pool));
    Tiers { state, edges: count(world, &edge), zones: count(world, &own), apps: (a.0 + b.0, a.1 + b.1) }
}

/// What each tier of a region sees, inside out: as evidence climbs.
pub fn sights(world: &World, region: &DemoRegion) -> Vec<Sight> {
    let Pools { own, apps, .. } = region.pools();
    let flows = ZONES.iter().map(|zone| format!("L4 {}: applications", region.flow_name(*zone)));
    let all = apps.into_iter().zip(flows).chain([(own, format!("L7 edge-{}: zones", region.name))]);
    // By its endpoints, since a pool that is drained is taken out, and not down.
    all.map(|(pool, what)| Sight { is_up: count(world, &pool).0 > 0, what }).collect()
}

/// Whether everything is up: so begins a demo.
pub fn all_up(world: &World) -> bool {
    (0..world.snapshot.model.endpoints.len()).all(|at| world.health.endpoint(EndpointId::from(at)).usable)
}

fn find(world: &World, pool: &str) -> Option<PoolId> {
    world.snapshot.model.pools.iter().position(|found| found.name == pool).map(PoolId::from)
}

fn count(world: &World, pool: &str) -> Count {
    let Some(id) = find(world, pool) else { return (0, 0) };
    let endpoints = world.snapshot.model.pool(id).endpoints.clone();
    let up = endpoints.clone().filter(|at| world.health.endpoint(EndpointId(*at)).usable).count();
    (up, endpoints.len())
}
