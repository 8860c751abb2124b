//! Two draws by weight of the same clients: how many change from which pool to which?
//!
//! A client keeps what it drew for each pool when weights change: its draw for a pool is hashed from the client and the
//! pool, `E / weight` with `E` exponential, and the smallest wins (`balance::rendezvous`). So of all clients the part that
//! had `i` and gets `j` is a probability of two exponentials, and it is worked out here, not sampled. With `x` and `y` what
//! is drawn for `i` and `j`, old weights `w` and new weights `v`:
//!
//! ```text
//! i won     every E_k is at least w_k x / w_i           so y / x = t lies between w_j / w_i
//! j wins    every E_k is at least v_k y / v_j           and v_j / v_i, and
//! P = ∫ dt / c(t)²,  c(t) = 1 + t + Σ_k max(w_k / w_i, v_k t / v_j)
//! ```
//!
//! c is made of straight pieces, and on each the integral has a closed form.

/// A draw: who may win it, each with a positive weight and each named once.
pub type Draw<E> = [(E, f64)];

/// The parts of the clients that change, as from, to and part of all; who stays is not told.
///
/// `same_keys`: both draws hash the same clients alike. Otherwise they have nothing to do with each other, and a client may
/// change although no weight did.
pub fn moves<E: Copy + PartialEq>(old: &Draw<E>, new: &Draw<E>, same_keys: bool) -> Vec<(E, E, f64)> {
    if same_keys && old == new {
        return Vec::new();
    }
    let parties = parties(old, new);
    let (old_sum, new_sum) = (parties.iter().map(|p| p.old).sum::<f64>(), parties.iter().map(|p| p.new).sum::<f64>());
    let mut out = Vec::new();
    for (i, from) in parties.iter().enumerate().filter(|(_, party)| party.old > 0.0) {
        for (j, to) in parties.iter().enumerate().filter(|(j, party)| *j != i && party.new > 0.0) {
            let part = match same_keys {
                true => changed(&parties, i, j),
                false => from.old / old_sum * to.new / new_sum,
            };
            if part > 0.0 {
                out.push((from.who, to.who, part));
            }
        }
    }
    out
}

/// One that takes part in either draw.
struct Party<E> {
    who: E,
    old: f64,
    new: f64,
}

fn parties<E: Copy + PartialEq>(old: &Draw<E>, new: &Draw<E>) -> Vec<Party<E>> {
    let mut parties: Vec<Party<E>> =
        old.iter().map(|(who, weight)| Party { who: *who, old: *weight, new: 0.0 }).collect();
    for (who, weight) in new {
        match parties.iter_mut().find(|party| party.who == *who) {
            Some(party) => party.new = *weight,
            None => parties.push(Party { who: *who, old: 0.0, new: *weight }),
        }
    }
    parties
}

/// The part of all clients that had `i` and get `j`.
fn changed<E>(parties: &[Party<E>], i: usize, j: usize) -> f64 {
    let (from, to) = (&parties[i], &parties[j]);
    let (least, most) = (to.old / from.old, to.new / from.new);
    // Nobody changes to a pool whose weight did not grow beside that of its own.
    if least >= most {
        return 0.0;
    }
    // The rest as lines: at least `flat`, and at least `slope` times t.
    let rest: Vec<(f64, f64)> = (parties.iter().enumerate())
        .filter(|(k, _)| *k != i && *k != j)
        .map(|(_, other)| (other.old / from.old, other.new / to.new))
        .collect();
    let bends = rest.iter().map(|(flat, slope)| flat / slope).filter(|t| *t > least && *t < most);
    let mut ends: Vec<f64> = bends.collect();
    ends.sort_by(f64::total_cmp);
    ends.push(most);
    let mut begin = least;
    let mut part = 0.0;
    for end in ends {
        part += piece(&rest, begin, end);
        begin = end;
    }
    part
}

/// The integral of 1 / c² where no line of c bends.
fn piece(rest: &[(f64, f64)], begin: f64, end: f64) -> f64 {
    let middle = if end.is_finite() { (begin + end) / 2.0 } else { begin * 2.0 + 1.0 };
    let (mut flat, mut slope) = (1.0, 1.0);
    for (at_least, times) in rest {
        if times * middle > *at_least { slope += times } else { flat += at_least }
    }
    let beyond = if end.is_finite() { 1.0 / (flat + slope * end) } else { 0.0 };
    (1.0 / (flat + slope * begin) - beyond) / slope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rendezvous::score;
    use proptest::prelude::*;

    const KEYS: u64 = 5_000;

    fn winner(key: u64, draw: &[(u64, u32)]) -> u64 {
        let hashed = |who: u64| who.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let least =
            |a: &&(u64, u32), b: &&(u64, u32)| score(key, hashed(a.0), a.1).total_cmp(&score(key, hashed(b.0), b.1));
        draw.iter().min_by(least).unwrap().0
    }

    fn worked_out(old: &[(u64, u32)], new: &[(u64, u32)], from: u64, to: u64) -> f64 {
        let floats = |draw: &[(u64, u32)]| draw.iter().map(|(who, w)| (*who, f64::from(*w))).collect::<Vec<_>>();
        let moves = moves(&floats(old), &floats(new), true);
        moves.iter().filter(|(f, t, _)| (*f, *t) == (from, to)).map(|(_, _, part)| part).sum()
    }

    #[test]
    fn a_pool_that_goes_gives_all_it_had_to_the_others_by_their_weights() {
        let moves = moves(&[('a', 2.0), ('b', 1.0), ('c', 1.0)], &[('b', 1.0), ('c', 1.0)], true);
        assert_eq!(moves.len(), 2, "{moves:?}");
        assert!(moves.iter().all(|(from, _, part)| *from == 'a' && (part - 0.25).abs() < 1e-12), "{moves:?}");
    }

    #[test]
    fn weights_in_proportion_move_nobody() {
        assert_eq!(moves(&[('a', 1.0), ('b', 3.0)], &[('a', 2.0), ('b', 6.0)], true), []);
        assert_eq!(moves(&[('a', 1.0)], &[('b', 1.0)], true), [('a', 'b', 1.0)]);
    }

    #[test]
    fn other_keys_draw_anew() {
        let same = [('a', 1.0), ('b', 1.0)];
        assert_eq!(moves(&same, &same, false), [('a', 'b', 0.25), ('b', 'a', 0.25)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_is_what_clients_do(
            old in prop::collection::btree_map(0u64..5, 1u32..100, 1..5),
            new in prop::collection::btree_map(0u64..5, 1u32..100, 1..5),
        ) {
            let (old, new): (Vec<_>, Vec<_>) = (old.into_iter().collect(), new.into_iter().collect());
            for from in 0..5 {
                for to in (0..5).filter(|to| *to != from) {
                    let done = (0..KEYS).filter(|key| winner(*key, &old) == from && winner(*key, &new) == to).count();
                    let (done, said) = (done as f64 / KEYS as f64, worked_out(&old, &new, from, to));
                    // Six standard deviations of a count.
                    let allowed = 6.0 * (said * (1.0 - said) / KEYS as f64).sqrt() + 1e-9;
                    prop_assert!((done - said).abs() <= allowed, "{from}->{to}: {done} {said} {old:?} {new:?}");
                }
            }
        }
    }
}
