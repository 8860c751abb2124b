//! Everything the README says is run: its console blocks, against the demo or against the examples.
//!
//! A block is marked by the comment before it: `<!-- demo -->` runs while a demo is up (its ports put in place of the
//! README's), `<!-- run -->` runs in the repository. Lines behind `$ ` are commands; what follows must be printed, in
//! that order, where `…` alone stands for any lines and `…` in a line for any characters.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");

#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The steps of every console block marked with `mark`.
fn steps(mark: &str) -> Vec<Step> {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let (mut marked, mut inside) = (false, false);
    for line in readme.lines() {
        match line {
            "```console" if marked => inside = true,
            "```" => (inside, marked) = (false, false),
            _ if inside => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), expected: Vec::new() }),
                None => steps.last_mut().expect("a block begins with a command").expected.push(line.to_owned()),
            },
            _ if !line.trim().is_empty() => marked = line == format!("<!-- {mark} -->"),
            _ => {}
        }
    }
    assert!(!steps.is_empty(), "the README has no block marked {mark}");
    steps
}

fn line_fits(pattern: &str, line: &str) -> bool {
    let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (squeeze(pattern), squeeze(line));
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        return rest.is_empty();
    }
    for (i, part) in parts.iter().enumerate() {
        if i + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn fits(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => (0..=printed.len()).any(|skip| fits(rest, &printed[skip..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, more)| line_fits(first, line) && fits(rest, more))
        }
    }
}

fn shell(command: &str) -> (bool, String) {
    let folder = Path::new(RHUMB).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-c", command]).current_dir(ROOT).env("PATH", path).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success();
    if !found {
        eprintln!("SKIPPED: `{program}` is not installed");
    }
    found
}

fn sorted_if_addresses(expected: &[String], printed: Vec<&str>) -> Vec<String> {
    // `dig +short` prints addresses in the order they were drawn.
    let mut lines: Vec<String> = printed.into_iter().map(str::to_owned).collect();
    if expected.iter().all(|l| l.parse::<std::net::IpAddr>().is_ok()) {
        lines.sort();
    }
    lines
}

fn check(step: &Step) {
    let command = &step.command;
    let (ok, text) = shell(command);
    let lines = sorted_if_addresses(&step.expected, text.lines().collect());
    let printed: Vec<&str> = lines.iter().map(String::as_str).collect();
    let expected = step.expected.join("\n");
    assert!(ok, "`{command}` failed:\n{text}");
    assert!(fits(&step.expected, &printed), "`{command}` printed\n{text}\nbut the README says\n{expected}");
}

#[test]
fn the_readme_s_commands_print_what_it_says() {
    for step in steps("run") {
        check(&step);
    }
}

struct Demo {
    child: Child,
    dns_port: String,
    edge_port: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Politely, so that it takes its folder along.
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        if !told.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Starts a demo on free ports and waits until it has said where it is.
fn demo() -> (Demo, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(RHUMB)
        .args(["demo", "--listen", "127.0.0.1:0", "--seconds", "120", "--fail-after", "110s", "--rate", "20"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut dns_port, mut edge_port) = (String::new(), String::new());
    let mut line = String::new();
    while edge_port.is_empty() {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the demo ended before it said what to try");
        if let Some((_, rest)) = line.split_once(" -p ") {
            dns_port = rest.split_whitespace().next().unwrap().to_owned();
        }
        if let Some((_, rest)) = line.split_once("curl http://") {
            edge_port = rest.split('/').next().unwrap().rsplit(':').next().unwrap().to_owned();
        }
    }
    (Demo { child, dns_port, edge_port }, lines)
}

#[test]
fn the_demo_answers_as_the_readme_says() {
    if !installed("dig") || !installed("curl") {
        return;
    }
    let (demo, _lines) = demo();
    let here = |text: &str| {
        let text = text.replace("-p 5300", &format!("-p {}", demo.dns_port));
        text.replace(":8080", &format!(":{}", demo.edge_port))
    };
    for Step { command, expected } in steps("demo") {
        let step = Step { command: here(&command), expected: expected.iter().map(|line| here(line)).collect() };
        check(&step);
    }
}
