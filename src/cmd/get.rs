//! `rhumb get`: lists of everything, for people and for scripts.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::client::Client;
use crate::admin::client::ClientError;
use crate::admin::dto::Endpoint;
use crate::admin::dto::List;
use crate::admin::dto::Listener;
use crate::admin::dto::Override;
use crate::admin::dto::Pool;
use crate::admin::dto::Region;
use crate::admin::dto::Vip;
use crate::admin::dto::Zone;
use crate::admin::render;
use crate::admin::render::Listed;
use crate::admin::render::table::Paint;
use crate::cmd::Exit;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::remote::path_safe;
use crate::cmd::terminal;
use crate::cmd::terminal::fail;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// vips, pools, endpoints, regions, zones, overrides or listeners; or one of them: pool NAME
    #[arg(value_enum, value_name = "WHAT", hide_possible_values = true)]
    what: What,
    /// Only this one, and more about it
    name: Option<String>,
    /// Only those of this pool
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pool: Option<String>,
    /// Only those in this region
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    region: Option<String>,
    /// Only those that stand so: up, down, unknown, drain, maint, forced-up, forced-down
    #[arg(long, value_name = "WORD", conflicts_with = "name", value_parser = STANDINGS, hide_possible_values = true)]
    standing: Option<String>,
    #[command(flatten)]
    server: Server,
}

const STANDINGS: [&str; 7] = ["up", "down", "unknown", "drain", "maint", "forced-up", "forced-down"];

const AFTER: &str = "\
Examples:
  rhumb get pools
  rhumb get pool eu-web                        with its endpoints and VIPs
  rhumb get endpoints --standing down --region eu-west
  rhumb get vips --json | jq -r '.[] | select(.up | not) | .name'";

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Names whose answer is chosen per client
    #[value(alias = "vip")]
    Vips,
    /// Endpoints that serve the same thing
    #[value(alias = "pool")]
    Pools,
    /// Addresses, with what probes find
    #[value(alias = "endpoint")]
    Endpoints,
    /// Places where we run
    #[value(alias = "region")]
    Regions,
    /// Zones, with their serials
    #[value(alias = "zone")]
    Zones,
    /// Orders, in force and planned
    #[value(alias = "override")]
    Overrides,
    /// Sockets that take queries, and listeners of the proxy
    #[value(alias = "listener")]
    Listeners,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    args.server.run(async |client: &Client| match args.what {
        What::Vips => show::<Vip>(client, &args, "vips").await,
        What::Pools => show::<Pool>(client, &args, "pools").await,
        What::Endpoints => show::<Endpoint>(client, &args, "endpoints").await,
        What::Regions => show::<Region>(client, &args, "regions").await,
        What::Zones => show::<Zone>(client, &args, "zones").await,
        What::Overrides => show::<Override>(client, &args, "overrides").await,
        What::Listeners => show::<Listener>(client, &args, "listeners").await,
    })
}

/// What the filters of `get` look at.
trait Filtered: Listed {
    /// Its own name as a pool, or the pools it is of.
    fn is_of_pool(&self, pool: &str) -> bool;
    /// Whether it lies in a region.
    fn is_in_region(&self, region: &str) -> bool;
    /// Whether it stands so.
    fn stands(&self, word: &str) -> bool;
    /// Which of the filters mean something here.
    const FILTERS: &'static [&'static str];
    /// Which of them the server looks at; the others are looked at here.
    const ASKED: &'static [&'static str] = &[];
    /// Whether one of these can be asked for by its name.
    const NAMED: bool = true;
    /// All about it.
    fn upright(&self, paint: Paint) -> String {
        render::properties(self, &[], paint)
    }
}

fn up_or_down(up: bool, word: &str) -> bool {
    word == if up { "up" } else { "down" }
}

