//! Backups, panic, slow start and health checks: who of a pool is asked when not everyone is well.

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::tally;
use crate::kit::fleet::who;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::origin::fixed;

const DOWN: &str = r#""state": "down""#;
const DRAIN: &str = r#""state": "drain""#;
const PANIC: &str = r#"rhumb_proxy_pool_panic{pool="origin"}"#;

/// Probes often, so that standings turn within a second.
const PROBED: &str = "[health_check.quick]\ntype = \"http\"\npath = \"/up\"\ninterval = \"500ms\"\nfast = \"50ms\"\n\
                      timeout = \"500ms\"\nfall = 2\nrise = 2\n";

#[test]
fn failover_takes_the_first_that_is_up() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    let edge = fleet.setup().balance("failover").pool("panic = 0").section(ADMIN).start();
    assert_eq!(who(edge.address, 5), "aaaaa");
    edge.order(fleet.addresses()[0], DOWN);
    assert_eq!(who(edge.address, 5), "bbbbb");
    edge.order(fleet.addresses()[1], DRAIN);
    assert_eq!(who(edge.address, 5), "ccccc");
    edge.end_order(fleet.addresses()[0]);
    assert_eq!(who(edge.address, 5), "aaaaa");
}

#[test]
fn backups_take_what_the_others_cannot_carry() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(5);
    let marks = vec!["", "", "", "", "backup = true"];
    let edge = Setup { marks, ..fleet.setup() }.balance("weighted").section(ADMIN).start();
    let to_backup = |requests| tally(&who(edge.address, requests), 5)[4];
    assert_eq!(to_backup(100), 0);
    edge.order(fleet.addresses()[0], DOWN);
    assert_eq!(to_backup(100), 0, "three of four carry everything");
    edge.order(fleet.addresses()[1], DOWN);
    // Half times 1.4 is 0.7; the rest of 600 is 180, give or take five standard deviations.
    let spilt = to_backup(600);
    assert!((124..=236).contains(&spilt), "{spilt}");
    edge.order(fleet.addresses()[2], DOWN);
    edge.order(fleet.addresses()[3], DOWN);
    assert_eq!(to_backup(50), 50);
    assert_eq!(edge.metric(PANIC), 0.0, "a backup that lives is no reason to panic");
}

#[test]
fn too_few_are_up_and_all_are_used_but_the_drained() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(5);
    let edge = fleet.setup().section(ADMIN).start();
    edge.order(fleet.addresses()[4], DRAIN);
    edge.order(fleet.addresses()[0], DOWN);
    edge.order(fleet.addresses()[1], DOWN);
    let tally_of = |requests| tally(&who(edge.address, requests), 5);
    assert_eq!(tally_of(40), [0, 0, 20, 20, 0], "half of four is enough");
    assert_eq!(edge.metric(PANIC), 0.0);
    edge.order(fleet.addresses()[2], DOWN);
    assert_eq!(tally_of(40), [10, 10, 10, 10, 0]);
    assert_eq!(edge.metric(PANIC), 1.0);
    edge.end_order(fleet.addresses()[2]);
    assert_eq!(tally_of(40), [0, 0, 20, 20, 0]);
    assert_eq!(edge.metric(PANIC), 0.0);
}

#[test]
fn nobody_is_up_and_without_panic_nobody_is_asked() {
    if only_for_rhumb() {
        return;
    }
    for (panic, status) in [("0%", 503), ("50%", 200)] {
        let fleet = Fleet::of(2);
        let edge = fleet.setup().pool(&format!("panic = \"{panic}\"")).section(ADMIN).start();
        fleet.addresses().into_iter().for_each(|endpoint| edge.order(endpoint, DOWN));
        assert_eq!(ask(edge.address, get("/")).unwrap().status, status, "panic at {panic}");
        assert_eq!(fleet.counts().iter().sum::<usize>(), usize::from(status == 200));
    }
}

#[test]
fn all_are_drained_and_nobody_is_asked_in_panic_either() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = fleet.setup().section(ADMIN).start();
    fleet.addresses().into_iter().for_each(|endpoint| edge.order(endpoint, DRAIN));
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 503);
    assert_eq!(fleet.counts(), [0, 0]);
}

#[test]
fn who_comes_back_starts_with_a_tenth() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = fleet.setup().pool("slow_start = \"4s\"").section(ADMIN).start();
    assert_eq!(tally(&who(edge.address, 20), 2), [10, 10], "not at the start of the process");
    edge.order(fleet.addresses()[0], DOWN);
    assert_eq!(tally(&who(edge.address, 20), 2), [0, 20]);
    edge.end_order(fleet.addresses()[0]);
    let first = tally(&who(edge.address, 22), 2)[0];
    assert!((1..=6).contains(&first), "{first} of 22 at first");
    assert!(poll(PATIENCE, || tally(&who(edge.address, 20), 2) == [10, 10]), "and grows to its whole share");
}

#[test]
fn probes_take_an_endpoint_out_and_bring_it_back() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = fleet.setup().pool("health_check = \"quick\"\npanic = 0\nslow_start = \"30s\"").section(PROBED).start();
    let unwell = |at: usize| fleet.mood(at, |taken| (taken.target() == "/up").then(|| fixed(503, "")));
    assert_eq!(tally(&who(edge.address, 20), 2), [10, 10]);
    unwell(0);
    assert!(poll(PATIENCE, || who(edge.address, 10) == "bbbbbbbbbb"), "its requests pass, its probes do not");
    unwell(1);
    assert!(poll(PATIENCE, || ask(edge.address, get("/")).unwrap().status == 503));
    fleet.mood(1, |_| None);
    assert!(poll(PATIENCE, || ask(edge.address, get("/")).unwrap().text() == "b"));
    fleet.mood(0, |_| None);
    assert!(poll(PATIENCE, || fleet_takes(&fleet, 0, || drop(who(edge.address, 20)))), "it is asked again");
    let share = tally(&who(edge.address, 60), 2);
    assert!(share[0] + share[1] == 60 && share[0] < 30 + 5, "{share:?}");
}

/// Whether one has had requests meanwhile that are no probes.
fn fleet_takes(fleet: &Fleet, at: usize, then: impl FnOnce()) -> bool {
    let asked = || fleet.origins[at].requests().iter().filter(|taken| taken.target() != "/up").count();
    let before = asked();
    then();
    asked() > before
}
