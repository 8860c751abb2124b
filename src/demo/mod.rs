//! The demo: regions of small HTTP origins on loopback, a real server in front of them, and a region that fails.
//!
//! Nothing here is special to the demo but the origins and the clients: the server reads a configuration from a folder,
//! probes over the network and answers on a socket, as `rhumb serve` would.

pub mod clients;
pub mod layout;
pub mod origins;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{interval, sleep};

use crate::daemon::{Daemon, StartError};
use crate::demo::clients::ask;
use crate::demo::layout::{DemoRegion, REGIONS, client_prefix, configuration};
use crate::demo::origins::Origins;
use crate::runtime::clock::Clock;

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
    /// The origins' port; 0 takes any that is free on all their addresses.
    pub origin_port: u16,
    /// Where configuration, zone and database are left; a folder that goes away with the demo unless told.
    pub write: Option<PathBuf>,
}

/// Ports tried for the origins when none is asked for.
const ORIGIN_PORTS: std::ops::Range<u16> = 8080..8180;
/// How often each client asks.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Three probes a second apart see a region fail, two see it return; this is enough for either.
const FAILS_AT_LEAST: Duration = Duration::from_secs(6);

/// Runs the demo until it has ended or the process is told to stop.
///
/// # Errors
/// A sentence for the person in front of the terminal.
pub async fn run(wishes: Wishes) -> Result<(), String> {
    // From the beginning, so that the folder goes away when Ctrl-C comes before the first round of probes is over.
    let told_to_stop = crate::runtime::signals::terminated();
    tokio::pin!(told_to_stop);
    let regions = &REGIONS[..wishes.regions.clamp(2, REGIONS.len())];
    let mut written = wishes.write.as_deref().map(Unwanted::but_for);
    let (folder, _gone_with_us) = folder(wishes.write.as_ref())?;
    let candidates = if wishes.origin_port == 0 { ORIGIN_PORTS } else { wishes.origin_port..wishes.origin_port + 1 };
    let (port, mut origins) = origins::start_all(regions, candidates).await?;
    layout::write(&folder, &configuration(regions, wishes.listen, port))?;

    let config = folder.join("rhumb.toml");
    let daemon = tokio::select! {
        daemon = Daemon::start(&config) => daemon.map_err(|e| explain_start(&e))?,
        () = &mut told_to_stop => return Ok(()),
    };
    written.iter_mut().for_each(Unwanted::keep);
    let dns = daemon.dns().first().copied().ok_or("the demo listens nowhere")?;
    daemon.ready().await;
    introduce(regions, dns, port, &config, daemon.admin_http(), wishes.fail_after);

    tokio::select! {
        () = watch_clients(regions, dns) => {}
        result = fail_and_return(&mut origins[0], regions[0], wishes.fail_after) => result?,
        () = end_of(wishes.ends_after) => {}
        () = &mut told_to_stop => {}
    }
    say("\nthe demo ends");
    daemon.stop().await;
    Ok(())
}

