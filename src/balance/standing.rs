//! Who of a pool may be chosen at this moment, and with what weight? Health, orders, breakers, slow start and panic in one.
//!
//! Made when any of them changes (when a breaker's rest ends, too, and a few times a second while somebody's weight is growing),
//! then read by every request. The rules in the order in which they count:
//!
//! 1. Who an operator took out (drain, maintenance) is never chosen, not in panic either.
//! 2. Who is down, or rests, is not chosen; unless the pool panics: then all who are not taken out are, in the tiers that still
//!    carry something.
//! 3. Who rests is chosen all the same where nobody else is well: others may have gone since it was sent to rest, and a rest must not
//!    take from a pool what probes find well. Its breaker has no say then ([`Standing::spares`]).
//! 4. First the members proper, then the backups, as far as each tier carries ([`super::tiers`]); who has no weight last.
//!
//! A request comes in by [`Standing::pick`]; its sticky cookie, if it has one, is looked at before, by
//! [`Standing::may_stay`].

use std::time::Duration;

use crate::balance::ask::Ask;
use crate::balance::ask::Load;
use crate::balance::ask::Weights;
use crate::balance::balancer::Balancer;
use crate::balance::key::next_draw;
use crate::balance::panic;
use crate::balance::set::Set;
use crate::balance::slow_start;
use crate::balance::tiers::Ranked;
use crate::balance::tiers::Tiers;
use crate::model::Moment;

/// A member at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberNow {
    /// 0 for members proper, 1 for backups.
    pub tier: u8,
    /// By configuration, or by order; 0: only when every other is gone.
    pub weight: u32,
    /// Believed up, as observed or forced.
    pub is_up: bool,
    /// Taken out by an operator: drain or maintenance.
    pub is_withdrawn: bool,
    /// Its breaker admits requests ([`super::breaker::Breaker::might_admit`]).
    pub is_admitting: bool,
    /// When it came up while this process watched; `None` if it was up from the start.
    pub risen: Option<Moment>,
}

/// Who may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    tiers: Tiers,
    weights: Weights,
    /// Everyone whom a client may stay with.
    usable: Set,
    panics: bool,
    spares: bool,
    is_growing: bool,
}

/// One request, as [`Standing::pick`] needs it; the fields are those of [`Ask`].
#[derive(Debug)]
pub struct Pick<'a, L> {
    /// Who it was sent to before.
    pub tried: &'a [u32],
    /// What everyone carries.
    pub load: &'a L,
    /// What keyed choices go by.
    pub key: u64,
    /// Random bits of this request.
    pub draw: u64,
    /// When.
    pub now: Moment,
}

impl Standing {
    /// Of these members, in the pool's order.
    pub fn of(members: &[MemberNow], panic_percent: u32, slow_start: Duration, now: Moment) -> Self {
        let tiers = |is_usable: &dyn Fn(&MemberNow) -> bool| {
            let ranked = |m: &MemberNow| Ranked { tier: m.tier, weight: m.weight, usable: is_usable(m) };
            Tiers::of(&members.iter().map(ranked).collect::<Vec<_>>())
        };
        let spares = !members.iter().any(is_well);
        let is_well =
            |member: &MemberNow| is_well(&MemberNow { is_admitting: member.is_admitting || spares, ..*member });
        let counted = members.iter().filter(|member| !member.is_withdrawn);
        let up = counted.clone().filter(|member| is_well(member)).count();
        let calm = tiers(&is_well);
        let panics = panic::is_due(up, counted.count(), panic_percent, calm.cover());
        let weight = |m: &MemberNow| slow_start::effective(m.weight, m.risen, slow_start, now);
        Standing {
            tiers: if panics { calm.widened_to(tiers(&|member| !member.is_withdrawn)) } else { calm },
            weights: Weights::of(members.iter().map(weight)),
            usable: Set::of(members.len(), |at| is_well(&members[at]) || (panics && !members[at].is_withdrawn)),
            panics,
            spares,
            is_growing: members.iter().any(|member| slow_start::is_growing(member.risen, slow_start, now)),
        }
    }

