//! What `rhumb --help` shows: the verbs under the headings of what an operator is about to do, and examples.

use std::ffi::OsString;
use std::fmt::Write as _;

/// The headings, in order, and the verbs under each.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Run it", &["serve", "demo", "check", "reload"]),
    ("See", &["status", "get", "events", "explain"]),
    ("Order", &["drain", "maint", "force", "weight", "undrain"]),
    ("Plan", &["diff", "simulate"]),
    ("Data", &["zone", "geo"]),
    ("Shell", &["completions", "man", "schema"]),
];

/// What follows the options.
const AFTER: &str = "\
Examples:
  rhumb demo                                   three regions on loopback, one of which fails
  rhumb check -c rhumb.toml                    every problem of the files in one run
  rhumb explain www.example.com --client 81.2.69.142
  rhumb COMMAND --help                         what a command takes, with examples

Exit codes: 0 done, 1 failed, 2 usage, 3 invalid configuration or zone,
            4 refused for safety, 5 server unreachable";

/// The same command line with its verbs under headings.
pub fn grouped(command: clap::Command) -> clap::Command {
    let styles = command.get_styles().clone();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let mut verbs = String::new();
    for (heading, names) in GROUPS {
        let known: Vec<&clap::Command> = names.iter().filter_map(|name| command.find_subcommand(name)).collect();
        if known.is_empty() {
            continue;
        }
        let _ = writeln!(verbs, "{header}{heading}:{header:#}");
        for verb in known {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(verbs, "  {literal}{:<12}{literal:#} {about}", verb.get_name());
        }
        verbs.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{verbs}{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    command.help_template(template).after_help(AFTER)
}

/// `rhumb help drain` as what it stands for, `rhumb drain --help`: many programs have it, and fingers know it.
pub fn as_options(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::GROUPS;
    use crate::cmd::Cli;

    #[test]
    fn every_verb_stands_under_one_heading() {
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        listed.sort_unstable();
        let command = Cli::command();
        for verb in command.get_subcommands() {
            assert!(listed.binary_search(&verb.get_name()).is_ok(), "`{}` has no heading", verb.get_name());
        }
        listed.dedup();
        assert_eq!(listed.len(), GROUPS.iter().map(|(_, names)| names.len()).sum::<usize>());
    }

    #[test]
    fn help_may_come_first() {
        for (asked, meant) in [
            ("rhumb help", "rhumb --help"),
            ("rhumb help drain", "rhumb drain --help"),
            ("rhumb help zone check", "rhumb zone check --help"),
            ("rhumb get help", "rhumb get help"),
        ] {
            let words = |line: &str| line.split(' ').map(Into::into).collect::<Vec<_>>();
            assert_eq!(super::as_options(words(asked)), words(meant));
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        crate::cmd::command().debug_assert();
    }
}
