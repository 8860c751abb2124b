//! `rhumb check`: every problem of a configuration in one run, offline.
//!
//! What it prints goes to standard output: the problems are what was asked for.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use crate::cmd::ConfigFile;
use crate::cmd::Exit;
pub use crate::cmd::terminal::colour;
pub use crate::cmd::terminal::print;
use crate::cmd::terminal::tell;
use crate::config::Sources;
use crate::config::problem;
use crate::config::problem::Count;
use crate::model::Problem;
use crate::runtime::load::load;
use crate::snapshot::Snapshot;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// How problems are shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How problems are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Under the line they are in
    Text,
    /// One line each: file:line:column: severity[code]: fact; help
    Short,
    /// One object: problems, errors, warnings, summary
    Json,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let path = &args.file.config;
    let (exit, problems, last, sources) = match load(path, None) {
        Ok(loaded) => {
            let last = ok(path, &loaded.snapshot, &loaded.warnings);
            (Exit::Done, loaded.warnings, last, loaded.sources)
        }
        Err(refused) => (Exit::Invalid, refused.problems.clone(), unchanged(&refused.problems), refused.sources),
    };
    print(&show(&problems, args.format, &last, &sources));
    exit
}

/// Says on standard error why the files cannot be served.
pub fn print_refusal(problems: &[Problem], sources: &Sources) {
    let last = Count::of(problems).to_string();
    let format = problem::Format::Text { colour: colour(&std::io::stderr()) };
    tell(drawn(problems, format, &last, sources).trim_end());
}

/// The last line when something cannot be served; whatever serves now is not touched by a check or a refused reload.
pub fn unchanged(problems: &[Problem]) -> String {
    format!("{}; the running configuration is unchanged", Count::of(problems))
}

/// The last line when all is well.
fn ok(path: &Path, snapshot: &Snapshot, warnings: &[Problem]) -> String {
    let mut parts = vec![snapshot.inventory()];
    if !warnings.is_empty() {
        parts.push(Count::of(warnings).to_string());
    }
    format!("{}: ok: {}", path.display(), parts.join(", "))
}

/// Problems as they are shown on standard output.
pub fn show(problems: &[Problem], format: Format, last: &str, sources: &Sources) -> String {
    let format = match format {
        Format::Text => problem::Format::Text { colour: colour(&std::io::stdout()) },
        Format::Short => problem::Format::Short,
        Format::Json => problem::Format::Json,
    };
    drawn(problems, format, last, sources)
}

/// Problems drawn with the lines of `sources` or, for other files, of the disk.
fn drawn(problems: &[Problem], format: problem::Format, last: &str, sources: &Sources) -> String {
    let mut others: HashMap<PathBuf, Option<String>> = HashMap::new();
    let mut lines = |path: &Path, line: u32| match sources.text(path) {
        Some(_) => sources.line(path, line).map(str::to_owned),
        None => {
            let text = others.entry(path.to_owned()).or_insert_with(|| std::fs::read_to_string(path).ok());
            text.as_ref()?.lines().nth((line as usize).checked_sub(1)?).map(str::to_owned)
        }
    };
    problem::show(problems, format, last, &mut lines)
}
