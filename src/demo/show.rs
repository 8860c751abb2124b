//! The show: clients live, a region fails and returns, and whoever watches sees what comes of it.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::interval;
use tokio::time::interval_at;
use tokio::time::sleep_until;

use crate::demo::apps::Apps;
use crate::demo::clients::Met;
use crate::demo::clients::What;
use crate::demo::layout::DemoRegion;
use crate::demo::population::Client;
use crate::demo::population::countries;
use crate::demo::screen::ReaderGone;
use crate::demo::screen::Screen;
use crate::demo::story::Story;
use crate::demo::table;
use crate::demo::tally::Tally;
use crate::demo::tiers;
use crate::demo::tiers::Sight;
use crate::demo::tiers::State;
use crate::model::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::swap::Published;

/// The region that fails, by its place.
pub const FAILS: usize = 0;

/// How often we look at what the server believes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Probes see a failure within two seconds, and caches hold for two more; this is enough for either way.
pub const FAILS_AT_LEAST: Duration = Duration::from_secs(6);

/// Why a show is over before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Nobody reads any more.
    ReaderGone,
    /// A sentence for the person in front of the terminal.
    Failed(String),
}

impl From<ReaderGone> for Stop {
    fn from(_: ReaderGone) -> Self {
        Stop::ReaderGone
    }
}

/// What is shown.
pub struct Show<W> {
    regions: &'static [DemoRegion],
    clock: Clock,
    began: Moment,
    published: Arc<Published>,
    met: mpsc::Receiver<Met>,
    screen: Screen<W>,
    tally: Tally,
    story: Story,
    sights: Vec<Sight>,
    states: Vec<State>,
    clients: String,
}

impl<W: Write> Show<W> {
    /// Of these regions, whose clients tell what they meet.
    pub fn new(
        regions: &'static [DemoRegion],
        published: Arc<Published>,
        (clients, met): (&[Client], mpsc::Receiver<Met>),
        screen: Screen<W>,
        clock: Clock,
    ) -> Self {
        let world = published.load();
        let (sights, now) = (tiers::sights(&world, &regions[FAILS]), clock.now());
        let states = regions.iter().map(|region| tiers::of(&world, region).state).collect();
        Show {
            regions,
            clock,
            began: now,
            published,
            met,
            screen,
            tally: Tally::new(regions.len(), now),
            story: Story::new(regions, clients),
            sights,
            states,
            clients: format!("{} clients in {} countries", clients.len(), countries(clients)),
        }
    }

    /// Runs for as long as it is let; `apps` are those of the region that fails `after` so long, and again and again.
    ///
    /// # Errors
    /// Why it ended by itself.
    pub async fn run(&mut self, apps: &mut Apps, after: Duration) -> Result<Infallible, Stop> {
        let mut look = interval(LOOK_EVERY);
        let every = self.screen.look().every();
        let mut draw = interval_at(Instant::from_std(self.clock.instant(self.began + every)), every);
        let (mut has_failed, mut turn) = (false, Instant::from_std(self.clock.instant(self.began + after)));
        loop {
            tokio::select! {
                met = self.met.recv() => if let Some(met) = met { self.hear(met)? },
                _ = look.tick() => self.look()?,
                _ = draw.tick() => self.draw()?,
                () = sleep_until(turn) => {
                    self.catch_up()?;
                    has_failed = !has_failed;
                    if has_failed { self.fail(apps).await? } else { self.bring_back(apps).await? }
                    turn += after.max(FAILS_AT_LEAST);
                }
            }
        }
    }

    async fn fail(&mut self, apps: &mut Apps) -> Result<(), Stop> {
        let (now, DemoRegion { label, name, .. }) = (self.clock.now(), self.regions[FAILS]);
        let mut lines = vec![format!("--- {label} ({name}) fails: its applications refuse connections")];
        lines.extend(self.story.leaves(FAILS, &self.tally, now));
        self.say(now, lines)?;
        apps.fail().await;
        Ok(())
    }

