//! Which endpoint of a pool does this request go to? The one door to every way of choosing.
//!
//! A core has a [`Balancer`] of its own for each pool it serves: what it remembers (whose turn it is, where ties begin) is
//! nobody else's, so nothing is locked. Tables are made once for all cores and shared. Who is usable and what everyone
//! carries come with each question ([`Ask`]); a balancer never learns why.
//!
//! In a pool of the proxy `weighted` and `round_robin` are both smooth weighted round robin, as in HAProxy: an even spread
//! has no reason to prefer chance. `random` is by weight, too. `hash` is exact up to 64 members and a table above.

use std::sync::Arc;

use crate::balance::ask::Ask;
use crate::balance::ask::Load;
use crate::balance::ask::Member;
use crate::balance::bounded::Bound;
use crate::balance::least_conn::LeastConn;
use crate::balance::maglev::Maglev;
use crate::balance::p2c;
use crate::balance::random;
use crate::balance::rendezvous;
use crate::balance::ring::Ring;
use crate::balance::smooth_wrr::SmoothWrr;
use crate::model::Balance;

/// What all cores share of a pool's way of choosing: made once for each snapshot, never written.
#[derive(Debug, Clone)]
pub struct Method {
    table: Table,
    members: Arc<[Member]>,
    /// Hashed methods only: see [`super::bounded`].
    bound_percent: Option<u32>,
}

#[derive(Debug, Clone)]
enum Table {
    Turns,
    LeastConn,
    P2c,
    Random,
    Rendezvous,
    Maglev(Arc<Maglev>),
    Ring(Arc<Ring>),
    InOrder,
}

impl Method {
    /// The method of a pool's `balance`, with its table if it needs one (milliseconds for large pools).
    pub fn of(balance: Balance, members: &[Member], bound_percent: Option<u32>) -> Self {
        let table = match balance {
            Balance::Weighted | Balance::RoundRobin => Table::Turns,
            Balance::LeastConn => Table::LeastConn,
            Balance::P2c => Table::P2c,
            Balance::Random => Table::Random,
            Balance::Hash if members.len() <= rendezvous::MEMBERS_MAX => Table::Rendezvous,
            Balance::Hash | Balance::Maglev => Table::Maglev(Arc::new(Maglev::of(members))),
            Balance::RingHash => Table::Ring(Arc::new(Ring::of(members))),
            Balance::Failover => Table::InOrder,
        };
        Method { table, members: members.into(), bound_percent }
    }

    /// Whether requests are told apart by their key, which is worth working out only then.
    pub fn is_keyed(&self) -> bool {
        matches!(self.table, Table::Rendezvous | Table::Maglev(_) | Table::Ring(_))
    }

    /// The words of `explain`.
    pub fn name(&self) -> &'static str {
        match self.table {
            Table::Turns => "smooth weighted round robin",
            Table::LeastConn => "least connections",
            Table::P2c => "better of two by peak latency",
            Table::Random => "random by weight",
            Table::Rendezvous => "weighted rendezvous hash",
            Table::Maglev(_) => "maglev table",
            Table::Ring(_) => "ring hash",
            Table::InOrder => "first in order",
        }
    }

    /// Keyed methods: the member a key falls to, of those that are `able`.
    #[inline]
    fn find(&self, key: u64, able: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.table {
            Table::Maglev(table) => table.find(key, &self.members, able),
            Table::Ring(ring) => ring.find(key, able),
            _ => {
                let offered = self.members.iter().enumerate().filter(|(place, _)| able(*place));
                rendezvous::winner(key, offered.map(|(place, member)| (place, member.identity, member.weight)))
            }
        }
    }
}

/// One core's way of choosing in one pool.
#[derive(Debug, Clone)]
pub struct Balancer {
    method: Method,
    turns: SmoothWrr,
    ties: LeastConn,
}

impl Balancer {
    /// For the core of that number: each starts elsewhere in the same sequence.
    pub fn new(method: Method, core: u32) -> Self {
        let weights: Vec<u32> = match method.table {
            Table::Turns => method.members.iter().map(|member| member.weight).collect(),
            _ => Vec::new(),
        };
        Balancer { turns: SmoothWrr::after_turns(&weights, core), ties: LeastConn::starting_at(core as usize), method }
    }

    /// The endpoint for this request, as its place in the pool; `None` when nobody may be chosen. Allocates nothing.
    #[inline]
    pub fn pick<L: Load>(&mut self, ask: &Ask<'_, L>) -> Option<usize> {
        match &self.method.table {
            Table::Turns => self.turns.pick(ask),
            Table::LeastConn => self.ties.pick(ask),
            Table::P2c => p2c::pick(ask),
            Table::Random => random::pick(ask, ask.draw),
            Table::InOrder => ask.able().next(),
            Table::Rendezvous | Table::Maglev(_) | Table::Ring(_) => self.keyed(ask),
        }
    }

    /// What all cores share.
    pub fn method(&self) -> &Method {
        &self.method
    }

