//! `rhumb man`: the manual, from the same words as `--help`.

use std::path::Path;
use std::path::PathBuf;

use crate::cmd::Exit;
use crate::cmd::terminal;
use crate::cmd::terminal::tell;
use crate::model::plain_words;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Write a page for every command into this folder, instead of printing the main one
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

const AFTER: &str = "\
Examples:
  rhumb man | man -l -                         read it
  rhumb man /usr/local/share/man/man1          install rhumb.1, rhumb-drain.1, ...";

/// Runs it.
pub fn run(args: Args) -> Exit {
    let pages = pages();
    let Some(folder) = args.folder else {
        terminal::print(&pages[0].1);
        return Exit::Done;
    };
    match write(&folder, &pages) {
        Ok(()) => {
            terminal::print(&format!("{} pages are in {}\n", pages.len(), folder.display()));
            Exit::Done
        }
        Err((path, error)) => {
            tell(format!("error: cannot write {}: {}", path.display(), plain_words(&error)));
            Exit::Failed
        }
    }
}

fn write(folder: &Path, pages: &[(String, String)]) -> Result<(), (PathBuf, std::io::Error)> {
    std::fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
    pages.iter().try_for_each(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| (path, error))
    })
}

/// The main page first, then one for each verb and each verb's verb; names of files and their texts.
fn pages() -> Vec<(String, String)> {
    // The main page lists the verbs itself, so the headings of `--help` are left out.
    let mut main = <crate::cmd::Cli as clap::CommandFactory>::command();
    main.build();
    let mut out = Vec::new();
    page(&main, "rhumb", &mut out);
    out
}

fn page(command: &clap::Command, name: &str, out: &mut Vec<(String, String)>) {
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).manual("rhumb");
    man.render(&mut text).expect("memory takes what is written");
    out.push((format!("{name}.1"), String::from_utf8_lossy(&text).into_owned()));
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        page(verb, &format!("{name}-{}", verb.get_name()), out);
    }
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn every_verb_has_a_page_with_its_name_and_options() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["rhumb.1", "rhumb-serve.1", "rhumb-geo-lookup.1", "rhumb-explain.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, text) in &pages {
            let name = name.trim_end_matches(".1").replace('-', "\\-");
            assert!(text.contains(&format!("{name} \\- ")) && text.contains(".SH SYNOPSIS"), "{name}: {text}");
        }
    }
}
