//! Pools whose load is read: how loaded they are, and what part of their clients is sent elsewhere ([`crate::health::shedding`]).

use crate::health::shedding::WHOLE;
use crate::health::table::HealthTable;
use crate::model::PoolId;

/// What is known of the load of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolLoad {
    /// In per cent of the capacity; none when it is not known.
    pub percent: Option<u16>,
    /// The part of its clients that is sent elsewhere, of [`WHOLE`].
    pub sheds: u16,
}

impl PoolLoad {
    /// The part of its clients that is sent elsewhere.
    pub fn share(self) -> f64 {
        f64::from(self.sheds) / f64::from(WHOLE)
    }
}

impl HealthTable {
    /// Whether any pool sends clients elsewhere for its load.
    #[inline]
    pub fn any_sheds(&self) -> bool {
        self.sheds
    }

    /// The load of a pool; none where it is not read.
    #[inline]
    pub fn load(&self, id: PoolId) -> Option<PoolLoad> {
        let at = self.loads.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.loads[at].1)
    }

    /// Every pool whose load is read, in ascending order.
    pub fn loads(&self) -> &[(PoolId, PoolLoad)] {
        &self.loads
    }

    /// The load of a pool is this from now on.
    pub fn set_load(&mut self, id: PoolId, load: PoolLoad) {
        match self.loads.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.loads[at].1 = load,
            Err(at) => self.loads.insert(at, (id, load)),
        }
        self.sheds = self.loads.iter().any(|(_, load)| load.sheds > 0);
    }
}