    #[inline]
    fn keyed<L: Load>(&self, ask: &Ask<'_, L>) -> Option<usize> {
        // A ring would be gone all round to find nobody, a quarter of a million points for each request of a dead pool.
        ask.able().next()?;
        let within = self.method.bound_percent.and_then(|percent| {
            let bound = Bound::of(ask, percent);
            let has_room = |member| bound.admits(ask.load.in_flight(member), ask.weight(member));
            self.method.find(ask.key, |member| ask.may(member) && has_room(member))
        });
        // A bound is a wish: when all who may be chosen are full, the key's own member takes it.
        within.or_else(|| self.method.find(ask.key, |member| ask.may(member)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::Weights;
    use crate::balance::ask::testing::Seats;
    use crate::balance::ask::testing::ask;
    use crate::balance::ask::testing::draws;
    use crate::balance::key::identity;
    use crate::balance::set::Set;

    const ALL: [Balance; 9] = [
        Balance::Weighted,
        Balance::RoundRobin,
        Balance::LeastConn,
        Balance::P2c,
        Balance::Random,
        Balance::Hash,
        Balance::RingHash,
        Balance::Maglev,
        Balance::Failover,
    ];

    fn members(weights: &[u32]) -> Vec<Member> {
        let name = |place: usize| identity(format!("192.0.2.{place}:80").as_bytes());
        weights.iter().enumerate().map(|(place, weight)| Member { identity: name(place), weight: *weight }).collect()
    }

    fn balancer(balance: Balance, weights: &[u32], bound: Option<u32>) -> Balancer {
        Balancer::new(Method::of(balance, &members(weights), bound), 0)
    }

    #[test]
    fn failover_takes_the_first_that_is_usable() {
        let mut choice = balancer(Balance::Failover, &[1, 1, 1], None);
        let seats = Seats::default();
        assert_eq!(choice.pick(&ask(&Set::all(3), &Weights::from([1, 1, 1]), &seats)), Some(0));
        assert_eq!(choice.pick(&ask(&Set::of(3, |m| m > 0), &Weights::from([1, 1, 1]), &seats)), Some(1));
    }

    #[test]
    fn a_hash_of_many_is_a_table() {
        assert_eq!(Method::of(Balance::Hash, &members(&[1; 64]), None).name(), "weighted rendezvous hash");
        assert_eq!(Method::of(Balance::Hash, &members(&[1; 65]), None).name(), "maglev table");
        assert!(Method::of(Balance::RingHash, &members(&[1; 3]), None).is_keyed());
        assert!(!Method::of(Balance::P2c, &members(&[1; 3]), None).is_keyed());
    }

    #[test]
    fn a_hot_key_overflows_to_the_same_few_in_each_method() {
        let weights = Weights::from([1; 4]);
        for balance in [Balance::Hash, Balance::RingHash, Balance::Maglev] {
            let mut choice = balancer(balance, &[1; 4], Some(150));
            let (all, mut seats) = (Set::all(4), Seats { in_flight: vec![0; 4], ..Seats::default() });
            let mut order = Vec::new();
            for _ in 0..40 {
                let member = choice.pick(&Ask { key: 77, ..ask(&all, &weights, &seats) }).unwrap();
                seats.in_flight[member] += 1;
                order.push(member);
            }
            assert!(seats.in_flight.iter().all(|n| *n <= 15), "{balance:?}: {:?}", seats.in_flight);
            assert_eq!(
                *seats.in_flight.iter().max().unwrap(),
                15,
                "{balance:?}: the key's own is as full as it may be"
            );
            let unbound = balancer(balance, &[1; 4], None).pick(&Ask { key: 77, ..ask(&all, &weights, &seats) });
            assert_eq!(unbound, order.first().copied(), "{balance:?}");
        }
    }

    #[test]
    fn a_full_pool_still_serves() {
        let mut choice = balancer(Balance::Hash, &[1, 1], Some(100));
        let (all, seats) = (Set::all(2), Seats { in_flight: vec![50, 50], ..Seats::default() });
        let weights = Weights::from([1, 1]);
        let retry = Ask { tried: &[0], ..ask(&all, &weights, &seats) };
        assert_eq!(choice.pick(&retry), Some(1));
    }

    proptest! {
        // A table for each case: enough of them.
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever the method, the weights and the load: a pick is usable and untried, and there is one while anyone is.
        #[test]
        fn a_pick_is_always_one_that_may_be(
            pool in proptest::collection::vec((0u32..70_000, any::<bool>(), 0u32..50, 0.0f64..1e6), 1..80),
            tried in proptest::collection::vec(0u32..80, 0..8),
            key: u64,
            bounded: bool,
        ) {
            let weights: Vec<u32> = pool.iter().map(|row| row.0).collect();
            let usable = Set::of(pool.len(), |member| pool[member].1);
            let seats = Seats {
                in_flight: pool.iter().map(|row| row.2).collect(),
                latency: pool.iter().map(|row| row.3).collect(),
            };
            let each = Weights::of(weights.iter().copied());
            for balance in ALL {
                let mut choice = balancer(balance, &weights, bounded.then_some(150));
                for draw in draws().take(3) {
                    let ask = Ask { key, draw, tried: &tried, ..ask(&usable, &each, &seats) };
                    let picked = choice.pick(&ask);
                    prop_assert_eq!(picked.is_some(), ask.able().next().is_some(), "{:?}", balance);
                    prop_assert!(picked.is_none_or(|member| ask.may(member)), "{:?}", balance);
                }
            }
        }

        /// Keyed methods: one that goes moves only its own keys, and comes back to them.
        #[test]
        fn one_that_goes_moves_only_its_own(weights in proptest::collection::vec(1u32..9, 2..20), gone in 0usize..20, key: u64) {
            let gone = gone % weights.len();
            let (all, rest) = (Set::all(weights.len()), Set::of(weights.len(), |member| member != gone));
            let (seats, each) = (Seats::default(), Weights::of(weights.iter().copied()));
            for balance in [Balance::Hash, Balance::RingHash, Balance::Maglev] {
                let mut choice = balancer(balance, &weights, None);
                let before = choice.pick(&Ask { key, ..ask(&all, &each, &seats) });
                let after = choice.pick(&Ask { key, ..ask(&rest, &each, &seats) });
                prop_assert!(before == after || before == Some(gone));
                prop_assert_eq!(before, choice.pick(&Ask { key, ..ask(&all, &each, &seats) }));
            }
        }
    }
}
