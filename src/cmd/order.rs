//! `rhumb drain`, `maint`, `force`, `weight` and `undrain`: what an operator orders of a region, a pool or an endpoint.

use std::time::Duration;

use crate::admin::client::Client;
use crate::admin::dto::OrderState;
use crate::admin::dto::OverrideEnded;
use crate::admin::dto::OverrideOrdered;
use crate::admin::dto::OverrideTaken;
use crate::admin::render;
use crate::admin::when;
use crate::cmd::Exit;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::remote::path_safe;
use crate::cmd::terminal;
use crate::cmd::terminal::fail;
use crate::cmd::terminal::tell;
use crate::config::forms;

/// What an order is about: `region/X`, `pool/X`, `endpoint/POOL/ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

const SUBJECT_HELP: &str = "write region/NAME, pool/NAME or endpoint/POOL/ADDRESS";

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or(SUBJECT_HELP)?;
        let whole = match kind {
            "region" | "pool" => !name.is_empty(),
            "endpoint" => name.split_once('/').is_some_and(|(pool, address)| !pool.is_empty() && !address.is_empty()),
            _ => false,
        };
        if whole { Ok(Subject(text.to_owned())) } else { Err(SUBJECT_HELP.to_owned()) }
    }
}

impl Subject {
    /// `/v1/overrides/pool/eu-web`.
    fn path(&self) -> String {
        format!("/v1/overrides/{}", path_safe(&self.0))
    }
}

/// When an order begins and ends, and why.
#[derive(Debug, Clone, clap::Args)]
struct Papers {
    /// End by itself after this long, as in 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = length, conflicts_with = "until")]
    lasts: Option<String>,
    /// End by itself at this time, as in 2026-11-18T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// Begin after this long; TTLs are lowered ahead of it
    #[arg(long = "in", value_name = "DURATION", value_parser = length, conflicts_with = "at")]
    begins_in: Option<String>,
    /// Begin at this time; TTLs are lowered ahead of it
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<String>,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Even if it leaves a VIP without a healthy pool
    #[arg(long)]
    force: bool,
}

fn length(text: &str) -> Result<String, String> {
    match (forms::DURATION.read)(text) {
        Ok(Duration::ZERO) => Err("it takes some time, as in `30m`".to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(wrong) => Err(wrong.help.unwrap_or(wrong.why)),
    }
}

fn time(text: &str) -> Result<String, String> {
    when::read(text).map(|_| text.to_owned()).map_err(|_| "times look like 2026-11-18T10:00:00Z".to_owned())
}

impl Papers {
    fn ordered(&self, state: OrderState, weight: Option<u32>) -> OverrideOrdered {
        let papers = self.clone();
        OverrideOrdered {
            state,
            weight,
            reason: papers.reason,
            begins: papers.at,
            begins_in: papers.begins_in,
            until: papers.until,
            lasts: papers.lasts,
            force: papers.force,
        }
    }

    /// `auto` ends an order now; what says when or how means something else then.
    fn none_given(&self) -> Result<(), Exit> {
        let given = [
            ("--for", self.lasts.is_some()),
            ("--until", self.until.is_some()),
            ("--in", self.begins_in.is_some()),
            ("--at", self.at.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => {
                fail(format!("`auto` ends an order now, so {option} has no meaning with it"), "leave it out");
                Err(Exit::Usage)
            }
        }
    }
}

/// What `drain` and `maint` take.
#[derive(Debug, clap::Args)]
pub struct Withdraw {
    /// region/NAME, pool/NAME or endpoint/POOL/ADDRESS
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    #[command(flatten)]
    papers: Papers,
    #[command(flatten)]
    server: Server,
}

/// What `force` takes.
#[derive(Debug, clap::Args)]
pub struct Force {
    /// region/NAME, pool/NAME or endpoint/POOL/ADDRESS
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// What it counts as, whatever probes find; auto: as probes find it, again
    #[arg(value_enum, value_name = "up|down|auto", hide_possible_values = true)]
    to: ForceTo,
    #[command(flatten)]
    papers: Papers,
    #[command(flatten)]
    server: Server,
}

/// What something is forced to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ForceTo {
    /// Up
    Up,
    /// Down
    Down,
    /// As probes find it
    Auto,
}

/// What `weight` takes.
#[derive(Debug, clap::Args)]
pub struct Weigh {
    /// endpoint/POOL/ADDRESS
    #[arg(value_name = "ENDPOINT", value_parser = endpoint)]
    endpoint: Subject,
    /// Its weight, beside those of the pool's others; 0: only when every other is gone; auto: the configuration's
    #[arg(value_name = "N|auto", value_parser = weight)]
    weight: WeightTo,
    #[command(flatten)]
    papers: Papers,
    #[command(flatten)]
    server: Server,
}

/// What `undrain` takes.
#[derive(Debug, clap::Args)]
pub struct Undrain {
    /// region/NAME, pool/NAME or endpoint/POOL/ADDRESS
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// Even if it leaves a VIP without a healthy pool, as the end of a forced up may
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: Server,
}

/// A weight, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WeightTo(Option<u32>);

/// As the configuration has it.
const WEIGHT_MAX: u32 = 65_535;

fn weight(text: &str) -> Result<WeightTo, String> {
    match text.parse::<u32>() {
        _ if text == "auto" => Ok(WeightTo(None)),
        Ok(weight) if weight <= WEIGHT_MAX => Ok(WeightTo(Some(weight))),
        _ => Err(format!("a weight is a number from 0 to {WEIGHT_MAX}, or `auto`")),
    }
}

/// An endpoint may be written as lists show it, without its kind.
fn endpoint(text: &str) -> Result<Subject, String> {
    const HELP: &str = "only endpoints have a weight: write endpoint/POOL/ADDRESS";
    match text.parse::<Subject>() {
        Ok(subject) if text.starts_with("endpoint/") => Ok(subject),
        Ok(_) => Err(HELP.to_owned()),
        Err(_) => format!("endpoint/{text}").parse().map_err(|_| HELP.to_owned()),
    }
}

/// Runs `drain`.
pub fn drain(args: Withdraw) -> Exit {
    args.server.run(async |client: &Client| {
        give(client, &args.server, &args.subject, &args.papers.ordered(OrderState::Drain, None)).await
    })
}

/// Runs `maint`.
pub fn maint(args: Withdraw) -> Exit {
    args.server.run(async |client: &Client| {
        give(client, &args.server, &args.subject, &args.papers.ordered(OrderState::Maint, None)).await
    })
}

/// Runs `force`.
pub fn force(args: Force) -> Exit {
    let state = match args.to {
        ForceTo::Up => OrderState::Up,
        ForceTo::Down => OrderState::Down,
        ForceTo::Auto => return end_now(&args.papers, &args.server, &args.subject, Aspect::State),
    };
    args.server
        .run(async |client: &Client| give(client, &args.server, &args.subject, &args.papers.ordered(state, None)).await)
}

/// Runs `weight`.
pub fn weigh(args: Weigh) -> Exit {
    let WeightTo(Some(weight)) = args.weight else {
        return end_now(&args.papers, &args.server, &args.endpoint, Aspect::Weight);
    };
    let ordered = args.papers.ordered(OrderState::Weight, Some(weight));
    args.server.run(async |client: &Client| give(client, &args.server, &args.endpoint, &ordered).await)
}

/// Runs `undrain`.
pub fn undrain(args: Undrain) -> Exit {
    args.server.run(async |client: &Client| end(client, &args.server, &args.subject, Aspect::State, args.force).await)
}

/// Which of a subject's orders is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aspect {
    State,
    Weight,
}

