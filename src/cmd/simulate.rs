//! `rhumb simulate`: which region bears how much if one fails or is drained, and who is overloaded then.
//!
//! From files, with everything taken to be up; with `--live` asked of the running server, health and orders as they are.
//! Without `--down` and `--drain` each region is taken out in turn. `capacity` of the regions informs this command alone:
//! the server sheds nothing by it.

use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use crate::admin::dto::Simulate;
use crate::admin::dto::Simulated;
use crate::admin::what_if::Health;
use crate::admin::what_if::NotSimulated;
use crate::admin::what_if::simulate;
use crate::admin::what_if::world_all_up;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::tell;
use crate::config::Sources;
use crate::impact::demand::DEMAND_BYTES_MAX;
use crate::impact::demand::Demand;
use crate::model::Place;
use crate::model::Problem;
use crate::model::plain_words;
use crate::runtime::load;

mod words;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take this to be down: region/X, pool/X, endpoint/POOL/ADDRESS; each region in turn when nothing is named
    #[arg(long, value_name = "WHAT")]
    down: Vec<String>,
    /// Take this to be drained
    #[arg(long, value_name = "WHAT")]
    drain: Vec<String>,
    /// How much is asked from where: lines of `CIDR-or-place weight [VIP]`; without it, the IPv4 address space
    #[arg(long, value_name = "FILE")]
    demand: Option<PathBuf>,
    /// Without --demand: how much is asked in all, in the unit of `capacity` [default: 100]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "demand")]
    total: Option<f64>,
    /// One VIP alone
    #[arg(long, value_name = "NAME")]
    vip: Option<String>,
    /// Ask the running server: its configuration, health and orders as they are
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    server: Server,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let asked = match asked(&args) {
        Ok(asked) => asked,
        Err(problem) => {
            check::print_refusal(&[problem], &Sources::default());
            return Exit::Invalid;
        }
    };
    let found = if args.live { of_server(&args, &asked) } else { of_files(&args, &asked) };
    match found {
        Ok(simulated) if args.server.json => {
            terminal::print_json(&simulated);
            Exit::Done
        }
        Ok(simulated) => {
            simulated.warnings.iter().for_each(tell);
            terminal::print(&words::simulated(&simulated));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

fn asked(args: &Args) -> Result<Simulate, Problem> {
    let name = args.demand.as_ref().map(|path| path.display().to_string());
    let demand = args.demand.as_deref().map(read).transpose()?;
    let (down, drain) = (args.down.clone(), args.drain.clone());
    Ok(Simulate { down, drain, vip: args.vip.clone(), demand, demand_name: name, total: args.total })
}

fn read(path: &Path) -> Result<String, Problem> {
    let wrong =
        |fact: String| Problem::error("E0601", Place::file(path), fact).help("name a text file with `--demand FILE`");
    let mut text = String::new();
    // One byte more than may be, also of a pipe that never ends.
    let read =
        std::fs::File::open(path).and_then(|file| file.take(DEMAND_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(format!("cannot read the demand: {}", plain_words(&error))))?;
    match text.len() > DEMAND_BYTES_MAX {
        true => Err(wrong(format!("the demand is larger than {} MiB", DEMAND_BYTES_MAX >> 20))),
        false => Ok(text),
    }
}

fn of_files(args: &Args, asked: &Simulate) -> Result<Simulated, Exit> {
    let loaded = load::load(&args.server.config.config, None).map_err(|refused| {
        check::print_refusal(&refused.problems, &refused.sources);
        Exit::Invalid
    })?;
    simulate(&world_all_up(loaded.snapshot), asked, Health::AllUp).map_err(|why| match why {
        NotSimulated::Question(sentences) => {
            sentences.iter().for_each(|sentence| tell(format!("error: {sentence}")));
            Exit::Usage
        }
        NotSimulated::Demand(problems) => wrong_demand(&problems),
    })
}

fn wrong_demand(problems: &[Problem]) -> Exit {
    check::print_refusal(problems, &Sources::default());
    Exit::Invalid
}

fn of_server(args: &Args, asked: &Simulate) -> Result<Simulated, Exit> {
    // The server does not have the file: what is wrong in it is shown here.
    if let Some(text) = &asked.demand {
        let name = asked.demand_name.as_deref().unwrap_or("demand");
        Demand::parse(Path::new(name), text).map_err(|problems| wrong_demand(&problems))?;
    }
    args.server.post("/v1/simulate", asked)
}
