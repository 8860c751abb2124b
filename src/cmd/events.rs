//! `rhumb events`: what turned, when and why; from the journal, and as it happens.
//!
//! Every event has a number. Following goes by the numbers: what the stream skips is fetched, what it repeats is left
//! out, so a connection that is lost and comes back loses nothing and says nothing twice.

use std::time::Duration;

use tokio::time::sleep;

use crate::admin::client::Client;
use crate::admin::client::ClientError;
use crate::admin::dto::EventSaid;
use crate::admin::dto::List;
use crate::admin::dto::Status;
use crate::admin::render;
use crate::admin::render::table::Paint;
use crate::cmd::Exit;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::tell;
use crate::runtime::signals;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Go on as events happen, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// From this event on; they are counted from the server's start
    #[arg(long, value_name = "NUMBER", value_parser = crate::cmd::count)]
    from: Option<usize>,
    /// Only the last so many
    #[arg(short = 'n', long, value_name = "N", value_parser = crate::cmd::count)]
    lines: Option<usize>,
    #[command(flatten)]
    server: Server,
}

const AFTER: &str = "\
With --json, every event is one line.

Examples:
  rhumb events -n 20
  rhumb events -f
  rhumb events --json | jq -r 'select(.kind == \"pool\") | .name'";

/// How long to wait before a lost server is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Runs it.
pub fn run(args: Args) -> Exit {
    args.server.run(async |client: &Client| {
        let stop = signals::terminated();
        tokio::select! {
            exit = tell_all(client, &args) => exit,
            () = stop => Ok(Exit::Done),
        }
    })
}

async fn tell_all(client: &Client, args: &Args) -> Result<Exit, Exit> {
    let failed = |error| remote::failed(error, remote::START_IT);
    let mut follower = Follower { client, json: args.server.json, next: args.from.unwrap_or(0) as u64, started: None };
    if args.follow {
        follower.recognise().await.map_err(failed)?;
    }
    let mut events = follower.fetch().await.map_err(failed)?;
    let skipped = args.lines.map_or(0, |lines| events.len().saturating_sub(lines));
    let told = events.drain(skipped..).all(|event| follower.print(&event));
    if args.follow && told {
        return follower.follow().await;
    }
    Ok(Exit::Done)
}

/// Why following stopped.
enum End {
    /// Nobody reads any more.
    Unread,
    /// The server is lost, for now.
    Lost(String),
    /// The server says no.
    Refused(ClientError),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable(why) => End::Lost(why),
            ClientError::Refused(said) if said.status >= 500 => End::Lost(said.detail),
            refused => End::Refused(refused),
        }
    }
}

struct Follower<'a> {
    client: &'a Client,
    json: bool,
    /// The number of the first event that was not told yet.
    next: u64,
    /// When the server that numbers them started.
    started: Option<String>,
}

impl Follower<'_> {
    /// Goes on until nobody reads any more, whatever becomes of the server.
    async fn follow(mut self) -> Result<Exit, Exit> {
        let mut lost = false;
        loop {
            match self.stream(&mut lost).await {
                End::Unread => return Ok(Exit::Done),
                End::Refused(error) => return Err(remote::failed(error, remote::START_IT)),
                End::Lost(why) if !lost => {
                    tell(format!("{why}; trying again every second"));
                    lost = true;
                }
                End::Lost(_) => {}
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// Tells events for as long as one connection holds.
    async fn stream(&mut self, lost: &mut bool) -> End {
        let outcome: Result<(), End> = async {
            let mut stream = self.client.stream("/v1/stream", None).await?;
            // The stream is open, so nothing from here on is missed; what happened before is fetched.
            self.recognise().await?;
            self.catch_up().await?;
            if std::mem::take(lost) {
                tell("the server is back");
            }
            while let Some(message) = stream.next().await? {
                let Ok(event) = serde_json::from_str::<EventSaid>(&message.data) else { continue };
                if event.number > self.next {
                    self.catch_up().await?;
                } else if event.number == self.next {
                    self.next += 1;
                    self.say(&event)?;
                }
            }
            Err(End::Lost(format!("the stream of {} has ended", self.client.shown())))
        }
        .await;
        outcome.err().unwrap_or(End::Unread)
    }

    /// A server that was started anew counts from 0 again.
    async fn recognise(&mut self) -> Result<(), ClientError> {
        let status: Status = self.client.get("/v1/status", &[]).await?;
        if self.started.as_ref().is_some_and(|started| *started != status.started) {
            tell(format!("the server was started anew at {}; its events count from 0", status.started));
            self.next = 0;
        }
        self.started = Some(status.started);
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), End> {
        let events = self.fetch().await?;
        events.iter().try_for_each(|event| self.say(event))
    }

    /// Everything from `next` on that the server still knows; `next` is what comes after.
    async fn fetch(&mut self) -> Result<Vec<EventSaid>, ClientError> {
        let mut events = Vec::new();
        loop {
            let from = self.next.to_string();
            let page: List<EventSaid> = self.client.get("/v1/events", &[("from", &from)]).await?;
            let Some(last) = page.items.last() else { return Ok(events) };
            self.next = last.number + 1;
            events.extend(page.items);
        }
    }

    fn say(&self, event: &EventSaid) -> Result<(), End> {
        if self.print(event) { Ok(()) } else { Err(End::Unread) }
    }

    fn print(&self, event: &EventSaid) -> bool {
        match self.json {
            true => terminal::print_json_line(event),
            false => terminal::print(&render::event(event, Paint(terminal::colour(&std::io::stdout())))),
        }
    }
}