fn end_now(papers: &Papers, server: &Server, subject: &Subject, aspect: Aspect) -> Exit {
    match papers.none_given() {
        Ok(()) => server.run(async |client: &Client| end(client, server, subject, aspect, papers.force).await),
        Err(exit) => exit,
    }
}

async fn give(client: &Client, server: &Server, subject: &Subject, ordered: &OverrideOrdered) -> Result<Exit, Exit> {
    let taken: OverrideTaken =
        client.put(&subject.path(), ordered).await.map_err(|error| remote::failed(error, remote::START_IT))?;
    for warning in &taken.warnings {
        tell(format!("warning: {warning}"));
    }
    if server.json {
        terminal::print_json(&taken);
    } else {
        // It was ordered this moment, by the server's clock.
        terminal::print(&render::taken(&taken.taken, when::read(&taken.taken.since).ok()));
    }
    Ok(Exit::Done)
}

async fn end(client: &Client, server: &Server, subject: &Subject, aspect: Aspect, anyway: bool) -> Result<Exit, Exit> {
    let (query, words) = match aspect {
        Aspect::State => ("state", "order"),
        Aspect::Weight => ("weight", "ordered weight"),
    };
    let ended: OverrideEnded = client
        .delete(&subject.path(), &[("aspect", query), ("force", if anyway { "true" } else { "false" })])
        .await
        .map_err(|error| remote::failed(error, remote::START_IT))?;
    if server.json {
        terminal::print_json(&ended);
    } else {
        terminal::print(&render::ended(&subject.0, words, &ended.ended));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_kinds_and_names() {
        for good in ["region/eu-west", "pool/eu-web", "endpoint/eu-web/192.0.2.10", "endpoint/eu-web/2001:db8::1"] {
            assert!(good.parse::<Subject>().is_ok(), "{good}");
        }
        for bad in ["eu-web", "pool/", "endpoint/eu-web", "endpoint//192.0.2.1", "zone/example.com", "/"] {
            assert_eq!(bad.parse::<Subject>().unwrap_err(), SUBJECT_HELP, "{bad}");
        }
        assert_eq!(endpoint("eu-web/192.0.2.10").unwrap().0, "endpoint/eu-web/192.0.2.10");
        assert!(endpoint("pool/eu-web").is_err());
        assert!(endpoint("192.0.2.10").is_err());
    }

    #[test]
    fn no_name_leaves_its_path() {
        let path = |text: &str| text.parse::<Subject>().unwrap().path();
        assert_eq!(path("endpoint/eu-web/2001:db8::1"), "/v1/overrides/endpoint/eu-web/2001:db8::1");
        assert_eq!(path("endpoint/p/[2001:db8::1]:8443"), "/v1/overrides/endpoint/p/[2001:db8::1]:8443");
        assert_eq!(path("pool/a b?x=1#é"), "/v1/overrides/pool/a%20b%3Fx%3D1%23%C3%A9");
    }

    #[test]
    fn weights_are_numbers_or_auto() {
        assert_eq!(weight("0"), Ok(WeightTo(Some(0))));
        assert_eq!(weight("auto"), Ok(WeightTo(None)));
        assert!(weight("65536").is_err() && weight("-1").is_err() && weight("").is_err());
    }
}