/// The folder for the demo's files, and what removes it again.
fn folder(write: Option<&PathBuf>) -> Result<(PathBuf, Option<Temporary>), String> {
    let path = match write {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("rhumb-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
    let temporary = write.is_none().then(|| Temporary(path.clone()));
    Ok((path, temporary))
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `--write` adds to a folder: taken away again unless the server comes up, so that a port that is taken leaves
/// nothing behind.
struct Unwanted(Vec<PathBuf>);

impl Unwanted {
    /// Everything that the demo writes into this folder, but for what is there already.
    fn but_for(folder: &Path) -> Self {
        // Those inside come before what they are in.
        let inside = layout::FILES.iter().chain(&layout::FOLDERS).map(|name| folder.join(name));
        Unwanted(inside.chain([folder.to_owned()]).filter(|path| !path.exists()).collect())
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        for path in &self.0 {
            // A folder that holds something else stays.
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
    }
}

/// Prints a line; false when nobody reads any more, which is no failure.
fn say(line: &str) -> bool {
    writeln!(std::io::stdout().lock(), "{line}").is_ok()
}

fn explain_start(error: &StartError) -> String {
    format!("the demo's server did not start: {error}")
}

fn introduce(
    regions: &[DemoRegion],
    dns: SocketAddr,
    port: u16,
    config: &Path,
    admin: Option<SocketAddr>,
    fail_after: Duration,
) {
    let at = format!("@{} -p {}", dns.ip(), dns.port());
    say(&format!(
        "rhumb answers for example.com on {dns}; every endpoint is a small HTTP server on loopback, port {port}.\n"
    ));
    say("Try, in another terminal:\n");
    let mut lines = lines_to_try(regions, &at, port, config);
    if let Some(admin) = admin {
        lines.push((format!("curl http://{admin}/v1/status"), "the admin API; /metrics is there, too".to_owned()));
    }
    // What is longer does not push everybody's comment beyond the screen.
    let width = lines.iter().map(|(command, _)| command.len()).filter(|width| *width <= 72).max().unwrap_or(0);
    for (command, comment) in lines {
        say(&format!("  {command:width$}  # {comment}"));
    }
    say("");
    say(&format!(
        "In {fail_after:?} {} fails for {:?}, and you see its clients move. Ctrl-C ends it.\n",
        regions[0].label,
        fails_for(fail_after)
    ));
}

/// Commands to copy, and what each shows.
fn lines_to_try(regions: &[DemoRegion], at: &str, port: u16, config: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for region in regions {
        let command = format!("dig {at} www.example.com +short +subnet={}", region.clients);
        lines.push((command, format!("a client near {}", region.label)));
    }
    let mut more = |command: String, comment: &str| lines.push((command, comment.to_owned()));
    more(format!("dig {at} www.example.com +subnet=81.2.69.0/24"), "any real network works: this one is in Britain");
    more(
        format!("dig {at} near.example.com +short +subnet=1.1.1.0/24"),
        "the nearest region; try cache. canary. standby.",
    );
    more(format!("curl http://{}:{port}/", regions[0].endpoints()[0]), "an address that dig gave");
    // As this program was started: a newcomer has it in target/release, not in the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "rhumb".to_owned());
    let (config, clients) = (config.display(), regions[0].clients);
    more(format!("{program} explain -c {config} www.example.com --client {clients}"), "every step of the decision");
    more(format!("{program} status -c {config} --watch"), "one screen; Ctrl-C ends it");
    let name = regions[1].name;
    more(
        format!("{program} drain region/{name} -c {config} --for 30s"),
        "its clients move, and come back by themselves",
    );
    lines
}

/// Asks for every region's clients again and again, and prints what changes, for as long as anybody reads it.
async fn watch_clients(regions: &[DemoRegion], dns: SocketAddr) {
    let mut last: BTreeMap<&str, String> = BTreeMap::new();
    let mut tick = interval(ASK_EVERY);
    let clock = Clock::start();
    let began = clock.now();
    loop {
        tick.tick().await;
        for region in regions {
            let said = match ask(dns, "www.example.com.", client_prefix(region)).await {
                Ok(answer) => {
                    let list: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
                    format!("{:<26} ttl {}", list.join(" "), answer.ttl)
                }
                Err(problem) => problem,
            };
            let addresses = said.split(" ttl ").next().unwrap_or_default().to_owned();
            if last.insert(region.name, addresses.clone()).is_none_or(|before| before != addresses) {
                let seconds = (clock.now() - began).as_secs_f32();
                let line =
                    format!("{seconds:6.1}s  clients near {:<13} {:<18} -> {said}", region.label, region.clients);
                if !say(&line) {
                    return;
                }
            }
        }
    }
}

/// How long the region stays away: as long as it was there, but not so short that no probe is sure to see it.
fn fails_for(after: Duration) -> Duration {
    after.max(FAILS_AT_LEAST)
}

/// Fails a region, brings it back, and so on.
async fn fail_and_return(origins: &mut Origins, region: DemoRegion, after: Duration) -> Result<(), String> {
    loop {
        sleep(after).await;
        say(&format!("         --- {} ({}) fails: its origins refuse connections", region.label, region.name));
        origins.fail().await;
        sleep(fails_for(after)).await;
        say(&format!("         --- {} ({}) is back", region.label, region.name));
        origins.resume().await?;
        // It is back when two probes in a row have passed; failing again before that, nobody would see it return.
        sleep(FAILS_AT_LEAST.saturating_sub(after)).await;
    }
}

async fn end_of(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
