//! Collects problems while reading goes on, and finds what somebody probably meant.

use crate::model::Place;
use crate::model::Problem;
use crate::model::Severity;

use super::source::Sources;
use super::source::Span;

/// Names compared for "did you mean" in one run. A file in which everything is wrong gets suggestions for its first
/// problems; more would cost minutes with ten thousand pools.
const COMPARISONS_MAX: u32 = 200_000;

/// So many names are listed where none is similar.
const NAMES_LISTED_MAX: usize = 6;

/// The problems found so far.
#[derive(Debug)]
pub struct Reports<'s> {
    sources: &'s Sources,
    found: Vec<(Span, Problem)>,
    comparisons_left: u32,
}

/// The problem just reported, to which more can be said.
#[derive(Debug)]
pub struct Said<'a>(&'a mut Problem);

impl Said<'_> {
    /// A few words for the marked spot.
    pub fn label(self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// The way out.
    pub fn help(self, help: impl Into<Option<String>>) -> Self {
        self.0.help = help.into();
        self
    }
}

impl<'s> Reports<'s> {
    /// None so far.
    pub fn new(sources: &'s Sources) -> Self {
        Reports { sources, found: Vec::new(), comparisons_left: COMPARISONS_MAX }
    }

    /// Reports what cannot be served.
    pub fn error(&mut self, code: &'static str, span: Span, fact: impl Into<String>) -> Said<'_> {
        let problem = Problem::error(code, self.place(span), fact);
        self.push(span, problem)
    }

    /// Reports what works, but probably not as meant.
    pub fn warning(&mut self, code: &'static str, span: Span, fact: impl Into<String>) -> Said<'_> {
        let problem = Problem::warning(code, self.place(span), fact);
        self.push(span, problem)
    }

    fn push(&mut self, span: Span, problem: Problem) -> Said<'_> {
        self.found.push((span, problem));
        Said(&mut self.found.last_mut().expect("pushed just now").1)
    }

    /// The files the problems lie in.
    pub fn sources(&self) -> &'s Sources {
        self.sources
    }

    /// Where a span begins.
    pub fn place(&self, span: Span) -> Place {
        self.sources.place(span)
    }

    /// Whether anything cannot be served.
    pub fn any_error(&self) -> bool {
        self.found.iter().any(|(_, p)| p.severity == Severity::Error)
    }

    /// Every problem, in the order of the files.
    pub fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(span, _)| span.start);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }

    /// The name among `known` that somebody who wrote `wrong` probably meant.
    pub fn similar<'k>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
        let wrong_length = wrong.chars().count();
        let allowed = (wrong_length.max(3) / 3).min(4);
        let lowered = wrong.to_lowercase();
        let mut best: Option<(usize, &str)> = None;
        for name in known.into_iter().take(self.comparisons_left as usize) {
            self.comparisons_left -= 1;
            if wrong_length.abs_diff(name.chars().count()) > allowed || name.len() > 255 {
                continue;
            }
            let distance = strsim::damerau_levenshtein(&lowered, &name.to_lowercase());
            if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, name));
            }
        }
        best.map(|(_, name)| name)
    }

    /// The way out of a name of kind `thing` (`pool`, `region`) that is not defined.
    pub fn instead_of(&mut self, thing: &str, wrong: &str, known: &[&str]) -> String {
        if let Some(name) = self.similar(wrong, known.iter().copied()) {
            return format!("a {thing} with a similar name exists: `{name}`");
        }
        let first: Vec<String> = known.iter().take(NAMES_LISTED_MAX).map(|n| format!("`{n}`")).collect();
        match known.len() - first.len() {
            _ if first.is_empty() => format!("no {thing} is defined"),
            0 => format!("defined: {}", first.join(", ")),
            more => format!("defined: {} and {more} more", first.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_found_and_distant_ones_are_not() {
        let sources = Sources::default();
        let mut reports = Reports::new(&sources);
        assert_eq!(reports.similar("eu-wbe", ["us-web", "eu-web"]), Some("eu-web"));
        assert_eq!(reports.similar("EU-WEB", ["us-web", "eu-web"]), Some("eu-web"));
        assert_eq!(reports.similar("asia", ["us-web", "eu-web"]), None);
        assert_eq!(reports.instead_of("pool", "asia", &["a", "b"]), "defined: `a`, `b`");
        assert_eq!(reports.instead_of("pool", "asia", &[]), "no pool is defined");
    }

    #[test]
    fn suggestions_have_an_end() {
        let sources = Sources::default();
        let mut reports = Reports::new(&sources);
        let names: Vec<String> = (0..1000).map(|n| format!("pool-{n:04}")).collect();
        for _ in 0..10_000 {
            reports.similar("pool-xxxx", names.iter().map(String::as_str));
        }
        assert_eq!(reports.comparisons_left, 0);
    }
}
