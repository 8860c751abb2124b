//! How much of what they bear do regions and pools have in hand? What one process publishes and another reads.
//!
//! A region's load is that of all its pools together: requests at their endpoints and requests that wait, as a part of what
//! those of the endpoints bear that are up. Nothing here knows documents or counters; see `proxy::headroom` for where it is
//! made, and `prober::headroom` for where it is read.

use crate::health::shedding::Reading;
use crate::model::LoadOf;

/// What is in hand of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Regions with pools that requests are sent to.
    pub regions: Vec<Room>,
    /// Those pools.
    pub pools: Vec<Room>,
}

/// What is in hand of one region or pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Requests at endpoints.
    pub in_flight: u64,
    /// Requests that wait for an endpoint.
    pub queue: u64,
    /// The most that may be at endpoints at once.
    pub capacity: u64,
}

impl Room {
    /// What is in hand, as a part of the capacity; above 1 where requests wait. Who bears nothing is full.
    pub fn load(&self) -> f64 {
        match self.capacity {
            0 => 1.0,
            capacity => (self.in_flight as f64 + self.queue as f64) / capacity as f64,
        }
    }
}

impl Headroom {
    /// What is said of one of them.
    ///
    /// # Errors
    /// In words, when nothing is, or when it bears nothing: none of its endpoints is up, as before the first round of probes,
    /// and how loaded they are is not known. Whether it is up is for health checks to say.
    pub fn reading(&self, of: &LoadOf) -> Result<Reading, String> {
        let (rooms, name) = match of {
            LoadOf::Region(name) => (&self.regions, name),
            LoadOf::Pool(name) => (&self.pools, name),
        };
        let Some(room) = rooms.iter().find(|room| room.name == *name) else {
            return Err(format!("nothing is said of {of}"));
        };
        match room.capacity {
            0 => Err(format!("{of} bears nothing: none of its endpoints is up")),
            capacity => Ok(Reading { load: room.load(), capacity }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_count_and_who_bears_nothing_is_full() {
        let room = |in_flight, queue, capacity| Room { name: "eu".into(), in_flight, queue, capacity };
        assert_eq!(room(60, 0, 100).load(), 0.6);
        assert_eq!(room(100, 50, 100).load(), 1.5);
        assert_eq!((room(0, 0, 0).load(), room(u64::MAX, u64::MAX, 1).load().is_finite()), (1.0, true));
        let headroom = Headroom { regions: vec![room(60, 0, 100)], pools: Vec::new() };
        let read = headroom.reading(&LoadOf::Region("eu".into()));
        assert_eq!(read, Ok(Reading { load: 0.6, capacity: 100 }));
        assert!(headroom.reading(&LoadOf::Pool("eu".into())).is_err());
        let down = Headroom { regions: vec![room(3, 0, 0)], pools: Vec::new() };
        assert!(down.reading(&LoadOf::Region("eu".into())).unwrap_err().contains("bears nothing"));
    }
}
