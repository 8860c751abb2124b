//! What to try while the demo runs: commands to copy, and what each shows.

use std::net::SocketAddr;
use std::path::Path;

use crate::demo::clients::NAME;
use crate::demo::layout::DemoRegion;

/// What the lines are made of.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The regions.
    pub regions: &'a [DemoRegion],
    /// Where DNS is answered.
    pub dns: SocketAddr,
    /// The port of the edges.
    pub port: u16,
    /// The admin socket.
    pub socket: &'a Path,
    /// The admin API over HTTP.
    pub admin: Option<SocketAddr>,
    /// As this program was started: a newcomer has it in target/release, not in the PATH.
    pub program: &'a str,
}

/// Lines are padded to their comments as far as this; what is longer does not push everybody's beyond the screen.
const COMMAND_COLUMNS_MAX: usize = 72;

impl Place<'_> {
    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        let commands = self.commands();
        let widths = commands.iter().map(|(command, _)| command.len());
        let width = widths.filter(|width| *width <= COMMAND_COLUMNS_MAX).max().unwrap_or(0);
        commands.into_iter().map(|(command, comment)| format!("  {command:width$}  # {comment}")).collect()
    }

    fn commands(&self) -> Vec<(String, String)> {
        let dig = format!("dig @{} -p {}", self.dns.ip(), self.dns.port());
        let near = |region: &DemoRegion| {
            let command = format!("{dig} {NAME} +short +subnet={}", region.clients);
            (command, format!("a client near {}", region.label))
        };
        let mut commands: Vec<(String, String)> = self.regions.iter().map(near).collect();
        let [first, second, ..] = self.regions else { return commands };
        let mut more = |command: String, comment: &str| commands.push((command, comment.to_owned()));
        more(format!("{dig} {NAME} +subnet=81.2.69.0/24"), "any real network works: this one is in Britain");
        more(
            format!("{dig} near.example.com +short +subnet=1.1.1.0/24"),
            "the nearest region; try cache. canary. standby.",
        );
        let edge = format!("http://{}:{}/", first.edge(), self.port);
        more(format!("curl {edge} -H 'host: {NAME}'"), "an address that dig gave; the answer names its tiers");
        let (program, at) = (self.program, format!("--socket {}", self.socket.display()));
        let url = format!("http://{NAME}:{}/", self.port);
        more(
            format!("{program} explain {url} --client {} {at}", first.client_prefix().0),
            "every step of the decision, through all tiers",
        );
        more(format!("{program} status --watch {at}"), "one screen; Ctrl-C ends it");
        more(
            format!("{program} drain region/{} --for 30s {at}", second.name),
            "its clients move, and come back by themselves",
        );
        if let Some(admin) = self.admin {
            more(format!("curl http://{admin}/v1/status"), "the admin API; /metrics is there, too");
        }
        commands
    }
}
