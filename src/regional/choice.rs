//! Which member of a pool gets this request? For the proxy, which then takes its place there, and for `explain`, which does not.
//!
//! First the one that the client's cookie names, while it may stay; then as the pool's method says, passing over who is full or
//! does not admit. Who may be chosen at all ([`Standing`]) was worked out before, by [`super::members`].

use crate::balance::ask::Load;
use crate::balance::ask::TRIES_MAX;
use crate::balance::balancer::Balancer;
use crate::balance::standing::Pick;
use crate::balance::standing::Standing;
use crate::model::Moment;

/// So many that are full are passed over for one request; a pool with more of them than that is full.
const FULL_MAX: usize = 24;

/// What a request says for its choice.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What keyed choices go by.
    pub key: u64,
    /// Random bits.
    pub draw: u64,
    /// The endpoint its cookie names.
    pub sticky: Option<usize>,
}

/// What a member says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may come.
    Yes,
    /// It has as many as it takes.
    Full,
    /// Its breaker does not admit.
    No,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This one, by its place in the pool.
    Member(usize),
    /// Everyone who may be chosen is full.
    AllFull,
    /// Nobody may be chosen.
    Nobody,
}

/// Chooses; `tried` are those that had this request before, `admits` asks a member.
#[inline]
pub fn choose<L: Load>(
    standing: &Standing,
    balancer: &mut Balancer,
    tried: &[u32],
    wish: Wish,
    (load, now): (&L, Moment),
    mut admits: impl FnMut(usize) -> Admission,
) -> Choice {
    let stays = wish.sticky.filter(|at| standing.may_stay(*at) && !tried.contains(&(*at as u32)));
    if let Some(at) = stays.filter(|at| admits(*at) == Admission::Yes) {
        return Choice::Member(at);
    }
    // Those that are full are passed over as if they had been tried.
    let mut passed = [0u32; TRIES_MAX + FULL_MAX];
    let mut count = tried.len().min(TRIES_MAX);
    passed[..count].copy_from_slice(&tried[..count]);
    let mut is_full = false;
    while count < passed.len() {
        let pick = Pick { tried: &passed[..count], load, key: wish.key, draw: wish.draw, now };
        let Some(at) = standing.pick(balancer, &pick) else { break };
        let admission = admits(at);
        if admission == Admission::Yes {
            return Choice::Member(at);
        }
        is_full |= admission == Admission::Full;
        passed[count] = at as u32;
        count += 1;
    }
    if is_full { Choice::AllFull } else { Choice::Nobody }
}