    /// The endpoint for a request, as its place in the pool; `None` when nobody is left.
    #[inline]
    pub fn pick<L: Load>(&self, balancer: &mut Balancer, request: &Pick<'_, L>) -> Option<usize> {
        // The tier is drawn apart from what is drawn within it; a client of a keyed method stays in its tier.
        let keyed = balancer.method().is_keyed();
        let point = next_draw(if keyed { request.key } else { request.draw });
        let found = balancer.pick(&self.ask(self.tiers.choose(point), request));
        found.or_else(|| balancer.pick(&self.ask(self.tiers.another(request.tried)?, request)))
    }

    fn ask<'a, L>(&'a self, usable: &'a Set, request: &Pick<'a, L>) -> Ask<'a, L> {
        let Pick { tried, load, key, draw, now } = *request;
        Ask { usable, tried, weights: &self.weights, load, key, draw, now }
    }

    /// Everyone who may be chosen, in the pool's order.
    pub fn usable(&self) -> impl Iterator<Item = usize> + '_ {
        self.usable.iter()
    }

    /// Whether somebody may be chosen who was not tried.
    pub fn has_another(&self, tried: &[u32]) -> bool {
        self.tiers.another(tried).is_some()
    }

    /// Whether a client may stay with the endpoint its cookie names.
    #[inline]
    pub fn may_stay(&self, member: usize) -> bool {
        self.usable.contains(member)
    }

    /// Who is asked first, and who then; for `explain`.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// What a member weighs now, in thousandths; for `explain`.
    pub fn weight(&self, member: usize) -> u32 {
        self.weights.of_member(member)
    }

    /// Whether it balances over all because too few are up; for a metric and `explain`.
    pub fn panics(&self) -> bool {
        self.panics
    }

    /// Whether nobody is well but, perhaps, those who rest, so that their breakers are not heard.
    pub fn spares(&self) -> bool {
        self.spares
    }

    /// Whether somebody's weight is still growing: it is made anew until then.
    pub fn is_growing(&self) -> bool {
        self.is_growing
    }
}

