//! Plays the scripts of `tests/scenarios/`: a configuration, then lines of `at TIME STEP`.
//!
//! Time 0 is when the server says ready, or when the process starts where the script says `from the start`. Every script
//! is played under several seeds, which move each probe within its schedule: what a script says must hold for all.
//!
//! | step | meaning |
//! |---|---|
//! | `query NAME TYPE from ADDRESS -> ORIGINS [ttl N \| ttl at most N]` | the answer, in any order; `nodata`, `servfail` |
//! | `origin NAME… passes \| fails \| hangs` | how it takes probes from now on |
//! | `probe NAME has failed \| passed N times` | at least so many in a row, to this moment |
//! | `standing NAME unknown \| up \| down` | what is observed |
//! | `turned NAME N times` | how often its standing turned since the process started |
//! | `pool NAME up \| down \| withdrawn` | |
//! | `order drain \| maint \| up \| down SUBJECT [in DURATION] [for DURATION]`, `order nothing SUBJECT` | `pool/web`, `endpoint/web/192.0.2.1` |
//! | `eject NAME for DURATION`, `readmit NAME` | a proxy's requests to it fail; the one that tried it passed |
//! | `counts NAME WORD` | what counts of it: `up`, `ejected`, `drain`… |
//! | `suspects itself`, `trusts itself` | whether failures turn nothing down, because nearly all fail at once |
//! | `reload [CONFIG]` | another configuration, or an equal one, which may change nothing |
//! | `restart [after DURATION]` | the process ends, saves its state and starts again |
//! | `ready`, `not ready` | whether the first round is over |

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rhumb::health::ejection::Ejection;
use rhumb::health::forced::{Change, Order};
use rhumb::health::standings::EndpointKey;
use rhumb::model::{EndpointId, Family, Model, Moment, PoolId, VipId};
use rhumb::steering::Verdict;

mod play;

use play::{Mood, Play, START};

/// Each script is played under so many seeds.
const SEEDS: u64 = 20;

struct Script {
    configs: HashMap<String, Arc<Model>>,
    names: HashMap<String, IpAddr>,
    from_the_start: bool,
    steps: Vec<(usize, Duration, Vec<String>)>,
}

