//! `rhumb explain`: what a client would be answered, and why; of a URL, also what becomes of the request.

use crate::admin::dto::Explanation;
use crate::admin::explain;
use crate::admin::explain::Question;
use crate::admin::explain::What;
use crate::admin::explain::Who;
use crate::admin::explain::asked::Beside;
use crate::admin::explain::asked::RequestAsked;
use crate::admin::explain::asked::is_url;
use crate::admin::explain::request::Proxied;
use crate::admin::render;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::fail;
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
    /// The name to ask for, or a URL to request, as in https://www.example.com/api
    #[arg(value_name = "NAME|URL")]
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
    /// The method of a request [default: GET]
    #[arg(long, value_name = "METHOD", help_heading = "Request")]
    method: Option<String>,
    /// A header of a request, as in 'x-canary: true'; as often as there are headers
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Request")]
    header: Vec<String>,
    /// A cookie of a request, as in user=7
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Request")]
    cookie: Vec<String>,
    /// The listener that a request comes to, whatever DNS says
    #[arg(long, value_name = "NAME", help_heading = "Request")]
    listener: Option<String>,
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
    let what = what(args)?;
    let question = Question { what, rtype: args.rtype.clone(), who, down: args.down.clone() };
    let now = Clock::start().now();
    let draw = Draw { random: Dice::new().roll(), seconds: now.secs() };
    explain::explain(&world, Proxied { live: None, now }, &question, draw).map_err(|e| usage(&e))
}

/// A name, or a request.
fn what(args: &Args) -> Result<What, Exit> {
    let beside = Beside {
        method: args.method.as_deref(),
        headers: &args.header,
        cookies: &args.cookie,
        listener: args.listener.as_deref(),
    };
    if is_url(&args.name) {
        return RequestAsked::read(&args.name, beside).map(What::Request).map_err(|e| usage(&e));
    }
    if !beside.is_empty() {
        let sentence =
            format!("{} is a name, and only a request has a method, headers, cookies and a listener", args.name);
        fail(sentence, format!("give a URL, as in https://{}/", args.name));
        return Err(Exit::Usage);
    }
    Ok(What::Name(args.name.clone()))
}

fn from_server(args: &Args) -> Result<Explanation, Exit> {
    what(args)?;
    let down = args.down.join(",");
    let key = if is_url(&args.name) { "url" } else { "name" };
    let mut query = vec![(key, args.name.as_str()), ("type", args.rtype.as_str())];
    query.extend(args.header.iter().map(|header| ("header", header.as_str())));
    query.extend(args.cookie.iter().map(|cookie| ("cookie", cookie.as_str())));
    let optional = [
        ("client", args.client.as_deref()),
        ("geo", args.geo.as_deref()),
        ("at", args.at.as_deref()),
        ("method", args.method.as_deref()),
        ("listener", args.listener.as_deref()),
    ];
    query.extend(optional.iter().filter_map(|(key, value)| Some((*key, (*value)?))));
    if !down.is_empty() {
        query.push(("down", &down));
    }
    args.server.get("/v1/explain", &query, "start it, or use --offline")
}
