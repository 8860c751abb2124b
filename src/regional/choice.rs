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

/// So many that are full are passed over for one request; after that whoever has room is taken.
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
    let is_crowded = count == passed.len();
    let found = if is_crowded { anyone(standing, tried, admits) } else { None };
    match found {
        Some(at) => Choice::Member(at),
        None if is_full => Choice::AllFull,
        None => Choice::Nobody,
    }
}

/// Whoever has room, where so many have none that there is nothing left to balance.
#[cold]
fn anyone(standing: &Standing, tried: &[u32], mut admits: impl FnMut(usize) -> Admission) -> Option<usize> {
    standing.usable().find(|at| !tried.contains(&(*at as u32)) && admits(*at) == Admission::Yes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balance::ask::Idle;
    use crate::balance::ask::Member;
    use crate::balance::balancer::Method;
    use crate::balance::standing::MemberNow;
    use crate::model::Balance;

    const NOW: Moment = Moment::from_secs(1_000);

    /// What becomes of a wish in a pool of so many.
    fn chosen(members: usize, tried: &[u32], admits: impl Fn(usize) -> Admission) -> Choice {
        let one = MemberNow { tier: 0, weight: 1, is_up: true, is_withdrawn: false, is_admitting: true, risen: None };
        let standing = Standing::of(&vec![one; members], 0, Duration::ZERO, NOW);
        let each: Vec<Member> = (0..members).map(|at| Member { identity: at as u64 + 1, weight: 1 }).collect();
        let mut balancer = Balancer::new(Method::of(Balance::Random, &each, None), 0);
        let wish = Wish { key: 7, draw: 7, sticky: None };
        choose(&standing, &mut balancer, tried, wish, (&Idle, NOW), admits)
    }

    #[test]
    fn the_only_one_with_room_is_found_among_however_many() {
        for members in [2, 30, 200] {
            for free in [0, members / 2, members - 1] {
                let admits = |at| if at == free { Admission::Yes } else { Admission::Full };
                assert_eq!(chosen(members, &[], admits), Choice::Member(free));
                assert_eq!(chosen(members, &[free as u32], admits), Choice::AllFull, "it has had the request");
            }
            assert_eq!(chosen(members, &[], |_| Admission::Full), Choice::AllFull);
            assert_eq!(chosen(members, &[], |_| Admission::No), Choice::Nobody);
        }
    }
}
