//! The demo: three tiers of several regions on loopback, clients all over the world, and a region that fails.
//!
//! Nothing here is special to the demo but the applications and the clients. In between is a real server: it reads a configuration
//! from a folder, probes over the network, and answers and forwards on sockets, as `rhumb serve` would.

pub mod apps;
pub mod ask;
pub mod clients;
pub mod configuration;
pub mod folder;
pub mod introduction;
pub mod layout;
pub mod population;
pub mod screen;
pub mod show;
pub mod story;
pub mod table;
pub mod tally;
pub mod tiers;

use std::io::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::daemon::Daemon;
use crate::daemon::StartError;
use crate::demo::apps::Apps;
use crate::demo::clients::Surroundings;
use crate::demo::configuration::configuration;
use crate::demo::folder::Folder;
use crate::demo::introduction::Place;
use crate::demo::layout::DemoRegion;
use crate::demo::layout::REGIONS;
use crate::demo::population::Client;
use crate::demo::screen::Look;
use crate::demo::screen::Screen;
use crate::demo::show::FAILS;
use crate::demo::show::FAILS_AT_LEAST;
use crate::demo::show::Show;
use crate::demo::show::Stop;
use crate::runtime::clock::Clock;
use crate::runtime::swap::Published;
use crate::server::dice::Dice;

/// What the demo is asked for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// How many regions, 2 to 6.
    pub regions: usize,
    /// When the first region fails, and how long it stays so.
    pub fail_after: Duration,
    /// When the demo ends by itself.
    pub ends_after: Option<Duration>,
    /// Where DNS is served; port 0 takes any.
    pub listen: SocketAddr,
    /// The port of edges, zones and applications; 0 takes any that is free on all their addresses.
    pub port: u16,
    /// Requests a second, of all clients together.
    pub rate: u32,
    /// Run the applications and nothing else.
    pub apps_only: bool,
    /// Where configuration, zone and database are left; a folder that goes away with the demo unless told.
    pub write: Option<PathBuf>,
    /// How to print.
    pub look: Look,
}

/// Ports tried when none is asked for.
const PORTS: RangeInclusive<u16> = 8080..=8179;
/// What clients have met and nobody has heard yet; they wait when it is more.
const MET_MAX: usize = 1024;
/// The server probes its own tiers before they serve, so they are up a little later; a machine that is busy takes longer.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Runs the demo until it has ended or the process is told to stop.
///
/// # Errors
/// A sentence for the person in front of the terminal.
pub async fn run(wishes: Wishes) -> Result<(), String> {
    // From the beginning, so that the folder goes away when Ctrl-C comes before the first round of probes is over.
    let told_to_stop = crate::runtime::signals::terminated();
    tokio::pin!(told_to_stop);
    let regions = &REGIONS[..wishes.regions.clamp(2, REGIONS.len())];
    let screen = Screen::new(std::io::stdout(), wishes.look);
    if wishes.apps_only {
        return run_apps(regions, &wishes, screen, told_to_stop).await;
    }
    let mut folder = Folder::make(wishes.write.as_deref())?;
    let (port, mut apps) = apps::start_all(regions, wishes.ports(), true).await?;
    folder.write(&configuration(regions, wishes.listen, port))?;
    let config = folder.config();
    let daemon = tokio::select! {
        daemon = started(&config) => daemon?,
        () = &mut told_to_stop => return Ok(()),
    };
    folder.keep();
    let verdict = perform(&wishes, (regions, port), &daemon, &folder, &mut apps[FAILS], screen, told_to_stop).await;
    // Connections between the tiers end with the applications, and nobody has to wait for them.
    for apps in &mut apps {
        apps.fail().await;
    }
    daemon.stop().await;
    verdict
}

impl Wishes {
    fn ports(&self) -> RangeInclusive<u16> {
        if self.port == 0 { PORTS } else { self.port..=self.port }
    }
}

/// The applications and nothing else.
async fn run_apps<W: Write>(
    regions: &[DemoRegion],
    wishes: &Wishes,
    mut screen: Screen<W>,
    told_to_stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let (port, _apps) = apps::start_all(regions, wishes.ports(), false).await?;
    let line = format!("the applications of {} regions answer on port {port}; Ctrl-C ends them", regions.len());
    if screen.say(&[line]).is_ok() {
        tokio::select! { () = end_of(wishes.ends_after) => {}, () = told_to_stop => {} }
    }
    Ok(())
}

