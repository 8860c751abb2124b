//! The pools of a proxy and what requests tell of their endpoints, from one snapshot to the next.
//!
//! Made from a model, and made anew from the next one at a reload: an endpoint of the same pool, address and port stays the
//! same [`Live`], so a rest goes on and counts are kept; requests still under way by the old snapshot and those by the new one
//! meet in it. What left the configuration is dropped when its last user lets go.
//!
//! A worker keeps the [`super::standing::Standing`] of a pool until [`LivePool::epoch`] has grown or [`LivePool::wakes_at`] has
//! come. It reads the epoch first and the members then: what changes in between costs it one more look, never a change
//! it does not see.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use crate::balance::ejection::PoolNow;
use crate::balance::ejection::may_rest;
use crate::balance::live::Failure;
use crate::balance::live::Live;
use crate::balance::live::Shared;
use crate::balance::live::Turned;
use crate::health::names::EndpointKey;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;

/// What is believed of a member, whatever its own requests say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believed {
    /// Up, as observed or forced; an ejection does not count here.
    Up,
    /// Not up.
    Down,
    /// Taken out by an operator.
    Withdrawn,
}

/// The endpoints of one pool, in its order.
#[derive(Debug)]
pub struct LivePool {
    members: Vec<Arc<Live>>,
    shared: Arc<Shared>,
}

impl LivePool {
    /// The members, in the pool's order.
    pub fn members(&self) -> &[Arc<Live>] {
        &self.members
    }

    /// Grows whenever it changes who may be sent requests.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// When that changes next although nobody asks.
    pub fn wakes_at(&self) -> Option<Moment> {
        self.members.iter().filter_map(|live| live.wakes_at()).min()
    }

    /// How many rest or are on trial.
    pub fn ejected(&self) -> usize {
        self.members.iter().filter(|live| !live.is_admitting()).count()
    }

    /// A request to the member at this place did not pass. `draw` is random, `believed` what is known of each place.
    pub fn failed(
        &self,
        at: usize,
        failure: &Failure<'_>,
        now: Moment,
        draw: u64,
        believed: impl Fn(usize) -> Believed,
    ) -> Option<Turned> {
        self.members[at].failed(failure, now, draw, || self.rests(at, believed))
    }

    /// Whether the law lets one more rest; if so it does, before the next is judged. The law's lock comes after an
    /// endpoint's and before no other, so nobody waits for one who waits for him.
    fn rests(&self, at: usize, believed: impl Fn(usize) -> Believed) -> bool {
        let _one_at_a_time = self.shared.law.lock().unwrap_or_else(PoisonError::into_inner);
        let may = may_rest(self.now(at, believed));
        if may {
            self.members[at].is_away_from_now_on();
        }
        may
    }

    fn now(&self, at: usize, believed: impl Fn(usize) -> Believed) -> PoolNow {
        let mut pool = PoolNow { members: 0, ejected: 0, healthy_others: 0 };
        for (other, live) in self.members.iter().enumerate() {
            let (believed, admits) = (believed(other), live.is_admitting());
            let counts = believed != Believed::Withdrawn;
            pool.members += usize::from(counts);
            pool.ejected += usize::from(counts && !admits);
            pool.healthy_others += usize::from(other != at && believed == Believed::Up && admits);
        }
        pool
    }
}

/// The pools of one model that a proxy sends requests to.
#[derive(Debug, Default)]
pub struct LivePools {
    /// By [`PoolId`]; `None` for those that only DNS uses.
    pools: Vec<Option<Arc<LivePool>>>,
    /// What anybody still uses, of this model or of an earlier one, by the pool's name. Cores come to a new snapshot one by
    /// one, and one that is late may make its pools after those of the next: there must be no second [`Live`] of an endpoint.
    known: HashMap<String, Known>,
}

/// What is known of a pool of that name.
#[derive(Debug, Clone, Default)]
struct Known {
    shared: Arc<Shared>,
    members: Vec<Weak<Live>>,
}

impl LivePools {
    /// The pools of a model that `is_proxied`; what `former` knows stays known.
    pub fn of(model: &Model, is_proxied: impl Fn(PoolId) -> bool, former: &LivePools) -> Self {
        let in_use = |live: &Weak<Live>| live.strong_count() > 0;
        let known = former.known.iter().filter(|(_, known)| known.members.iter().any(in_use));
        let mut known: HashMap<String, Known> = known.map(|(name, known)| (name.clone(), known.clone())).collect();
        let mut pool = |id| {
            let known = known.entry(model.pool(id).name.clone()).or_default();
            known.members.retain(in_use);
            is_proxied(id).then(|| Arc::new(known.pool(model, id)))
        };
        let pools = (0..model.pools.len()).map(PoolId::from).map(&mut pool).collect();
        LivePools { pools, known }
    }