    async fn bring_back(&mut self, apps: &mut Apps) -> Result<(), Stop> {
        let (now, DemoRegion { label, name, .. }) = (self.clock.now(), self.regions[FAILS]);
        let mut lines = self.story.returns(FAILS, &self.tally, now);
        lines.push(format!("--- {label} ({name}) is back"));
        self.say(now, lines)?;
        apps.resume().await.map_err(Stop::Failed)
    }

    /// Hears what clients have told so far.
    pub fn catch_up(&mut self) -> Result<(), ReaderGone> {
        while let Ok(met) = self.met.try_recv() {
            self.hear(met)?;
        }
        Ok(())
    }

    fn hear(&mut self, Met { client, at, what }: Met) -> Result<(), ReaderGone> {
        self.tally.count(&what, at);
        match what {
            What::SentTo(region) => {
                // The cause is told first.
                self.look()?;
                let lines = self.story.sent_to(client, region, at);
                self.say(at, lines)
            }
            What::Failed { why, .. } if self.tally.failed() <= FAILURES_TOLD_MAX => {
                self.say(at, vec![format!("    a request failed: {why}")])
            }
            _ => Ok(()),
        }
    }

    /// Says what the server believes now and did not believe before.
    fn look(&mut self) -> Result<(), ReaderGone> {
        let (world, now) = (self.published.load(), self.clock.now());
        let sights = tiers::sights(&world, &self.regions[FAILS]);
        let turned = sights.iter().zip(&self.sights).filter(|(now, before)| now != before);
        let words = |sight: &Sight| format!("    {} {}", sight.what, if sight.is_up { "up" } else { "down" });
        let mut lines: Vec<String> = turned.map(|(now, _)| words(now)).collect();
        self.sights = sights;
        for (at, region) in self.regions.iter().enumerate() {
            let state = tiers::of(&world, region).state;
            let before = std::mem::replace(&mut self.states[at], state);
            if before == state {
                continue;
            }
            lines.push(format!("    DNS: {} {}", region.name, state.words()));
            match (before, state) {
                (_, State::Drained) => lines.extend(self.story.leaves(at, &self.tally, now)),
                (State::Drained, State::Up) => lines.extend(self.story.returns(at, &self.tally, now)),
                _ => {}
            }
        }
        self.say(now, lines)
    }

    fn draw(&mut self) -> Result<(), ReaderGone> {
        let (world, now) = (self.published.load(), self.clock.now());
        let tiers: Vec<_> = self.regions.iter().map(|region| tiers::of(&world, region)).collect();
        let figures = self.tally.figures(now);
        let mut lines = vec![String::new()];
        lines.extend(table::lines(self.regions, &tiers, &figures, self.screen.look().colour));
        let rate: f64 = figures.iter().map(|figures| figures.rate).sum();
        lines.push(format!(
            "{:.0}s: {}, {rate:.0} requests/s; {} answered, {} failed",
            now.since(self.began).as_secs_f64(),
            self.clients,
            self.tally.answered(),
            self.tally.failed()
        ));
        if !self.screen.look().is_live {
            lines.push(String::new());
        }
        self.screen.show(lines)
    }

    fn say(&mut self, at: Moment, lines: Vec<String>) -> Result<(), ReaderGone> {
        if lines.is_empty() {
            return Ok(());
        }
        let seconds = at.since(self.began).as_secs_f64();
        let stamped: Vec<String> = lines.iter().map(|line| format!("{seconds:6.1}s {line}")).collect();
        self.screen.say(&stamped)
    }

    /// The table as it is at the end, and what came of it all.
    pub fn sum_up(&mut self) -> Result<(), ReaderGone> {
        self.draw()?;
        self.screen.settle();
        let seconds = self.clock.now().since(self.began).as_secs_f64();
        let line = format!("the demo ends after {seconds:.1} s: {}", self.tally.words());
        self.screen.say(&[String::new(), line])
    }

    /// That requests failed, if they did.
    pub fn verdict(&self) -> Result<(), String> {
        self.tally.verdict()
    }
}

/// After so many, the table says enough.
const FAILURES_TOLD_MAX: u64 = 20;