/// The show, from the introduction to the last word.
async fn perform<W: Write>(
    wishes: &Wishes,
    (regions, port): (&'static [DemoRegion], u16),
    daemon: &Daemon,
    folder: &Folder,
    failing: &mut Apps,
    mut screen: Screen<W>,
    told_to_stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let dns = daemon.dns().first().copied().ok_or("the demo listens nowhere")?;
    let (socket, program) = (folder.socket(), std::env::args().next());
    let program = program.as_deref().unwrap_or("rhumb");
    let place = Place { regions, dns, port, socket: &socket, admin: daemon.admin_http(), program };
    if screen.say(&introduction(&place, wishes)).is_err() {
        return Ok(());
    }
    let (told, met) = mpsc::channel(MET_MAX);
    let (clock, published) = (Clock::start(), daemon.published());
    let population = population::draw(regions, &published.load().snapshot.atlas, &mut Dice::new());
    let mut show = Show::new(regions, published.clone(), (&population, met), screen, clock);
    let lives = begin(population, &Surroundings { regions, dns, port, clock, told }, wishes.rate);
    let ended = tokio::select! {
        Err(stop) = show.run(failing, wishes.fail_after) => Ended::Stopped(stop),
        () = end_of(wishes.ends_after) => Ended::InTime,
        () = told_to_stop => Ended::Told,
    };
    drop(lives);
    conclude(&mut show, ended)
}

/// The server, once all its tiers are up.
async fn started(config: &Path) -> Result<Daemon, String> {
    let explained = |error: StartError| format!("the demo's server did not start: {error}");
    let daemon = Daemon::start(config).await.map_err(explained)?;
    daemon.ready().await;
    // Whatever is not up by then is shown in the table.
    let _ = timeout(UP_WITHIN, all_up(daemon.published())).await;
    Ok(daemon)
}

async fn all_up(published: &Arc<Published>) {
    let mut look = interval(Duration::from_millis(50));
    while !tiers::all_up(&published.load()) {
        look.tick().await;
    }
}

/// Sends the clients on their ways; dropped, all of them end.
fn begin(population: Vec<Client>, around: &Surroundings, rate: u32) -> JoinSet<()> {
    let every = Duration::from_secs(1) * population.len() as u32 / rate.max(1);
    let count = population.len().max(1) as u32;
    let mut lives = JoinSet::new();
    for (number, client) in population.into_iter().enumerate() {
        // Evenly spread, and neighbours in the list are near one another.
        let begins_in = every * number as u32 / count;
        lives.spawn(clients::live(number, client, around.clone(), begins_in, every));
    }
    lives
}

/// Why the show is over.
enum Ended {
    InTime,
    Told,
    Stopped(Stop),
}

/// Says what came of it. Who has ended it by hand has seen enough, and needs no verdict.
fn conclude<W: Write>(show: &mut Show<W>, ended: Ended) -> Result<(), String> {
    let said = show.catch_up().and_then(|()| show.sum_up());
    match ended {
        Ended::Stopped(Stop::Failed(why)) => Err(why),
        Ended::InTime if said.is_ok() => show.verdict(),
        _ => Ok(()),
    }
}

fn introduction(place: &Place<'_>, wishes: &Wishes) -> Vec<String> {
    let DemoRegion { label, .. } = place.regions[FAILS];
    let (dns, port) = (place.dns, place.port);
    let mut lines = vec![
        format!(
            "rhumb answers for example.com on {dns}. Each region has an edge (L7), two zones (L4) and four applications,"
        ),
        format!("all on loopback, port {port}."),
        String::new(),
        "Try, in another terminal:".to_owned(),
        String::new(),
    ];
    lines.extend(place.lines());
    lines.push(String::new());
    let (after, lasts) = (wishes.fail_after, wishes.fail_after.max(FAILS_AT_LEAST));
    lines.push(format!("In {after:?} {label} fails for {lasts:?}, and you see its clients move. Ctrl-C ends it."));
    if let Some(folder) = &wishes.write {
        lines.push(format!(
            "The configuration is left in {}; its first lines say how to serve it without the demo.",
            folder.display()
        ));
    }
    lines.push(String::new());
    lines
}

async fn end_of(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
