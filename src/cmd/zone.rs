//! `rhumb zone check`: every problem of master files in one run.
//!
//! Reads and compiles as `serve` does, but looks at no configuration: a record that a VIP's name forbids is found by
//! `rhumb check`.

use std::path::Path;
use std::path::PathBuf;

use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::check::Format;
use crate::config::Sources;
use crate::config::problem::Count;
use crate::dns::name::Name;
use crate::model::{Problem, Severity};
use crate::runtime::zone_files::read_zone;
use crate::zone::tree::Zone;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check master files; every problem in one run
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Master files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The zone's name, where the file's name is not NAME.zone
    #[arg(long, value_name = "NAME")]
    origin: Option<Name>,
    /// How problems are shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let Verb::Check(args) = args.verb;
    let mut problems = Vec::new();
    let mut good = Vec::new();
    for file in &args.files {
        match check_file(file, args.origin.as_ref()) {
            Ok((line, warnings)) => {
                good.push(line);
                problems.extend(warnings);
            }
            Err(all) => problems.extend(all),
        }
    }
    let invalid = problems.iter().any(|p: &Problem| p.severity == Severity::Error);
    if !problems.is_empty() {
        good.push(Count::of(&problems).to_string());
    }
    check::print(&check::show(&problems, args.format, &good.join("\n"), &Sources::default()));
    if invalid { Exit::Invalid } else { Exit::Done }
}

/// One file: what it holds, and warnings.
fn check_file(path: &Path, origin: Option<&Name>) -> Result<(String, Vec<Problem>), Vec<Problem>> {
    let mut file = read_zone(path, origin)?;
    let mut warnings = std::mem::take(&mut file.warnings);
    let (zone, more) = Zone::compile(&file, &[])?;
    warnings.extend(more);
    let (apex, serial, records) = (zone.apex(), zone.serial(), zone.records());
    Ok((format!("{}: ok: {apex} serial {serial}, {records} records", path.display()), warnings))
}
