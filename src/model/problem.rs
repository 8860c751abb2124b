//! A problem with what an operator wrote: a place, a fact and a way out.
//!
//! Readers of configuration, zones and databases collect these and go on, so that one run reports them all;
//! `config::problem` draws them.

use std::fmt;
use std::path::PathBuf;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but probably not as meant.
    Warning,
    /// Cannot be served.
    Error,
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the operator named it.
    pub file: PathBuf,
    /// The line; 0 when the whole file is meant.
    pub line: u32,
    /// The column; 0 when the whole line is meant.
    pub column: u32,
    /// How many characters of the line are meant; 0 when that is not known.
    pub width: u32,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Place { file: file.into(), line: 0, column: 0, width: 0 }
    }
    /// A spot in a file.
    pub fn at(file: impl Into<PathBuf>, line: u32, column: u32) -> Self {
        Place { file: file.into(), line, column, width: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable code: `E0101`. E00 files and syntax, E01 configuration, E02 zones, E03 geography; W likewise.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Option<Place>,
    /// What is wrong, in one sentence without a full stop.
    pub fact: String,
    /// A few words for the marked spot: `no [pool.eu-wbe]`.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
}

impl Problem {
    /// An error.
    pub fn error(code: &'static str, place: impl Into<Option<Place>>, fact: impl Into<String>) -> Self {
        Problem { code, severity: Severity::Error, place: place.into(), fact: fact.into(), label: None, help: None }
    }
    /// A warning.
    pub fn warning(code: &'static str, place: impl Into<Option<Place>>, fact: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(code, place, fact) }
    }
    /// With words for the marked spot.
    pub fn label(self, label: impl Into<String>) -> Self {
        Problem { label: Some(label.into()), ..self }
    }
    /// With a way out.
    pub fn help(self, help: impl Into<String>) -> Self {
        Problem { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Problem {
    /// One line: `rhumb.toml:11:33: error[E0101]: fact; help`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let kind = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{kind}[{}]: {}", self.code, self.fact)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// The words of a system's error in the middle of a sentence: without its number, which means nothing to people.
pub fn plain_words(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.chars().take(1).flat_map(char::to_lowercase).chain(text.chars().skip(1)).collect()
}
