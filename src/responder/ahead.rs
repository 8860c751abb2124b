//! Has the memory that a batch of queries will need on its way before the first of them is answered.
//!
//! In a large zone a lookup waits for memory twice: for the index's slot, then for the node. One after the other that is
//! most of the time an answer takes. Loads that do not depend on each other overlap, so a worker that holds a batch asks
//! for the slots of all its queries first, then for all nodes, and finds them in the cache when it answers. Nothing is
//! decided here and nothing is kept: a query that is left out or misread is answered the same, only later. The prefix
//! tables that place a client are read ahead in the same way.

use std::net::IpAddr;

use crate::dns::code::rtype;
use crate::dns::edns::Subnet;
use crate::dns::edns::option;
use crate::dns::name_buf::NameBuf;
use crate::dns::name_buf::hash;
use crate::dns::query::HEADER_BYTES;
use crate::steering::Client;
use crate::world::World;
use crate::zone::tree::Zone;
use crate::zone::zones::Zones;

/// Queries looked at in one go: as many as the UDP workers' batches have. What they bring, 12 KiB, leaves room in a cache of 32 KiB.
pub const AHEAD_MAX: usize = 64;

/// Type and class after a question's name.
const QUESTION_FIXED_BYTES: usize = 4;
/// The OPT record before its options: root, type, class, TTL, length.
const OPT_HEAD_BYTES: usize = 11;
/// Resolvers send the Client Subnet among the first few options.
const OPTIONS_AHEAD_MAX: usize = 4;

/// Fewer queries than this have too little to overlap.
pub const AHEAD_MIN: usize = 4;

/// What one query will need.
#[derive(Clone, Copy)]
struct Sought<'w> {
    /// The large zone it will look in, and the hash of the name.
    name: Option<(&'w Zone, u64)>,
    /// The client it will look for in the prefix tables.
    client: Option<IpAddr>,
}

/// Has what these queries will need brought into the cache; those past [`AHEAD_MAX`] are left out.
pub fn read_ahead<'q>(world: &World, queries: impl Iterator<Item = &'q [u8]>) {
    let (zones, plan) = (&world.snapshot.zones, &world.snapshot.plan);
    let (large, placed) = (zones.any_large(), plan.reads_ahead());
    if !large && !placed {
        return;
    }
    let mut sought = [Sought { name: None, client: None }; AHEAD_MAX];
    let mut name = NameBuf::default();
    let mut last: Option<&Zone> = None;
    for (query, sought) in queries.zip(&mut sought) {
        if large {
            sought.name = name_sought(zones, query, &mut name, &mut last);
        }
        if placed {
            sought.client = client(query);
        }
        if let Some((zone, hash)) = sought.name {
            zone.prefetch_slot(hash);
        }
        if let Some(client) = sought.client {
            plan.prefetch_first(client);
        }
    }
    for sought in &sought {
        if let Some((zone, hash)) = sought.name {
            zone.prefetch_node(hash);
        }
        if let Some(client) = sought.client {
            plan.prefetch_second(client);
        }
    }
}

/// The large zone that a query's name is in, most often that of the query before; where a zone below it holds the name,
/// this reads ahead in vain.
fn name_sought<'w>(
    zones: &'w Zones,
    query: &[u8],
    name: &mut NameBuf,
    last: &mut Option<&'w Zone>,
) -> Option<(&'w Zone, u64)> {
    name.read(query, HEADER_BYTES).ok()?;
    let again = last.filter(|zone| name.suffix(zone.apex_labels()) == zone.apex().wire());
    *last = again.or_else(|| zones.holding(name).map(|(_, zone)| zone));
    last.filter(|zone| zone.is_large()).map(|zone| (zone, hash(name.wire())))
}

/// The client that a query names, where the query has the usual form: a question and an OPT record, nothing between.
fn client(query: &[u8]) -> Option<IpAddr> {
    let mut at = HEADER_BYTES;
    loop {
        match *query.get(at)? {
            0 => break,
            length => at += 1 + usize::from(length),
        }
    }
    let record = query.get(at + 1 + QUESTION_FIXED_BYTES..)?;
    if record.get(..3)? != [0, 0, rtype::OPT as u8] {
        return None;
    }
    let mut options = record.get(OPT_HEAD_BYTES..)?;
    for _ in 0..OPTIONS_AHEAD_MAX {
        let (head, rest) = options.split_first_chunk::<4>()?;
        let (data, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        if u16::from_be_bytes([head[0], head[1]]) == option::CLIENT_SUBNET {
            let subnet = Subnet::read(data).ok()?;
            return Some(Client::from_subnet(subnet.address, subnet.prefix).address);
        }
        options = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A query for `a.` with an OPT record of these options.
    fn query(options: &[u8]) -> Vec<u8> {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0];
        query.extend((options.len() as u16).to_be_bytes());
        query.extend(options);
        query
    }

    #[test]
    fn the_client_is_found_where_resolvers_put_it() {
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        assert_eq!(client(&query(&subnet)), Some([192, 0, 2, 0].into()));
        let after_a_cookie = [&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8][..], &subnet].concat();
        assert_eq!(client(&query(&after_a_cookie)), Some([192, 0, 2, 0].into()));
        assert_eq!(client(&query(&[])), None);
        assert_eq!(client(&query(&[])[..19]), None, "no OPT record");
        assert_eq!(client(&query(&subnet[..9])), None, "cut off");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), options in prop::collection::vec(any::<u8>(), 0..40)) {
            client(&bytes);
            client(&query(&options));
        }
    }
}
