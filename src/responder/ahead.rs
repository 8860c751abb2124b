//! Has the memory that a batch of queries will need on its way before the first of them is answered.
//!
//! In a large zone a lookup waits for memory twice: for the index's slot, then for the node. One after the other that is
//! most of the time an answer takes. Loads that do not depend on each other overlap, so a worker that holds a batch asks
//! for the slots of all its queries first, then for all nodes, and finds them in the cache when it answers. Nothing is
//! decided here and nothing is kept: a query that is left out or misread is answered the same, only later.

use crate::dns::name_buf::NameBuf;
use crate::dns::name_buf::hash;
use crate::dns::query::HEADER_BYTES;
use crate::world::World;
use crate::zone::tree::Zone;

/// Queries looked at in one go: as many as the UDP workers' batches have. What they bring, 12 KiB, leaves room in a cache of 32 KiB.
pub const AHEAD_MAX: usize = 64;

/// Fewer queries than this have too little to overlap.
pub const AHEAD_MIN: usize = 4;

/// Has what these queries will need brought into the cache; those past [`AHEAD_MAX`] are left out.
pub fn read_ahead<'q>(world: &World, queries: impl Iterator<Item = &'q [u8]>) {
    let zones = &world.snapshot.zones;
    if !zones.any_large() {
        return;
    }
    let mut sought: [Option<(&Zone, u64)>; AHEAD_MAX] = [None; AHEAD_MAX];
    let mut count = 0;
    let mut name = NameBuf::default();
    let mut last: Option<&Zone> = None;
    for query in queries.take(AHEAD_MAX) {
        if name.read(query, HEADER_BYTES).is_err() {
            continue;
        }
        // Most often the zone of the query before; where a zone below it holds the name, this reads ahead in vain.
        let again = last.filter(|zone| name.suffix(zone.apex_labels()) == zone.apex().wire());
        last = again.or_else(|| zones.holding(&name).map(|(_, zone)| zone));
        if let Some(zone) = last.filter(|zone| zone.is_large()) {
            let hash = hash(name.wire());
            zone.prefetch_slot(hash);
            sought[count] = Some((zone, hash));
            count += 1;
        }
    }
    for (zone, hash) in sought[..count].iter().flatten() {
        zone.prefetch_node(*hash);
    }
}