impl Filtered for Vip {
    const FILTERS: &'static [&'static str] = &["pool", "region", "standing"];
    const ASKED: &'static [&'static str] = &["pool"];
    fn is_of_pool(&self, pool: &str) -> bool {
        self.pools.iter().any(|p| p.pool == pool)
    }
    fn is_in_region(&self, region: &str) -> bool {
        self.pools.iter().any(|p| p.region == region)
    }
    fn stands(&self, word: &str) -> bool {
        up_or_down(self.up, word)
    }
}

impl Filtered for Pool {
    const FILTERS: &'static [&'static str] = &["pool", "region", "standing"];
    const ASKED: &'static [&'static str] = &["region"];
    fn is_of_pool(&self, pool: &str) -> bool {
        self.name == pool
    }
    fn is_in_region(&self, region: &str) -> bool {
        self.region == region
    }
    fn stands(&self, word: &str) -> bool {
        self.effective == word
    }
    fn upright(&self, paint: Paint) -> String {
        render::pool(self, paint)
    }
}

impl Filtered for Endpoint {
    const FILTERS: &'static [&'static str] = &["pool", "region", "standing"];
    const ASKED: &'static [&'static str] = &["pool", "region"];
    fn is_of_pool(&self, pool: &str) -> bool {
        self.pool == pool
    }
    fn is_in_region(&self, region: &str) -> bool {
        self.region == region
    }
    fn stands(&self, word: &str) -> bool {
        // Observation and order are two things, and either may be asked for.
        self.effective == word || self.observed == word
    }
    fn upright(&self, paint: Paint) -> String {
        render::properties(self, &self.overrides, paint)
    }
}

impl Filtered for Region {
    const FILTERS: &'static [&'static str] = &["region", "standing"];
    fn is_of_pool(&self, _: &str) -> bool {
        false
    }
    fn is_in_region(&self, region: &str) -> bool {
        self.name == region
    }
    fn stands(&self, word: &str) -> bool {
        self.order.as_deref().map_or_else(|| up_or_down(self.up, word), |order| order == word)
    }
    fn upright(&self, paint: Paint) -> String {
        render::properties(self, &self.overrides, paint)
    }
}

impl Filtered for Listener {
    const FILTERS: &'static [&'static str] = &["region"];
    const NAMED: bool = false;
    fn is_of_pool(&self, _: &str) -> bool {
        false
    }
    fn is_in_region(&self, region: &str) -> bool {
        self.region.as_deref() == Some(region)
    }
    fn stands(&self, _: &str) -> bool {
        false
    }
}

macro_rules! unfiltered {
    ($($kind:ty: $named:literal),*) => {$(
        impl Filtered for $kind {
            const FILTERS: &'static [&'static str] = &[];
            const NAMED: bool = $named;
            fn is_of_pool(&self, _: &str) -> bool {
                false
            }
            fn is_in_region(&self, _: &str) -> bool {
                false
            }
            fn stands(&self, _: &str) -> bool {
                false
            }
        }
    )*};
}

unfiltered!(Zone: true, Override: false);

