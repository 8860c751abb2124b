//! The published [`World`]: one pointer that the keeper swaps and everybody else loads.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::world::World;

/// Where the current world is found. Only the keeper publishes.
#[derive(Debug)]
pub struct Published(ArcSwap<World>);

impl Published {
    /// The first world.
    pub fn new(world: World) -> Arc<Self> {
        Arc::new(Published(ArcSwap::from_pointee(world)))
    }

    /// The world of this moment, to keep as long as one query, request or batch of them takes.
    pub fn load(&self) -> Arc<World> {
        self.0.load_full()
    }

    /// A reader for a thread that loads often: as long as nothing was published, a load is one comparison and touches
    /// no shared counter.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader(Cache::new(Pointer(self.clone())))
    }

    /// Makes `world` the one that every later load sees.
    pub(in crate::runtime) fn publish(&self, world: World) {
        self.0.store(Arc::new(world));
    }
}

/// Lets the cache own a share of the pointer it looks through.
#[derive(Debug, Clone)]
struct Pointer(Arc<Published>);

impl std::ops::Deref for Pointer {
    type Target = ArcSwap<World>;
    fn deref(&self) -> &ArcSwap<World> {
        &self.0.0
    }
}

/// One thread's way to the world. It keeps the last world it saw alive until it looks again.
#[derive(Debug, Clone)]
pub struct Reader(Cache<Pointer, Arc<World>>);

impl Reader {
    /// The world of this moment; a UDP worker looks once for each batch.
    pub fn world(&mut self) -> &Arc<World> {
        self.0.load()
    }
}
