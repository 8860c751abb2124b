//! Shows problems to people and programs: drawn under the line they are in, one line each, or as JSON.
//!
//! A [`Problem`] knows its place but not the text there; whoever draws lends the lines. Nothing here decides what is
//! wrong.

use std::path::Path;

use annotate_snippets::AnnotationKind;
use annotate_snippets::Group;
use annotate_snippets::Level;
use annotate_snippets::Origin;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;
use serde_json::json;

use crate::model::Place;
use crate::model::Problem;
use crate::model::Severity;

/// How problems are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Under the line they are in, for people.
    Text {
        /// Whether colours may be used: a terminal, and no `NO_COLOR`.
        colour: bool,
    },
    /// One line each, for editors and `grep`.
    Short,
    /// One object, for programs.
    Json,
}

/// Gives a line of a file, counted from 1, without its end; none when the file cannot be shown.
pub type Lines<'a> = dyn FnMut(&Path, u32) -> Option<String> + 'a;

/// How many problems of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Cannot be served.
    pub errors: usize,
    /// Works, but probably not as meant.
    pub warnings: usize,
}

impl Count {
    /// Counts.
    pub fn of(problems: &[Problem]) -> Self {
        let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
        Count { errors, warnings: problems.len() - errors }
    }
}

impl std::fmt::Display for Count {
    /// `3 errors, 1 warning`; what there is none of is left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (0, 0) => f.write_str("no problems"),
            (0, warnings) => f.write_str(&plural(warnings, "warning")),
            (errors, 0) => f.write_str(&plural(errors, "error")),
            (errors, warnings) => write!(f, "{}, {}", plural(errors, "error"), plural(warnings, "warning")),
        }
    }
}

/// Shows every problem, then `last`, a line that sums up.
pub fn show(problems: &[Problem], format: Format, last: &str, lines: &mut Lines<'_>) -> String {
    match format {
        Format::Json => json(problems, last),
        Format::Short => {
            let mut out: String = problems.iter().map(|p| format!("{}\n", harmless(&p.to_string()))).collect();
            out.push_str(last);
            out.push('\n');
            out
        }
        Format::Text { colour } => {
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            let mut out = String::new();
            for problem in problems {
                out.push_str(&draw(&renderer, problem, lines));
                out.push_str("\n\n");
            }
            out.push_str(last);
            out.push('\n');
            out
        }
    }
}

fn draw(renderer: &Renderer, problem: &Problem, lines: &mut Lines<'_>) -> String {
    let level = if problem.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
    let mut group = Group::with_title(level.primary_title(problem.fact.as_str()).id(problem.code));
    if let Some(place) = &problem.place {
        group = with_place(group, place, problem.label.as_deref(), lines);
    }
    let drawn = renderer.render(&[group]);
    match &problem.help {
        None => drawn,
        Some(help) => {
            let help = Group::with_title(Level::HELP.secondary_title(help.as_str()));
            // A report of its own, so that no empty line of the margin stands before it.
            format!("{drawn}\n{}", renderer.render(&[help]))
        }
    }
}

fn with_place<'p>(group: Group<'p>, place: &'p Place, label: Option<&'p str>, lines: &mut Lines<'_>) -> Group<'p> {
    let path = place.file.to_string_lossy();
    let Some(line) = (place.line > 0).then(|| lines(&place.file, place.line)).flatten() else {
        let origin = Origin::path(path);
        return group.element(match (place.line, place.column) {
            (0, _) => origin,
            (line, 0) => origin.line(line as usize),
            (line, column) => origin.line(line as usize).char_column(column as usize),
        });
    };
    let marked = marked(&line, place);
    let annotation = AnnotationKind::Primary.span(marked).label(label);
    group.element(Snippet::source(line).line_start(place.line as usize).path(path).annotation(annotation))
}

/// The bytes of a line that a place means; a column of 0 means the whole line without its indentation.
fn marked(line: &str, place: &Place) -> std::ops::Range<usize> {
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    match place.column as usize {
        0 => line.len() - line.trim_start().len()..line.trim_end().len(),
        column => byte(column - 1)..byte(column - 1 + place.width as usize),
    }
}

/// Keys stay as they are for good; programs read them.
fn json(problems: &[Problem], last: &str) -> String {
    let Count { errors, warnings } = Count::of(problems);
    let problems: Vec<_> = problems
        .iter()
        .map(|p| {
            let place = p.place.as_ref();
            json!({
                "code": p.code,
                "severity": if p.severity == Severity::Error { "error" } else { "warning" },
                "file": place.map(|place| place.file.to_string_lossy()),
                "line": place.map(|place| place.line).filter(|line| *line > 0),
                "column": place.map(|place| place.column).filter(|column| *column > 0),
                "width": place.map(|place| place.width).filter(|width| *width > 0),
                "fact": p.fact,
                "label": p.label,
                "help": p.help,
            })
        })
        .collect();
    let whole = json!({ "problems": problems, "errors": errors, "warnings": warnings, "summary": last });
    format!("{whole:#}\n")
}

/// One line stays one line, and a terminal obeys nothing that stands in a file.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Problem {
        let place = Place { file: "rhumb.toml".into(), line: 11, column: 33, width: 8 };
        Problem::error("E0101", place, "VIP `www.example.com.` uses pool `eu-wbe`, which is not defined")
            .label("no [pool.eu-wbe]")
            .help("a pool with a similar name exists: `eu-web`")
    }

    #[test]
    fn a_problem_is_drawn_under_its_line() {
        let line = r#"  { geos = ["EU", "AF"], pool = "eu-wbe" },"#;
        let drawn = show(&[sample()], Format::Text { colour: false }, "1 error", &mut |_, _| Some(line.into()));
        let expected = r#"error[E0101]: VIP `www.example.com.` uses pool `eu-wbe`, which is not defined
  --> rhumb.toml:11:33
   |
11 |   { geos = ["EU", "AF"], pool = "eu-wbe" },
   |                                 ^^^^^^^^ no [pool.eu-wbe]
help: a pool with a similar name exists: `eu-web`

1 error
"#;
        assert_eq!(drawn, expected);
    }

    #[test]
    fn places_outside_the_text_are_drawn_all_the_same() {
        for (line, column, width) in [(0, 0, 0), (1, 0, 0), (1, 9, 9), (7, 1, 1)] {
            let problem = Problem { place: Some(Place { file: "a".into(), line, column, width }), ..sample() };
            let mut lines = |_: &Path, line: u32| (line == 1).then(|| "ü".to_owned());
            show(&[problem], Format::Text { colour: true }, "", &mut lines);
        }
    }

    #[test]
    fn short_is_one_line_each_and_json_can_be_read() {
        let short = show(&[sample()], Format::Short, "1 error", &mut |_, _| None);
        assert_eq!(short.lines().count(), 2);
        assert!(short.starts_with("rhumb.toml:11:33: error[E0101]: VIP"), "{short}");
        let json: serde_json::Value =
            serde_json::from_str(&show(&[sample()], Format::Json, "1 error", &mut |_, _| None)).unwrap();
        assert_eq!(json["problems"][0]["column"], 33);
        assert_eq!(json["errors"], 1);
    }

    #[test]
    fn counts_are_said_in_words() {
        let count = |errors, warnings| Count { errors, warnings }.to_string();
        assert_eq!(count(3, 1), "3 errors, 1 warning");
        assert_eq!(count(1, 0), "1 error");
        assert_eq!(count(0, 2), "2 warnings");
    }
}