async fn show<T>(client: &Client, args: &Args, what: &'static str) -> Result<Exit, Exit>
where
    T: Filtered + Serialize + DeserializeOwned,
{
    check_filters::<T>(args, what)?;
    let failed = |error| remote::failed(error, remote::START_IT);
    if let Some(name) = &args.name {
        let item = one::<T>(client, what, name).await.map_err(failed)?;
        return item.map(|item| print_one(&item, args)).map_err(|names| unknown(&names, what, name));
    }
    let filters = [("pool", &args.pool), ("region", &args.region)];
    let asked = filters.into_iter().filter(|(key, _)| T::ASKED.contains(key));
    let asked: Vec<(&str, &str)> = asked.filter_map(|(key, value)| Some((key, value.as_deref()?))).collect();
    let mut items: Vec<T> = all(client, what, &asked).await.map_err(failed)?;
    let fits = |filter: &Option<String>, test: &dyn Fn(&str) -> bool| filter.as_deref().is_none_or(test);
    items.retain(|item| {
        fits(&args.pool, &|pool| item.is_of_pool(pool))
            && fits(&args.region, &|region| item.is_in_region(region))
            && fits(&args.standing, &|word| item.stands(word))
    });
    if args.server.json {
        terminal::print_json(&items);
    } else {
        terminal::print(&T::table(&items).show(paint(), None));
    }
    Ok(Exit::Done)
}

/// The one of this name, else the names that there are.
async fn one<T>(client: &Client, what: &str, name: &str) -> Result<Result<T, Vec<String>>, ClientError>
where
    T: Filtered + DeserializeOwned,
{
    if T::NAMED {
        match client.get(&format!("/v1/{what}/{}", path_safe(name)), &[]).await {
            Err(ClientError::Refused(said)) if said.status == 404 => {}
            found => return found.map(Ok),
        }
    }
    let mut items: Vec<T> = all(client, what, &[]).await?;
    match items.iter().position(|item| item.name() == name) {
        Some(at) => Ok(Ok(items.swap_remove(at))),
        None => Ok(Err(items.iter().map(Listed::name).collect())),
    }
}

fn paint() -> Paint {
    Paint(terminal::colour(&std::io::stdout()))
}

fn check_filters<T: Filtered>(args: &Args, what: &str) -> Result<(), Exit> {
    let given = [("pool", &args.pool), ("region", &args.region), ("standing", &args.standing)];
    match given.iter().find(|(name, value)| value.is_some() && !T::FILTERS.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            fail(format!("--{name} has no meaning for {what}"), "leave it out");
            Err(Exit::Usage)
        }
    }
}

/// A list that changes while it is read is read anew, this many times.
const ATTEMPTS_MAX: u32 = 5;

/// Items in a page; the most that the API gives.
const PAGE: &str = "10000";

/// Every page of a list. A reload between two pages may change the list, so then it is read from the beginning.
///
/// # Errors
/// Nobody answers, or the server says no.
pub async fn all<T: DeserializeOwned>(
    client: &Client,
    what: &str,
    filters: &[(&str, &str)],
) -> Result<Vec<T>, ClientError> {
    // There are so few sockets that they come in one page.
    let limit = (what != "listeners").then_some(("limit", PAGE));
    let asked: Vec<(&str, &str)> = filters.iter().copied().chain(limit).collect();
    let path = format!("/v1/{what}");
    let mut attempt = 1;
    loop {
        match pages(client, &path, &asked).await {
            Err(ClientError::Refused(said)) if said.word() == "changed" && attempt < ATTEMPTS_MAX => attempt += 1,
            outcome => return outcome,
        }
    }
}

async fn pages<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    asked: &[(&str, &str)],
) -> Result<Vec<T>, ClientError> {
    let List { mut items, mut next, .. } = client.get(path, asked).await?;
    while let Some(after) = next {
        let further: Vec<(&str, &str)> = asked.iter().copied().chain([("after", after.as_str())]).collect();
        let page: List<T> = client.get(path, &further).await?;
        items.extend(page.items);
        next = page.next;
    }
    Ok(items)
}

fn print_one<T: Filtered + Serialize>(item: &T, args: &Args) -> Exit {
    if args.server.json {
        terminal::print_json(item);
    } else {
        terminal::print(&item.upright(paint()));
    }
    Exit::Done
}

/// Says what there is instead.
fn unknown(names: &[String], what: &str, name: &str) -> Exit {
    let best = names.iter().map(|known| (strsim::jaro_winkler(known, name), known));
    let best = best.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    let help = match best {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None if names.is_empty() => "there are none".to_owned(),
        None => format!("`rhumb get {what}` lists them"),
    };
    let kind = match what {
        "vips" => "VIP",
        "overrides" => "order for",
        other => other.trim_end_matches('s'),
    };
    fail(format!("there is no {kind} `{}`", render::table::plain(name)), help);
    Exit::Failed
}

/// Below this likeness (Jaro-Winkler) a name is no suggestion but noise.
const LIKENESS_MIN: f64 = 0.8;
