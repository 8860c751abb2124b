//! A seed is a bad day for the whole path: clients with caches, answers of DNS, L7 and L4 listeners and applications in three regions,
//! in virtual time and without a socket, and laws that hold for every answer and every request.
//!
//! Applications die, hang, flap, or refuse clients while they pass their probes; nodes and regions vanish; operators drain; a reload
//! adds and removes endpoints. Everything that decides is what serves: the ledger and its table, the decision of DNS,
//! `regional` and `balance`. A failure prints its seed; `RHUMB_SEED=17 cargo test --test whole_path` plays that day alone.

mod clients;
mod dice;
mod layout;
#[path = "../play/mod.rs"]
mod play;
mod tiers;
mod world;

use std::time::Duration;

use dice::Dice;
use world::World;

/// Days played in every run.
const SEEDS: u64 = 20;
/// What happens in a day.
const STEPS: usize = 50;
/// After the longest rest, everybody was tried again.
const SETTLES_WITHIN: Duration = Duration::from_secs(400);

fn day(seed: u64) -> World {
    let mut dice = Dice(seed);
    let mut world = World::start(&mut dice, seed);
    for _ in 0..STEPS {
        let said = world.happen(&mut dice);
        remember(format!("{:>9.3}s {said}", world.play.seconds()));
        let lasts = Duration::from_millis(dice.roll(16_000));
        world.run_for(lasts, &mut dice);
    }
    remember(format!("{:>9.3}s all is well", world.play.seconds()));
    world.mend();
    world.run_for(SETTLES_WITHIN, &mut dice);
    world.is_settled(&mut dice);
    world
}

/// Kept for the case that a law is broken.
fn remember(line: String) {
    LAST.with(|last| last.borrow_mut().push(line));
}

thread_local! {
    static LAST: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn clients_are_served_on_bad_days() {
    let seeds = match std::env::var("RHUMB_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let mut counted = world::Counted::default();
    for seed in seeds {
        LAST.with(|last| last.borrow_mut().clear());
        match std::panic::catch_unwind(|| day(seed).counted) {
            Ok(of_day) => counted.add(&of_day),
            Err(panic) => {
                let diary = LAST.with(|last| last.borrow().clone());
                let recent = diary[diary.len().saturating_sub(12)..].join("\n");
                eprintln!("what happened last:\n{recent}\nRHUMB_SEED={seed} cargo test --test whole_path");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{counted:?}");
    // A day on which nothing is sent on, tried again or refused shows nothing.
    assert!(counted.served > 0 && counted.sent_on > 0 && counted.failed > 0 && counted.ejections > 0, "{counted:?}");
}
