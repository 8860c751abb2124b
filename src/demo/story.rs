//! The account of a region that leaves and returns, because it fails or is drained: who moves, when, and what it costs. It is told
//! things in the order in which they happen, and says what is worth a line.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::demo::layout::DemoRegion;
use crate::demo::population::Client;
use crate::demo::population::STALE_FOR;
use crate::demo::tally::Tally;
use crate::model::Moment;

/// The account.
#[derive(Debug)]
pub struct Story {
    regions: &'static [DemoRegion],
    clients: Vec<Seat>,
    /// One for each region.
    chapters: Vec<Chapter>,
}

/// Where DNS has sent a client last.
#[derive(Debug)]
struct Seat {
    at: Option<usize>,
    keeps_to_ttl: bool,
}

#[derive(Debug)]
enum Chapter {
    /// Nothing happens.
    Calm,
    /// The region is gone, and its clients move away.
    Away(Move),
    /// It is back, and they return.
    Home(Move),
}

/// Clients that are about to move.
#[derive(Debug)]
struct Move {
    began: Moment,
    /// Those still to come, of those whose resolvers keep to the TTL.
    waiting: BTreeSet<usize>,
    moved: BTreeSet<usize>,
    first: Option<Duration>,
    last: Option<Duration>,
    /// The tally at the beginning: answered, carried, failed.
    before: [u64; 3],
}

impl Move {
    fn of(waiting: BTreeSet<usize>, tally: &Tally, now: Moment) -> Self {
        let (moved, before) = (BTreeSet::new(), counts(tally));
        Move { began: now, waiting, moved, first: None, last: None, before }
    }

    /// One of them has moved; whether that was the first, and whether the last.
    fn moves(&mut self, client: usize, now: Moment) -> (bool, bool) {
        if !self.waiting.remove(&client) {
            return (false, false);
        }
        self.moved.insert(client);
        let after = now.since(self.began);
        let is_first = self.first.is_none();
        self.first.get_or_insert(after);
        if self.waiting.is_empty() {
            self.last = Some(after);
        }
        (is_first, self.waiting.is_empty())
    }

    /// `first after 1.4s, last after 3.2s`.
    fn times(&self) -> String {
        match (self.first, self.last, self.waiting.len()) {
            (None, _, 0) => "there were none".to_owned(),
            (None, ..) => "none so far".to_owned(),
            (Some(first), Some(last), _) => format!("the first after {}, the last after {}", said(first), said(last)),
            (Some(first), None, left) => format!("the first after {}, {left} still to come", said(first)),
        }
    }
}

