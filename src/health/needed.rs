//! Of which pools does each VIP need one?
//!
//! For each VIP, and for each rule of it, the pools that may answer in good order are known: its own, their fallbacks, and
//! inside a fence its own alone. Sets are stored once, however many VIPs have them. What it means that a set is without a
//! healthy pool is for others to say: `steering::safety` refuses an order for it, the ledger lets no ejection do it.

use std::collections::HashMap;

use crate::model::Model;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Rule;
use crate::model::Vip;
use crate::model::VipId;

/// A set of pools, by its number among [`NeededPools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetId(u32);

/// The sets of pools of which each VIP needs one.
#[derive(Debug, Default)]
pub struct NeededPools {
    /// The pools of the sets, one set after the other.
    pools: Vec<PoolId>,
    /// Where each set begins in `pools`, and the end of the last.
    begins: Vec<u32>,
    /// Which VIPs need a pool of each set.
    needed_by: Vec<Vec<VipId>>,
    /// In which sets each pool is, by [`PoolId`].
    sets_of: Vec<Vec<SetId>>,
}

impl NeededPools {
    /// The sets of a model.
    pub fn of(model: &Model) -> Self {
        let sets_of = vec![Vec::new(); model.pools.len()];
        let mut needed = NeededPools { begins: vec![0], sets_of, ..NeededPools::default() };
        let mut known: HashMap<Vec<PoolId>, SetId> = HashMap::new();
        for (vip, settings) in model.vips.iter().enumerate() {
            for set in sets(model, settings) {
                let at = *known.entry(set).or_insert_with_key(|set| needed.add(set));
                let needed_by = &mut needed.needed_by[at.0 as usize];
                // Rules that come to the same set stand behind each other.
                if needed_by.last() != Some(&VipId::from(vip)) {
                    needed_by.push(VipId::from(vip));
                }
            }
        }
        needed
    }

    fn add(&mut self, set: &[PoolId]) -> SetId {
        let at = SetId(self.needed_by.len() as u32);
        self.pools.extend_from_slice(set);
        self.begins.push(self.pools.len() as u32);
        self.needed_by.push(Vec::new());
        set.iter().for_each(|pool| self.sets_of[pool.index()].push(at));
        at
    }

    /// The pools of a set.
    pub fn set(&self, at: SetId) -> &[PoolId] {
        &self.pools[self.begins[at.0 as usize] as usize..self.begins[at.0 as usize + 1] as usize]
    }

    /// The VIPs that need a pool of a set, in the order of the model.
    pub fn needed_by(&self, at: SetId) -> &[VipId] {
        &self.needed_by[at.0 as usize]
    }

    /// The sets that a pool is in.
    pub fn sets_of(&self, pool: PoolId) -> &[SetId] {
        self.sets_of.get(pool.index()).map_or(&[], Vec::as_slice)
    }
}

/// The sets of a VIP: for each rule what a client of it may be answered from before all counts as down.
fn sets(model: &Model, vip: &Vip) -> Vec<Vec<PoolId>> {
    let own = vip.pools();
    let Policy::Geolocation(rules) = &vip.policy else { return vec![with_fallbacks(model, own.clone(), &own)] };
    let set = |rule: &Rule| {
        let ranked: Vec<PoolId> = rule.members.iter().map(|member| member.pool).collect();
        if rule.geofence { tidy(ranked) } else { with_fallbacks(model, own.clone(), &ranked) }
    };
    rules.iter().map(set).collect()
}

fn with_fallbacks(model: &Model, mut pools: Vec<PoolId>, of: &[PoolId]) -> Vec<PoolId> {
    of.iter().for_each(|pool| pools.extend(model.fallbacks(*pool)));
    tidy(pools)
}

fn tidy(mut pools: Vec<PoolId>) -> Vec<PoolId> {
    pools.sort_unstable();
    pools.dedup();
    pools
}
