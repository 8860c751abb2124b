//! Who of a pool gets how many requests: by weight, by what they carry, by how they answer.

use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::after_millis;
use crate::kit::fleet::at_once;
use crate::kit::fleet::tally;
use crate::kit::fleet::who;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::origin::fixed;

#[test]
fn weights_are_taken_in_turn_and_not_in_rows() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    let edge = Setup { marks: vec!["weight = 5"], ..fleet.setup() }.balance("weighted").start();
    assert_eq!(who(edge.address, 21), "aabacaa".repeat(3));
}

#[test]
fn who_weighs_nothing_is_asked_when_all_others_are_gone() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = Setup { marks: vec!["weight = 0"], ..fleet.setup() }.balance("weighted").section(ADMIN).start();
    assert_eq!(who(edge.address, 10), "b".repeat(10));
    edge.order(fleet.addresses()[1], r#""state": "drain""#);
    assert_eq!(who(edge.address, 10), "a".repeat(10));
}

#[test]
fn shares_of_random_choices_are_those_of_chance() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(4);
    let edge = fleet.setup().balance("random").start();
    let tally = tally(&who(edge.address, 1_200), 4);
    // Five standard deviations of a binomial of 1 in 4.
    assert!(tally.iter().all(|count| (225..=375).contains(count)), "{tally:?}");
}

#[test]
fn a_weight_that_is_ordered_counts_at_once() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = fleet.setup().balance("weighted").section(ADMIN).start();
    let mut client = Client::connect(edge.address);
    let mut shares = || {
        let text: String = (0..40).map(|_| client.send(get("/")).response().unwrap().text()).collect();
        tally(&text, 2)
    };
    assert_eq!(shares(), [20, 20]);
    edge.order(fleet.addresses()[0], r#""state": "weight", "weight": 3"#);
    assert_eq!(shares(), [30, 10], "on a connection that was there before");
    edge.end_order(fleet.addresses()[0]);
    assert_eq!(shares(), [20, 20]);
}

#[test]
fn a_weight_that_is_ordered_moves_keys() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = fleet.setup().balance("hash").pool("hash_on = \"path\"").section(ADMIN).start();
    let mut client = Client::connect(edge.address);
    let mut owners =
        || -> Vec<String> { (0..120).map(|n| client.send(get(&format!("/{n}"))).response().unwrap().text()).collect() };
    let before = owners();
    edge.order(fleet.addresses()[0], r#""state": "weight", "weight": 9"#);
    let after = owners();
    let has = |owners: &[String]| owners.iter().filter(|owner| *owner == "a").count();
    assert!((35..=85).contains(&has(&before)) && (96..=119).contains(&has(&after)), "{} {}", has(&before), has(&after));
    assert!(before.iter().zip(&after).all(|(was, is)| is == "a" || was == is), "keys move to whom weighs more, only");
    edge.end_order(fleet.addresses()[0]);
    assert_eq!(owners(), before);
}

#[test]
fn the_least_busy_is_not_the_slow_one() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    fleet.mood(0, |_| Some(after_millis(400, "a")));
    for at in [1, 2] {
        let name = ["a", "b", "c"][at];
        fleet.mood(at, move |_| Some(after_millis(20, name)));
    }
    let edge = fleet.setup().balance("least_conn").start();
    at_once(9, |_| {
        let text = who(edge.address, 12);
        assert!(!text.contains('-'));
        ask(edge.address, get("/"))
    });
    let counts = fleet.counts();
    assert!(counts[0] * 3 < counts[1] && counts[0] * 3 < counts[2], "{counts:?}");
}

#[test]
fn of_two_the_slow_one_is_hardly_asked() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    fleet.mood(1, |_| Some(after_millis(100, "b")));
    let edge = fleet.setup().balance("p2c").start();
    let tally = tally(&who(edge.address, 300), 3);
    assert!(tally[1] <= 30 && tally[0] > 60 && tally[2] > 60, "{tally:?}");
}

#[test]
fn who_fails_fast_is_no_black_hole() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let failures = std::sync::atomic::AtomicUsize::new(0);
    // Too seldom for the breaker, and quicker than any good answer.
    fleet.mood(0, move |_| match failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 5 {
        0 | 1 => Some(fixed(503, "-")),
        _ => Some(after_millis(15, "a")),
    });
    fleet.mood(1, |_| Some(after_millis(15, "b")));
    let edge = fleet.setup().balance("p2c").start();
    at_once(4, |_| {
        who(edge.address, 60);
        ask(edge.address, get("/"))
    });
    let counts = fleet.counts();
    assert!(counts[0] * 2 < counts[1], "{counts:?}");
}