fn said(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

fn counts(tally: &Tally) -> [u64; 3] {
    [tally.answered(), tally.carried(), tally.failed()]
}

impl Story {
    /// Of these regions and clients, before anything was asked.
    pub fn new(regions: &'static [DemoRegion], clients: &[Client]) -> Self {
        let seat = |client: &Client| Seat { at: None, keeps_to_ttl: client.keeps_for.is_zero() };
        let chapters = regions.iter().map(|_| Chapter::Calm).collect();
        Story { regions, clients: clients.iter().map(seat).collect(), chapters }
    }

    /// A region is gone from now on.
    pub fn leaves(&mut self, region: usize, tally: &Tally, now: Moment) -> Vec<String> {
        let home = |keeps: bool| {
            let of = self.clients.iter().enumerate();
            let of = of.filter(move |(_, client)| client.at == Some(region) && client.keeps_to_ttl == keeps);
            of.map(|(client, _)| client).collect::<BTreeSet<_>>()
        };
        let (waiting, stale) = (home(true), home(false).len());
        let line = format!(
            "    {} has {} clients; {stale} more have resolvers that keep answers {STALE_FOR:?} too long",
            self.regions[region].label,
            waiting.len()
        );
        self.chapters[region] = Chapter::Away(Move::of(waiting, tally, now));
        vec![line]
    }

    /// It is there again.
    pub fn returns(&mut self, region: usize, tally: &Tally, now: Moment) -> Vec<String> {
        let chapter = &mut self.chapters[region];
        let Chapter::Away(away) = chapter else { return Vec::new() };
        let [answered, carried, failed] = counts(tally);
        let line = format!(
            "    {} was away for {}; clients moved: {}; of {} requests {} were forwarded to another region, and {} failed",
            self.regions[region].label,
            said(now.since(away.began)),
            away.times(),
            answered - away.before[0],
            carried - away.before[1],
            failed - away.before[2],
        );
        *chapter = Chapter::Home(Move::of(std::mem::take(&mut away.moved), tally, now));
        vec![line]
    }

    /// DNS sends a client to that region.
    pub fn sent_to(&mut self, client: usize, to: usize, now: Moment) -> Vec<String> {
        let Some(seat) = self.clients.get_mut(client) else { return Vec::new() };
        seat.at = Some(to);
        let mut lines = Vec::new();
        for (region, chapter) in self.chapters.iter_mut().enumerate() {
            let label = self.regions[region].label;
            match chapter {
                Chapter::Away(away) if to != region => {
                    let (is_first, is_last) = away.moves(client, now);
                    if is_first {
                        lines.push(format!(
                            "    DNS sends the first of {label}'s clients to {}",
                            self.regions[to].label
                        ));
                    }
                    if is_last {
                        lines.push(format!("    all {} have left {label}: {}", away.moved.len(), away.times()));
                    }
                }
                Chapter::Home(home) if to == region => {
                    let (is_first, is_last) = home.moves(client, now);
                    if is_first {
                        lines.push(format!("    DNS sends the first of them back to {label}"));
                    }
                    if is_last {
                        lines.push(format!("    all {} are back in {label}: {}", home.moved.len(), home.times()));
                    }
                }
                _ => {}
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clients::What;
    use crate::demo::layout::REGIONS;

    const START: Moment = Moment::from_secs(1_000);

    fn at(tenths: u64) -> Moment {
        START + Duration::from_millis(100 * tenths)
    }

    #[test]
    fn a_region_fails_and_returns() {
        let client = |keeps_for| Client { network: ([192, 0, 2, 0].into(), 24), country: None, keeps_for };
        let clients = [client(Duration::ZERO), client(Duration::ZERO), client(STALE_FOR), client(Duration::ZERO)];
        let mut story = Story::new(&REGIONS[..3], &clients);
        let mut tally = Tally::new(3, START);
        for (client, region) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
            assert_eq!(story.sent_to(client, region, START), Vec::<String>::new());
        }
        assert_eq!(
            story.leaves(0, &tally, at(0)),
            ["    Frankfurt has 2 clients; 1 more have resolvers that keep answers 15s too long"]
        );
        assert_eq!(story.sent_to(3, 1, at(1)), Vec::<String>::new(), "it was there before");
        tally.count(&What::Answered { asked: 0, by: 1, took: Duration::ZERO }, at(2));
        tally.count(&What::Answered { asked: 1, by: 1, took: Duration::ZERO }, at(2));
        assert_eq!(story.sent_to(1, 1, at(14)), ["    DNS sends the first of Frankfurt's clients to Ashburn"]);
        assert_eq!(story.sent_to(1, 1, at(20)), Vec::<String>::new());
        let said = story.sent_to(0, 2, at(32));
        assert_eq!(said, ["    all 2 have left Frankfurt: the first after 1.4s, the last after 3.2s"]);
        assert_eq!(
            story.returns(0, &tally, at(60)),
            [
                "    Frankfurt was away for 6.0s; clients moved: the first after 1.4s, the last after 3.2s; of 2 requests 1 were \
              forwarded to another region, and 0 failed"
            ]
        );
        assert_eq!(story.returns(0, &tally, at(61)), Vec::<String>::new(), "it is back already");
        assert_eq!(story.sent_to(0, 0, at(72)), ["    DNS sends the first of them back to Frankfurt"]);
        let said = story.sent_to(1, 0, at(80));
        assert_eq!(said, ["    all 2 are back in Frankfurt: the first after 1.2s, the last after 2.0s"]);
    }
}
