//! What a choice among the members of a pool may look at.
//!
//! One request's question: who is usable, who was tried already, what each weighs and carries, and the two numbers that
//! tell one request from another, its key and its draw. Health, drains, ejections and panic have been made into `usable`
//! before; nothing here knows them. The slices belong to the asker, so a question allocates nothing.

use crate::balance::set::Set;
use crate::model::Moment;

/// A request may be sent to so many endpoints, the first included: with more, a retry costs the pool more than it saves
/// the client (Envoy's and HAProxy's own defaults are 1 and 3 retries).
pub const TRIES_MAX: usize = 8;

/// A member as tables see it: what names it for good, and its configured weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From its address and port ([`super::key::identity`]).
    pub identity: u64,
    /// Its configured or ordered weight.
    pub weight: u32,
}

/// What members carry at this moment, as the asker counts it.
pub trait Load {
    /// Requests sent to the member whose response has not ended; connections for L4.
    fn in_flight(&self, member: usize) -> u32;
    /// How long the member takes to answer, in microseconds; 0 when it never did.
    fn latency(&self, member: usize, now: Moment) -> f64;
}

/// Nobody carries anything: for choices that do not ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Idle;

impl Load for Idle {
    fn in_flight(&self, _: usize) -> u32 {
        0
    }
    fn latency(&self, _: usize, _: Moment) -> f64 {
        0.0
    }
}

/// What each member of a pool weighs now. Made when weights change (orders, slow start), read by every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    each: Box<[u32]>,
    /// Whether all weigh the same, which is usual and makes choosing cheaper.
    are_equal: bool,
}

impl Weights {
    /// These, in the pool's order and in any unit that all share (see [`super::slow_start`]).
    pub fn of(each: impl IntoIterator<Item = u32>) -> Self {
        let each: Box<[u32]> = each.into_iter().collect();
        Weights { are_equal: each.windows(2).all(|pair| pair[0] == pair[1]), each }
    }

    /// What a member weighs; 0 for one that is not there.
    pub fn of_member(&self, member: usize) -> u32 {
        self.each.get(member).copied().unwrap_or_default()
    }

    /// Whether all weigh the same.
    #[inline]
    pub fn are_equal(&self) -> bool {
        self.are_equal
    }
}

impl<const N: usize> From<[u32; N]> for Weights {
    fn from(each: [u32; N]) -> Self {
        Weights::of(each)
    }
}

/// One request's question.
#[derive(Debug)]
pub struct Ask<'a, L> {
    /// Who may be chosen.
    pub usable: &'a Set,
    /// Who this request was sent to before, at most [`TRIES_MAX`]: a retry goes to another.
    pub tried: &'a [u32],
    /// What each weighs now.
    pub weights: &'a Weights,
    /// What each carries now.
    pub load: &'a L,
    /// What keyed choices go by: a hash of the client, a header, a cookie.
    pub key: u64,
    /// Random bits of this request.
    pub draw: u64,
    /// When.
    pub now: Moment,
}

impl<L> Ask<'_, L> {
    /// Whether a member may be chosen for this request.
    #[inline]
    pub fn may(&self, member: usize) -> bool {
        self.usable.contains(member) && !self.has_tried(member)
    }

    /// Whether this request was sent there before.
    #[inline]
    pub fn has_tried(&self, member: usize) -> bool {
        self.tried.iter().any(|tried| *tried as usize == member)
    }

    /// Everyone who may be chosen, in the pool's order.
    #[inline]
    pub fn able(&self) -> impl Iterator<Item = usize> + '_ {
        self.usable.iter().filter(|member| !self.has_tried(*member))
    }

    /// What a member weighs. One without weight is only among the usable when nobody with weight is (see
    /// [`super::tiers`]), so all are alike then.
    #[inline]
    pub fn weight(&self, member: usize) -> u32 {
        self.weights.each.get(member).map_or(1, |weight| (*weight).max(1))
    }

    /// How many members the weights are of.
    #[inline]
    pub fn members(&self) -> usize {
        self.weights.each.len()
    }

    /// What those who may be chosen weigh together.
    #[inline]
    pub fn weight_able(&self) -> u64 {
        self.able().map(|member| u64::from(self.weight(member))).sum()
    }
}

/// A pool of tests: what each member weighs and carries.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// In flight and latency in microseconds, by member.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Seats {
        pub(crate) in_flight: Vec<u32>,
        pub(crate) latency: Vec<f64>,
    }

    impl Load for Seats {
        fn in_flight(&self, member: usize) -> u32 {
            self.in_flight.get(member).copied().unwrap_or(0)
        }
        fn latency(&self, member: usize, _: Moment) -> f64 {
            self.latency.get(member).copied().unwrap_or(0.0)
        }
    }

    /// A question with nothing special about it.
    pub(crate) fn ask<'a, L>(usable: &'a Set, weights: &'a Weights, load: &'a L) -> Ask<'a, L> {
        Ask { usable, tried: &[], weights, load, key: 0, draw: 0, now: Moment::from_secs(1_000_000) }
    }

    /// Draws of a test, one after the other.
    pub(crate) fn draws() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x5eed), |draw| Some(crate::balance::key::next_draw(*draw)))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::ask;
    use super::*;

    #[test]
    fn a_retry_goes_to_another() {
        let usable = Set::of(4, |member| member != 2);
        let weights = Weights::from([1, 2, 3, 0]);
        let first = ask(&usable, &weights, &Idle);
        assert_eq!(first.able().collect::<Vec<_>>(), [0, 1, 3]);
        let retry = Ask { tried: &[1], ..first };
        assert_eq!(retry.able().collect::<Vec<_>>(), [0, 3]);
        assert!(!retry.may(1) && !retry.may(2) && retry.may(3));
        assert_eq!(retry.weight_able(), 2, "the one without weight counts as 1 when it is usable at all");
    }
}