    /// A pool; `None` for one that is not proxied.
    #[inline]
    pub fn pool(&self, id: PoolId) -> Option<&Arc<LivePool>> {
        self.pools.get(id.index())?.as_ref()
    }

    /// Each pool.
    pub fn iter(&self) -> impl Iterator<Item = (PoolId, &Arc<LivePool>)> {
        self.pools.iter().enumerate().filter_map(|(at, pool)| Some((PoolId::from(at), pool.as_ref()?)))
    }

    /// Once a second, by one of those who use them.
    pub fn tick(&self, now: Moment) {
        self.iter().flat_map(|(_, pool)| pool.members()).for_each(|live| live.tick(now));
    }
}

impl Known {
    /// The pool of a model, of the endpoints that are known and of new ones.
    fn pool(&mut self, model: &Model, id: PoolId) -> LivePool {
        let known: HashMap<EndpointKey, Arc<Live>> =
            self.members.iter().filter_map(Weak::upgrade).map(|live| (live.key().clone(), live)).collect();
        let mut member = |(id, _): (EndpointId, _)| {
            let key = EndpointKey::of(model, id);
            known.get(&key).cloned().unwrap_or_else(|| {
                let live = Arc::new(Live::new(key, self.shared.clone()));
                self.members.push(Arc::downgrade(&live));
                live
            })
        };
        let members = model.members(id).map(&mut member).collect();
        // Who keeps a standing of the former members is to make a new one.
        self.shared.epoch.fetch_add(1, Ordering::Release);
        LivePool { members, shared: self.shared.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::balance::breaker::Outcome;
    use crate::model::Endpoint;
    use crate::model::Pool;

    const T0: Moment = Moment::from_secs(1_000);
    const FAILED: Failure<'static> = Failure { outcome: Outcome::Failed, met: &"status 502", began: T0 };

    /// Pools of so many endpoints, 192.0.2.1 and up.
    fn model(pools: &[(&str, u8)]) -> Model {
        let mut model = Model::default();
        for (at, (name, count)) in pools.iter().enumerate() {
            let first = model.endpoints.len() as u32;
            let endpoint = |last| Endpoint {
                pool: PoolId::from(at),
                address: [192, 0, 2, last].into(),
                port: Some(80),
                weight: 1,
                backup: false,
            };
            model.endpoints.extend((1..=*count).map(endpoint));
            model.pools.push(Pool {
                name: (*name).into(),
                region: crate::model::RegionId(0),
                check: None,
                balance: Default::default(),
                min_healthy: 1,
                fallback: None,
                endpoints: first..first + u32::from(*count),
                upstream: Default::default(),
                load: None,
            });
        }
        model
    }

    fn pools(of: &[(&str, u8)], former: &LivePools) -> LivePools {
        LivePools::of(&model(of), |_| true, former)
    }

    fn break_it(pool: &LivePool, at: usize, believed: impl Fn(usize) -> Believed + Copy) -> Option<Turned> {
        (0..5).filter_map(|_| pool.failed(at, &FAILED, T0, 0, believed)).last()
    }

    /// `u` up, `d` down, `w` withdrawn.
    fn views(pool: &str) -> impl Fn(usize) -> Believed + Copy {
        |at| match pool.as_bytes()[at] {
            b'u' => Believed::Up,
            b'd' => Believed::Down,
            _ => Believed::Withdrawn,
        }
    }

    /// Who of a pool rests when all fail, one after the other.
    fn resting(views_of: &str) -> Vec<usize> {
        let pools = pools(&[("web", views_of.len() as u8)], &LivePools::default());
        let pool = pools.pool(PoolId(0)).unwrap();
        (0..views_of.len()).for_each(|at| drop(break_it(pool, at, views(views_of))));
        (0..views_of.len()).filter(|at| !pool.members()[*at].is_admitting()).collect()
    }

    #[test]
    fn the_law_walked() {
        assert_eq!(resting("u"), [0usize; 0], "never the last");
        assert_eq!(resting("uu"), [0]);
        assert_eq!(resting("uuuuu"), [0, 1], "at most half");
        assert_eq!(resting("uddd"), [1, 2], "the only healthy one stays; what is down may rest");
        assert_eq!(resting("dddd"), [0usize; 0], "nobody is healthy");
        assert_eq!(resting("uuww"), [0], "who was taken out does not count");
    }

    /// Every pool of up to six in every view, all failing in turn.
    #[test]
    fn half_of_a_pool_and_a_healthy_one_are_left_in_every_pool() {
        for members in 1..=6_u32 {
            for case in 0..3_usize.pow(members) {
                let view: String = (0..members).map(|at| ['u', 'd', 'w'][case / 3_usize.pow(at) % 3]).collect();
                let resting = resting(&view);
                let counted = view.chars().filter(|c| *c != 'w').count();
                let is_up = |at: &usize| view.as_bytes()[*at] == b'u';
                let resting_counted = resting.iter().filter(|at| view.as_bytes()[**at] != b'w').count();
                assert!(resting_counted * 2 <= counted.max(1), "{view}: {resting:?}");
                let healthy_left = (0..members as usize).filter(|at| is_up(at) && !resting.contains(at)).count();
                assert!(healthy_left > 0 || !view.contains('u'), "{view}: {resting:?}");
            }
        }
    }

    #[test]
    fn cores_that_see_all_fail_at_once_leave_half() {
        for round in 0..50 {
            let pools = pools(&[("web", 7)], &LivePools::default());
            let pool = pools.pool(PoolId(0)).unwrap();
            let ejections = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let ejections = &ejections;
                    scope.spawn(move || {
                        for step in 0..70 {
                            let at = (step * 3 + thread + round) % 7;
                            let turned = pool.failed(at, &FAILED, T0, 0, |_| Believed::Up);
                            ejections.fetch_add(usize::from(turned.is_some()), Ordering::Relaxed);
                            assert!(pool.ejected() <= 3);
                        }
                    });
                }
            });
            assert_eq!((pool.ejected(), ejections.into_inner()), (3, 3));
        }
    }

    #[test]
    fn a_reload_forgets_nothing() {
        let before = pools(&[("web", 3), ("api", 2)], &LivePools::default());
        let old = before.pool(PoolId(0)).unwrap();
        assert!(break_it(old, 1, |_| Believed::Up).is_some());
        // Another order of pools, one endpoint more.
        let after = pools(&[("api", 2), ("web", 4)], &before);
        let web = after.pool(PoolId(1)).unwrap();
        assert_eq!((web.members().len(), web.ejected()), (4, 1));
        assert!(Arc::ptr_eq(&old.members()[1], &web.members()[1]));
        assert!(!web.members()[1].is_admitting());
        // What a request of the old snapshot finds is seen in the new one.
        let epoch = web.epoch();
        assert!(break_it(old, 2, |_| Believed::Up).is_none(), "two of three are more than half");
        assert!(old.members()[1].ask(T0 + Duration::from_secs(10)));
        assert!(web.epoch() > epoch);
    }

    #[test]
    fn what_left_the_configuration_is_dropped_with_its_last_user() {
        let before = pools(&[("web", 2)], &LivePools::default());
        let held = before.pool(PoolId(0)).unwrap().members()[1].clone();
        let after = pools(&[("web", 1)], &before);
        drop(before);
        assert_eq!(Arc::strong_count(&held), 1);
        let second = |pools: &LivePools| pools.pool(PoolId(0)).unwrap().members()[1].clone();
        // A late core makes its pools after those of the next snapshot.
        assert!(Arc::ptr_eq(&held, &second(&pools(&[("web", 2)], &after))), "there is no second one while it is used");
        let gone = Arc::downgrade(&held);
        drop(held);
        assert!(gone.upgrade().is_none());
        let again = pools(&[("web", 2)], &pools(&[], &after));
        assert!(again.known.len() == 1 && second(&again).is_admitting(), "it begins anew");
    }

    #[test]
    fn pools_that_no_proxy_uses_cost_nothing() {
        let live = LivePools::of(&model(&[("dns", 2), ("web", 2)]), |id| id == PoolId(1), &LivePools::default());
        assert!(live.pool(PoolId(0)).is_none() && live.pool(PoolId(1)).is_some() && live.iter().count() == 1);
        assert!(live.pool(PoolId(7)).is_none());
    }

    #[test]
    fn a_worker_is_told_when_to_look_again() {
        let pools = pools(&[("web", 2)], &LivePools::default());
        let pool = pools.pool(PoolId(0)).unwrap();
        let epoch = pool.epoch();
        assert!(pool.wakes_at().is_none());
        break_it(pool, 0, |_| Believed::Up);
        assert!(pool.epoch() > epoch);
        assert_eq!(pool.wakes_at(), Some(T0 + Duration::from_secs(10)));
        pools.tick(T0);
    }
}