#[test]
fn every_script_holds_under_every_seed() {
    let mut failures = Vec::new();
    let mut files: Vec<_> = fs::read_dir("tests/scenarios").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    for file in files {
        let script = Script::read(&fs::read_to_string(&file).unwrap());
        for seed in 0..SEEDS {
            if let Err((line, fact)) = script.play(seed) {
                failures.push(format!("{}:{line}: {fact} (seed {seed})", file.display()));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let number: f64 = digits.parse().unwrap_or_else(|_| panic!("no duration: {text}"));
    match &text[digits.len()..] {
        "ms" => Duration::from_secs_f64(number / 1000.0),
        "s" => Duration::from_secs_f64(number),
        "m" => Duration::from_secs_f64(number * 60.0),
        "h" => Duration::from_secs_f64(number * 3600.0),
        unit => panic!("no unit: {unit}"),
    }
}

impl Script {
    fn read(text: &str) -> Script {
        let mut script =
            Script { configs: HashMap::new(), names: HashMap::new(), from_the_start: false, steps: Vec::new() };
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let words: Vec<String> = line.split('#').next().unwrap().split_whitespace().map(str::to_owned).collect();
            match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                [] => {}
                ["config", name @ ..] => {
                    let toml: Vec<&str> =
                        lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "end").collect();
                    script.configs.insert(name.concat(), play::model(&toml.join("\n")));
                }
                ["name", name, address] => drop(script.names.insert((*name).into(), address.parse().unwrap())),
                ["from", "the", "start"] => script.from_the_start = true,
                ["at", time, ..] => script.steps.push((number + 1, duration(time), words[2..].to_vec())),
                _ => panic!("line {}: what is `{line}`?", number + 1),
            }
        }
        script
    }

    /// Plays it; an error is the line and what was found there.
    fn play(&self, seed: u64) -> Result<(), (usize, String)> {
        let mut play = Play::start(&self.configs[""], seed);
        if !self.from_the_start {
            play.run_first_round();
        }
        let zero = if self.from_the_start { START } else { play.now };
        for (line, at, words) in &self.steps {
            play.run_until(zero + *at);
            self.step(&mut play, words).map_err(|fact| (*line, format!("`{}`: {fact}", words.join(" "))))?;
        }
        Ok(())
    }

    fn step(&self, play: &mut Play, words: &[String]) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["query", name, qtype, "from", client, "->", expected @ ..] => {
                self.query(play, name, qtype, client.parse().unwrap(), expected)
            }
            ["origin", names @ .., mood] => {
                let mood = match *mood {
                    "passes" => Mood::Passes,
                    "fails" => Mood::Fails,
                    "hangs" => Mood::Hangs,
                    other => panic!("no mood: {other}"),
                };
                names.iter().for_each(|name| play.set_mood(self.names[*name], mood));
                Ok(())
            }
            ["probe", name, "has", verdict, count, "times" | "time"] => {
                let belief = play.ledger.belief(self.endpoint(play, name));
                let last = belief.last().ok_or("it was never probed")?;
                let found = (if last.result.passed { "passed" } else { "failed" }, last.in_a_row);
                let right = found.0 == *verdict && found.1 >= count.parse().unwrap();
                right.then_some(()).ok_or(format!("it has {} {} times", found.0, found.1))
            }
            ["standing", name, expected] => {
                is(play.ledger.belief(self.endpoint(play, name)).standing().words(), expected)
            }
            ["turned", name, count, "times" | "time"] => {
                let ending = format!("/{}", self.names[*name]);
                let turns = play.ledger.journal().read(0).filter(|(_, turn)| turn.name.ends_with(&ending));
                // How it was found at first is no turn.
                is(&turns.filter(|(_, turn)| turn.from != "unknown").count().to_string(), count)
            }
            ["pool", name, expected] => {
                let pools = &play.ledger.model().pools;
                let pool = PoolId::from(pools.iter().position(|pool| pool.name == *name).expect("a pool of that name"));
                let pool = play.ledger.table().pool(pool);
                is(
                    if pool.withdrawn {
                        "withdrawn"
                    } else if pool.usable {
                        "up"
                    } else {
                        "down"
                    },
                    expected,
                )
            }
            ["order", order, subject, lasts @ ..] => {
                let order = match *order {
                    "drain" => Some(Order::Drain),
                    "maint" => Some(Order::Maint),
                    "up" => Some(Order::Up),
                    "down" => Some(Order::Down),
                    "nothing" => None,
                    other => panic!("no order: {other}"),
                };
                let said = |word: &str| {
                    let at = lasts.iter().position(|said| *said == word)?;
                    Some(duration(lasts[at + 1]))
                };
                let Some(order) = order else {
                    play.order(subject, None, None);
                    return Ok(());
                };
                let forced = play.papers(order, said("in").unwrap_or_default(), said("for"));
                play.change(subject, Change::Set(forced));
                Ok(())
            }
            ["eject", name, "for", time] => {
                let (since, until) = (play.now, play.now + duration(time));
                let ejection = Ejection { since, until, reason: "5 failures in a row (connect refused)".into() };
                let key = EndpointKey::of(play.ledger.model(), self.endpoint(play, name));
                let _ = play.ledger.ejected(&key, ejection, play.now);
                Ok(())
            }
            ["readmit", name] => {
                let key = EndpointKey::of(play.ledger.model(), self.endpoint(play, name));
                let _ = play.ledger.readmitted(&key, play.now, play.now);
                Ok(())
            }
            ["counts", name, expected] => is(play.ledger.belief(self.endpoint(play, name)).effective(), expected),
            ["reload"] => {
                let (standings, table) = (play.ledger.standings().clone(), play.ledger.table().clone());
                let equal = Arc::new(Model::clone(play.ledger.model()));
                play.reload(&equal);
                let same = *play.ledger.standings() == standings && *play.ledger.table() == table;
                same.then_some(()).ok_or("an equal configuration changed a belief".into())
            }
            ["reload", config] => {
                play.reload(&self.configs[*config]);
                Ok(())
            }
            ["restart", away @ ..] => {
                play.restart(away.last().map_or(Duration::ZERO, |text| duration(text)));
                Ok(())
            }
            ["suspects", "itself"] => play.ledger.suspicion().map(|_| ()).ok_or("it does not".into()),
            ["trusts", "itself"] => match play.ledger.suspicion() {
                None => Ok(()),
                Some(suspicion) => Err(format!("it does not: {suspicion:?}")),
            },
            ["ready"] => play.ledger.first_round_done().then_some(()).ok_or("it is not".into()),
            ["not", "ready"] => (!play.ledger.first_round_done()).then_some(()).ok_or("it is".into()),
            _ => panic!("what is `{}`?", words.join(" ")),
        }
    }

    fn query(&self, play: &mut Play, name: &str, qtype: &str, from: IpAddr, expected: &[&str]) -> Result<(), String> {
        let vips = &play.ledger.model().vips;
        let vip = vips.iter().position(|vip| vip.name.trim_end_matches('.') == name).expect("a VIP of that name");
        let family = if qtype == "AAAA" { Family::V6 } else { Family::V4 };
        let decision = play.query(VipId::from(vip), family, from);
        let found: BTreeSet<&str> = match decision.verdict {
            Verdict::NoData => BTreeSet::from(["nodata"]),
            Verdict::ServFail => BTreeSet::from(["servfail"]),
            Verdict::Answer if decision.endpoints().is_empty() => BTreeSet::from(["nodata"]),
            Verdict::Answer => decision.endpoints().iter().map(|id| self.name_of(play.plan.address(*id))).collect(),
        };
        let (names, ttl) = match expected {
            [names @ .., "ttl", ttl] => (names, Some((ttl.parse::<u32>().unwrap(), false))),
            [names @ .., "ttl", "at", "most", ttl] => (names, Some((ttl.parse().unwrap(), true))),
            names => (names, None),
        };
        let right_ttl = ttl.is_none_or(|(ttl, at_most)| decision.ttl == ttl || at_most && decision.ttl < ttl);
        if found == names.iter().copied().collect() && right_ttl {
            return Ok(());
        }
        let found: Vec<&str> = found.into_iter().collect();
        Err(format!("it is {} ttl {} ({:?})", found.join(" "), decision.ttl, decision.reason))
    }

    fn endpoint(&self, play: &Play, name: &str) -> EndpointId {
        let address = self.names.get(name).unwrap_or_else(|| panic!("no name {name}"));
        let endpoints = &play.ledger.model().endpoints;
        EndpointId::from(endpoints.iter().position(|endpoint| endpoint.address == *address).expect("it is configured"))
    }

    fn name_of(&self, address: IpAddr) -> &str {
        self.names.iter().find(|(_, known)| **known == address).map_or("?", |(name, _)| name)
    }
}

fn is(found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("it is {found}")) }
}

/// A script that is wrong must not pass.
#[test]
fn a_wrong_script_fails_at_its_line() {
    let text =
        fs::read_to_string("tests/scenarios/failover.txt").unwrap().replace("-> ams-1 ttl 20", "-> fra-1 ttl 20");
    let (line, fact) = Script::read(&text).play(0).unwrap_err();
    assert!(text.lines().nth(line - 1).unwrap().contains("-> fra-1 ttl 20"));
    assert!(fact.contains("it is ams-1 ttl 20"), "{fact}");
    assert!(Moment::default() < START);
}