fn is_well(member: &MemberNow) -> bool {
    member.is_up && member.is_admitting && !member.is_withdrawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::Idle;
    use crate::balance::ask::Member;
    use crate::balance::ask::testing::draws;
    use crate::balance::balancer::Method;
    use crate::model::Balance;

    const NOW: Moment = Moment::from_secs(1_000);

    /// `u` up, `d` down, `e` ejected, `w` withdrawn; capitals are backups.
    fn members(pool: &str) -> Vec<MemberNow> {
        let member = |c: char| MemberNow {
            tier: u8::from(c.is_ascii_uppercase()),
            weight: 1,
            is_up: !c.eq_ignore_ascii_case(&'d'),
            is_withdrawn: c.eq_ignore_ascii_case(&'w'),
            is_admitting: !c.eq_ignore_ascii_case(&'e'),
            risen: None,
        };
        pool.chars().map(member).collect()
    }

    fn standing(members: &[MemberNow]) -> Standing {
        Standing::of(members, 50, Duration::from_secs(30), NOW)
    }

    fn balancer(balance: Balance, members: usize) -> Balancer {
        let member = |at: usize| Member { identity: at as u64 + 1, weight: 1 };
        Balancer::new(Method::of(balance, &(0..members).map(member).collect::<Vec<_>>(), None), 0)
    }

    /// Whom requests go to.
    fn chosen(pool: &[MemberNow], tried: &[u32]) -> Vec<usize> {
        let (standing, mut balancer) = (standing(pool), balancer(Balance::Random, pool.len()));
        let request = |draw| Pick { tried, load: &Idle, key: draw, draw, now: NOW };
        let mut seen: Vec<usize> =
            draws().take(2_000).filter_map(|draw| standing.pick(&mut balancer, &request(draw))).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    #[test]
    fn only_the_well_are_chosen() {
        assert_eq!(chosen(&members("uduew"), &[]), [0, 2]);
        assert!(!standing(&members("uduew")).panics());
        assert_eq!(chosen(&members("uuu"), &[1]), [0, 2]);
    }

    #[test]
    fn a_pool_that_panics_uses_all_but_the_withdrawn() {
        assert_eq!(chosen(&members("uddew"), &[]), [0, 1, 2, 3]);
        assert!(standing(&members("uddew")).panics());
        assert_eq!(chosen(&members("ww"), &[]), [0usize; 0]);
    }

    #[test]
    fn the_last_that_probes_find_well_is_chosen_although_it_rests() {
        for (pool, who) in [("e", vec![0]), ("ee", vec![0, 1]), ("wE", vec![1]), ("de", vec![1])] {
            assert_eq!(chosen(&members(pool), &[])[..], who, "{pool}");
            assert!(standing(&members(pool)).spares());
        }
        assert!(!standing(&members("uee")).spares() && !standing(&members("eU")).spares());
        assert_eq!(chosen(&members("eU"), &[]), [1]);
    }

    #[test]
    fn backups_carry_before_anyone_panics() {
        assert_eq!(chosen(&members("ddddU"), &[]), [4]);
        assert_eq!(chosen(&members("uuuuU"), &[]), [0, 1, 2, 3]);
        assert_eq!(chosen(&members("uuuuU"), &[0, 1, 2, 3]), [4], "a retry that has tried all of its tier");
    }

    #[test]
    fn panic_does_not_take_requests_from_a_backup_that_lives() {
        let pool = members("ddddUD");
        assert!(standing(&pool).panics(), "one of six is up");
        assert_eq!(chosen(&pool, &[]), [4, 5], "nobody of the tier that is wholly down");
        assert_eq!(chosen(&members("dddddD"), &[]), [0, 1, 2, 3, 4], "where nobody is up the first tier is tried");
    }

    #[test]
    fn who_came_back_starts_small() {
        let mut pool = members("uu");
        pool[1].risen = Some(NOW);
        let (standing, mut balancer) = (standing(&pool), balancer(Balance::Weighted, 2));
        let request = Pick { tried: &[], load: &Idle, key: 0, draw: 0, now: NOW };
        let newcomer = (0..110).filter(|_| standing.pick(&mut balancer, &request) == Some(1)).count();
        assert!(newcomer == 10 && standing.is_growing(), "{newcomer} of 110");
    }

    #[test]
    fn a_client_stays_while_its_endpoint_is_well() {
        let standing = standing(&members("uudewU"));
        let stays: Vec<bool> = (0..6).map(|at| standing.may_stay(at)).collect();
        assert_eq!(stays, [true, true, false, false, false, true]);
    }

    proptest! {
        /// The withdrawn are never chosen; while anyone is up, somebody is chosen; outside panic only the well are, and those who rest
        /// where nobody is.
        #[test]
        fn the_laws_hold(
            pool in proptest::collection::vec((0u8..2, 0u32..3, any::<bool>(), any::<bool>(), any::<bool>()), 1..12),
            draw: u64,
        ) {
            let pool: Vec<MemberNow> = pool
                .into_iter()
                .map(|(tier, weight, is_up, is_withdrawn, is_admitting)| {
                    MemberNow { tier, weight, is_up, is_withdrawn, is_admitting, risen: None }
                })
                .collect();
            let standing = standing(&pool);
            for balance in [Balance::Weighted, Balance::LeastConn, Balance::P2c, Balance::Hash, Balance::RingHash] {
                let mut balancer = balancer(balance, pool.len());
                let picked = standing.pick(&mut balancer, &Pick { tried: &[], load: &Idle, key: draw, draw, now: NOW });
                prop_assert!(picked.is_none_or(|at| !pool[at].is_withdrawn));
                let rests = |m: &MemberNow| m.is_up && !m.is_withdrawn && standing.spares();
                let is_well = |m: &MemberNow| is_well(m) || rests(m);
                prop_assert!(picked.is_some() || !pool.iter().any(is_well));
                prop_assert!(picked.is_none_or(|at| is_well(&pool[at]) || standing.panics()));
            }
        }
    }
}
