//! `rhumb explain`: what a client would be answered, and why.

use crate::admin::dto::Explanation;
use crate::admin::explain;
use crate::admin::explain::Question;
use crate::admin::explain::Who;
use crate::admin::render;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::tell;
use crate::health::table::HealthTable;
use crate::runtime::clock::Clock;
use crate::runtime::load;
use crate::server::dice::Dice;
use crate::steering::Draw;
use crate::world::World;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name to ask for
    name: String,
    /// The type to ask for
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// The client: an address, or a network as in 192.0.2.0/24
    #[arg(long, value_name = "IP|CIDR", group = "who")]
    client: Option<String>,
    /// A client somewhere in this place: CONTINENT[-COUNTRY[-SUBDIVISION]]
    #[arg(long, value_name = "CODE", group = "who")]
    geo: Option<String>,
    /// A client at this spot: degrees north and east
    #[arg(long, value_name = "LAT,LON", group = "who", allow_hyphen_values = true)]
    at: Option<String>,
    /// Take this to be down: region/X, pool/X, endpoint/POOL/ADDRESS
    #[arg(long, value_name = "WHAT")]
    down: Vec<String>,
    /// From the files, with everything taken to be up, instead of from the running server
    #[arg(long, conflicts_with_all = ["socket", "server"])]
    offline: bool,
    #[command(flatten)]
    server: Server,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let explained = if args.offline { from_files(&args) } else { from_server(&args) };
    match explained {
        Ok(explanation) if args.server.json => {
            terminal::print_json(&explanation);
            Exit::Done
        }
        Ok(explanation) => {
            terminal::print(&render::explanation(&explanation));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

fn usage(sentence: &str) -> Exit {
    tell(format!("error: {sentence}"));
    Exit::Usage
}

fn from_files(args: &Args) -> Result<Explanation, Exit> {
    let who = Who::read(args.client.as_deref(), args.geo.as_deref(), args.at.as_deref()).map_err(|e| usage(&e))?;
    let loaded = load::load(&args.server.config.config, None).map_err(|refused| {
        check::print_refusal(&refused.problems, &refused.sources);
        Exit::Invalid
    })?;
    let health = HealthTable::all_up(&loaded.snapshot.model);
    let world = World { snapshot: loaded.snapshot, health, generation: 1 };
    let question = Question { name: args.name.clone(), rtype: args.rtype.clone(), who, down: args.down.clone() };
    let draw = Draw { random: Dice::new().roll(), seconds: Clock::start().now().secs() };
    explain::explain(&world, &question, draw).map_err(|e| usage(&e))
}

fn from_server(args: &Args) -> Result<Explanation, Exit> {
    let down = args.down.join(",");
    let mut query = vec![("name", args.name.as_str()), ("type", args.rtype.as_str())];
    let optional = [("client", args.client.as_deref()), ("geo", args.geo.as_deref()), ("at", args.at.as_deref())];
    query.extend(optional.iter().filter_map(|(key, value)| Some((*key, (*value)?))));
    if !down.is_empty() {
        query.push(("down", &down));
    }
    args.server.get("/v1/explain", &query, "start it, or use --offline")
}
