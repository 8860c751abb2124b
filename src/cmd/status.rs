//! `rhumb status`: one screen, once or for as long as somebody watches.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::time::sleep;

use crate::admin::client::Client;
use crate::admin::client::ClientError;
use crate::admin::dto::Status;
use crate::admin::render::Screen;
use crate::admin::render::table::Paint;
use crate::admin::render::table::Tone;
use crate::admin::render::table::broken;
use crate::admin::render::times;
use crate::cmd::Exit;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::model::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::signals;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Go on watching, until Ctrl-C; to a pipe, a new screen is added when something has changed
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    server: Server,
}

const AFTER: &str = "\
Examples:
  rhumb status
  rhumb status --watch
  rhumb status --json | jq .trouble";

/// How often a watched server is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Runs it.
pub fn run(args: Args) -> Exit {
    args.server.run(async |client: &Client| {
        if !args.watch {
            let status = ask(client).await.map_err(|error| remote::failed(error, remote::START_IT))?;
            show(&status, args.server.json);
            return Ok(Exit::Done);
        }
        let stop = signals::terminated();
        tokio::select! {
            exit = Watch::new(&args).watch(client) => exit,
            () = stop => Ok(Exit::Done),
        }
    })
}

async fn ask(client: &Client) -> Result<Status, ClientError> {
    client.get("/v1/status", &[]).await
}

fn show(status: &Status, json: bool) -> bool {
    if json { terminal::print_json(status) } else { terminal::print(&screen().show(status)) }
}

fn screen() -> Screen {
    Screen { paint: Paint(terminal::colour(&std::io::stdout())), width: terminal::width() }
}

/// A server that is being watched.
struct Watch {
    json: bool,
    /// Redraws in place; else appends.
    in_place: bool,
    clock: Clock,
    last: Option<Status>,
    /// Since when it does not answer, and why.
    lost: Option<(Moment, String)>,
}

impl Watch {
    fn new(args: &Args) -> Self {
        let in_place = std::io::stdout().is_terminal() && !args.server.json;
        Watch { json: args.server.json, in_place, clock: Clock::start(), last: None, lost: None }
    }

    /// Goes on until nobody reads any more; a server that was never there is an error, one that is lost is waited for.
    async fn watch(mut self, client: &Client) -> Result<Exit, Exit> {
        loop {
            let going_on = match ask(client).await {
                Ok(status) => self.seen(status),
                Err(error) if self.last.is_none() => return Err(remote::failed(error, remote::START_IT)),
                Err(ClientError::Refused(said)) if said.status < 500 => {
                    return Err(remote::failed(ClientError::Refused(said), remote::START_IT));
                }
                Err(ClientError::Unreachable(why)) => self.missed(why),
                Err(ClientError::Refused(said)) => self.missed(said.detail),
            };
            if !going_on {
                return Ok(Exit::Done);
            }
            sleep(ASK_EVERY).await;
        }
    }

    fn seen(&mut self, status: Status) -> bool {
        let was_lost = self.lost.take();
        let changed = self.last.as_ref().is_none_or(|last| differs(last, &status));
        let going_on = if self.in_place {
            redraw(&screen().show(&status))
        } else if self.json {
            (!changed && was_lost.is_none()) || terminal::print_json_line(&status)
        } else if changed || was_lost.is_some() {
            let back = was_lost.map_or(String::new(), |(since, _)| {
                format!("the server is back after {}\n", times::coarse(self.clock.now() - since))
            });
            terminal::print(&format!("{back}--- {}\n{}\n", times::second(&status.now), screen().show(&status)))
        } else {
            true
        };
        self.last = Some(status);
        going_on
    }

    fn missed(&mut self, why: String) -> bool {
        let first = self.lost.is_none();
        let now = self.clock.now();
        let (since, why) = self.lost.get_or_insert((now, why));
        let screen = screen();
        let told = format!(
            "NO ANSWER since {} ({}): {why}; trying again every second",
            times::second(&crate::admin::when::said(*since)),
            times::coarse(now - *since)
        );
        let lines = broken(&told, screen.width);
        let told: String = lines.iter().map(|line| screen.paint.word(Tone::Bad, line) + "\n").collect();
        match (&self.last, self.in_place) {
            (Some(last), true) => {
                // What was last known stays, and looks old.
                let old = Screen { paint: Paint(false), ..screen }.show(last);
                let old: String = old.lines().map(|line| screen.paint.word(Tone::Faint, line) + "\n").collect();
                redraw(&format!("{told}\n{old}"))
            }
            _ if self.json || !first => true,
            _ => terminal::print(&told),
        }
    }
}

/// Draws over what was there: home, each line to its end, then whatever was below.
fn redraw(text: &str) -> bool {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    terminal::print(&format!("\x1b[H{lines}\x1b[J"))
}

/// Whether anything but the passing of time is different.
fn differs(last: &Status, status: &Status) -> bool {
    let timeless = |status: &Status| {
        let mut status = status.clone();
        status.now = String::new();
        status.queries = None;
        for endpoint in &mut status.trouble.items {
            endpoint.last = None;
        }
        status
    };
    timeless(last) != timeless(status)
}
