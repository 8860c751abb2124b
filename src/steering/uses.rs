//! Which pools can a VIP be answered from? Each pair of a VIP and a pool it may use has a number, without gaps.
//!
//! Whoever keeps something for each pair (the counts of answers) has a flat array and finds the place without hashing.
//! Sets of pools are stored once, however many VIPs have them: a hundred thousand VIPs take twelve bytes each. What
//! happens at a place is not known here.

use std::collections::HashMap;

use crate::model::Model;
use crate::model::PoolId;
use crate::model::Vip;
use crate::model::VipId;
use crate::model::WhenAllDown;

/// A pool set of this size or smaller is looked through from its start, which then is the quickest way.
const SCANNED_MAX: usize = 8;

/// The pools each VIP may use, and a number for each pair.
#[derive(Debug, Default)]
pub struct Uses {
    vips: Vec<Use>,
    /// The sets, one after the other, each in ascending order.
    pools: Vec<PoolId>,
    pairs: u32,
}

/// One VIP's pools.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The number of its pair with no pool; those with pools follow.
    first: u32,
    /// Where its set begins in `Uses::pools`.
    set: u32,
    /// How many pools are in it.
    count: u32,
}

impl Uses {
    /// Of every VIP of a model.
    pub fn of(model: &Model) -> Self {
        let mut uses = Uses { vips: Vec::with_capacity(model.vips.len()), ..Uses::default() };
        let mut known: HashMap<Vec<PoolId>, u32> = HashMap::new();
        for vip in &model.vips {
            let set = pools_used(model, vip);
            let count = set.len() as u32;
            let at = *known.entry(set).or_insert_with_key(|set| {
                uses.pools.extend_from_slice(set);
                (uses.pools.len() - set.len()) as u32
            });
            uses.vips.push(Use { first: uses.pairs, set: at, count });
            uses.pairs = uses.pairs.saturating_add(count).saturating_add(1);
        }
        uses
    }

    /// How many pairs there are; their numbers are below this.
    pub fn pairs(&self) -> usize {
        self.pairs as usize
    }

    /// The number of a pair; `None` as the pool: answered from none. Nothing for a pool that the VIP cannot use.
    #[inline]
    pub fn pair(&self, vip: VipId, pool: Option<PoolId>) -> Option<usize> {
        let used = self.vips.get(vip.index())?;
        let Some(pool) = pool else { return Some(used.first as usize) };
        let set = self.set(used);
        let place = match set.len() <= SCANNED_MAX {
            true => set.iter().position(|one| *one == pool)?,
            false => set.binary_search(&pool).ok()?,
        };
        Some(used.first as usize + 1 + place)
    }

    /// Every pair, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (VipId, Option<PoolId>)> {
        self.vips.iter().enumerate().flat_map(|(vip, used)| {
            let pools = self.set(used).iter().map(|pool| Some(*pool));
            std::iter::once(None).chain(pools).map(move |pool| (VipId::from(vip), pool))
        })
    }

    /// The pools a VIP may use, in ascending order.
    pub fn pools(&self, vip: VipId) -> &[PoolId] {
        self.vips.get(vip.index()).map_or(&[], |used| self.set(used))
    }

    #[inline]
    fn set(&self, used: &Use) -> &[PoolId] {
        &self.pools[used.set as usize..][..used.count as usize]
    }
}

/// The pools a VIP names, their fallbacks, and the one of the day when all is down.
fn pools_used(model: &Model, vip: &Vip) -> Vec<PoolId> {
    let mut pools = vip.pools();
    let fallbacks: Vec<PoolId> = pools.iter().flat_map(|pool| model.fallbacks(*pool)).collect();
    pools.extend(fallbacks);
    if let WhenAllDown::Pool(pool) = vip.when_all_down {
        pools.push(pool);
    }
    pools.sort_unstable();
    pools.dedup();
    pools
}
