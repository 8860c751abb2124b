//! Reads the keys of one table, each as the type it takes, and reports what is wrong with it, what is missing and what
//! nothing reads.
//!
//! Every method takes a key out; [`Fields::finish`] reports those that are left. A value that could not be read is
//! reported here and then counts as absent, so that one mistake is one problem. `serde` stops at the first problem and
//! is not used.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::Location;

use super::codes;
use super::document::Table;
use super::document::Value;
use super::forms;
use super::forms::Form;
use super::reports::Reports;
use super::source::Span;
use super::source::Written;

/// The keys of one table that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    /// What the table is, for problems: `[server]`, `pool \`eu-web\``, `an endpoint`.
    pub what: String,
    /// Where it begins.
    pub span: Span,
    left: Vec<(Written<String>, Written<Value>)>,
    asked: Vec<&'static str>,
    /// Keys that must be there and are not, with an example.
    missing: Vec<(&'static str, &'static str)>,
}

/// A list, with those of its items that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T> {
    /// The items.
    pub items: Vec<Written<T>>,
    /// Where the whole list stands.
    pub span: Span,
    /// Whether every item could be read; if not, what is missing has been reported.
    pub complete: bool,
}

/// The words that a key takes.
pub struct Words<T: 'static> {
    /// What they mean here.
    pub words: &'static [(&'static str, T)],
}

impl Fields {
    /// The keys of a table.
    pub fn new(what: impl Into<String>, span: Span, table: Table) -> Self {
        Fields { what: what.into(), span, left: table.entries, asked: Vec::new(), missing: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<Written<Value>> {
        self.asked.push(key);
        let at = self.left.iter().position(|(k, _)| k.value == key)?;
        Some(self.left.remove(at).1)
    }

    /// Whether a key is there and not read yet.
    pub fn has(&self, key: &str) -> bool {
        self.left.iter().any(|(k, _)| k.value == key)
    }

    /// Where the first of these keys that is there stands.
    pub fn first_of(&self, keys: &[&'static str]) -> Option<(&'static str, Span)> {
        let (key, _) = self.left.iter().find(|(k, _)| keys.contains(&k.value.as_str()))?;
        keys.iter().find(|k| **k == key.value).map(|k| (*k, key.span))
    }

    /// Has these keys among those that are told of, wherever they are read.
    pub fn knows(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    /// Reports keys that have no meaning here and takes them out.
    pub fn misplaced(&mut self, reports: &mut Reports<'_>, keys: &[&'static str], why: &str, help: &str) {
        for key in keys {
            let Some(at) = self.left.iter().position(|(k, _)| k.value == *key) else { continue };
            let (key, _) = self.left.remove(at);
            reports
                .error(codes::MISPLACED, key.span, format!("`{}` has no meaning {why}", key.value))
                .help(help.to_owned());
        }
    }

    /// Says that a key must be there; to be called before the key is read.
    pub fn require(&mut self, key: &'static str, example: &'static str) {
        if !self.has(key) {
            self.missing.push((key, example));
        }
    }

    /// Reports the keys that nothing has read, and those that are missing. True when every key was known.
    pub fn finish(mut self, reports: &mut Reports<'_>) -> bool {
        let all_known = self.left.is_empty();
        for (key, _) in std::mem::take(&mut self.left) {
            let name = &key.value;
            let similar = reports.similar(name, self.asked.iter().copied());
            let help = match similar {
                Some(known) => {
                    // It is there, misspelt.
                    self.missing.retain(|(key, _)| *key != known);
                    format!("did you mean `{known}`?")
                }
                None => format!("keys: {}", self.asked.join(", ")),
            };
            reports
                .error(codes::UNKNOWN_KEY, key.span, format!("{} has no key `{name}`", self.what))
                .label("unknown key")
                .help(help);
        }
        for (key, example) in &self.missing {
            let help = format!("add `{key} = {example}`");
            reports.error(codes::MISSING, self.span, format!("{} has no `{key}`", self.what)).help(help);
        }
        all_known
    }

    /// A text of some form.
    pub fn form<T>(&mut self, reports: &mut Reports<'_>, key: &'static str, form: &Form<T>) -> Option<Written<T>> {
        let value = self.take(key)?;
        read_form(reports, &format!("`{key}`"), form, value)
    }

    /// A list of texts of some form.
    pub fn forms<T>(&mut self, reports: &mut Reports<'_>, key: &'static str, form: &Form<T>) -> Option<List<T>> {
        let of = format!("a list, as in `{key} = [{}]`", form.example);
        let (items, span) = self.list(reports, key, &of)?;
        Some(read_list(span, items, |item| read_form(reports, &format!("an item of `{key}`"), form, item)))
    }

    fn list(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        takes: &str,
    ) -> Option<(Vec<Written<Value>>, Span)> {
        let value = self.take(key)?;
        match value.value {
            Value::List(items) => Some((items, value.span)),
            other => {
                wrong_type(reports, value.span, &format!("`{key}`"), takes, &other, None);
                None
            }
        }
    }

    /// A list of texts that are names defined elsewhere.
    pub fn names(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<List<String>> {
        self.forms(reports, key, &forms::TEXT)
    }

    /// A list of integers in a range.
    pub fn integers(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<List<u64>> {
        let (items, span) = self.list(reports, key, "a list of integers")?;
        Some(read_list(span, items, |item| read_integer(reports, &format!("an item of `{key}`"), &range, item)))
    }

    /// A name that is defined elsewhere.
    pub fn name(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<Written<String>> {
        self.form(reports, key, &forms::TEXT)
    }

    /// One of some words.
    pub fn word<T: Copy>(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        words: &Words<T>,
    ) -> Option<Written<T>> {
        let value = self.take(key)?;
        let takes = format!("one of {}", words.list());
        let Value::Text(text) = &value.value else {
            wrong_type(reports, value.span, &format!("`{key}`"), &takes, &value.value, None);
            return None;
        };
        match words.words.iter().find(|(word, _)| word == text) {
            Some((_, meaning)) => Some(Written { value: *meaning, span: value.span }),
            None => {
                unknown_word(reports, value.span, key, text, words);
                None
            }
        }
    }

    /// An integer in a range.
    pub fn integer(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Written<u64>> {
        let value = self.take(key)?;
        read_integer(reports, &format!("`{key}`"), &range, value)
    }

    /// An integer in a range that may begin below zero.
    pub fn signed(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Written<i64>> {
        let value = self.take(key)?;
        let what = format!("`{key}`");
        let takes = format!("an integer from {} to {}", range.start(), range.end());
        match value.value {
            Value::Integer(number) if range.contains(&number) => Some(Written { value: number, span: value.span }),
            other => {
                wrong_number(reports, value.span, &what, &takes, &other);
                None
            }
        }
    }

    /// A duration in a range.
    pub fn duration(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Written<Duration>> {
        let value = self.take(key)?;
        if let Value::Integer(number) = value.value {
            let help = format!("durations are texts with a unit: `{key} = \"{number}s\"`");
            wrong_type(reports, value.span, &format!("`{key}`"), "a duration", &value.value, Some(help));
            return None;
        }
        let duration = read_form(reports, &format!("`{key}`"), &forms::DURATION, value)?;
        if range.contains(&duration.value) {
            return Some(duration);
        }
        let takes = match duration.value < *range.start() {
            true => format!("at least {}", forms::show_duration(*range.start())),
            false => format!("at most {}", forms::show_duration(*range.end())),
        };
        let fact = format!("`{key}` is {}, and takes {takes}", forms::show_duration(duration.value));
        reports.error(codes::RANGE, duration.span, fact).label("out of range");
        None
    }

    /// `true` or `false`.
    pub fn flag(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<Written<bool>> {
        let value = self.take(key)?;
        match value.value {
            Value::Flag(flag) => Some(Written { value: flag, span: value.span }),
            other => {
                let help = matches!(&other, Value::Text(text) if text == "true" || text == "false")
                    .then(|| "leave the quotation marks out".to_owned());
                wrong_type(reports, value.span, &format!("`{key}`"), "true or false", &other, help);
                None
            }
        }
    }

    /// A path, relative to the file that names it.
    pub fn path(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<Written<PathBuf>> {
        let text = self.form(reports, key, &PATH)?;
        Some(from_its_file(reports, text))
    }

    /// A list of paths, each relative to the file that names it.
    pub fn paths(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<List<PathBuf>> {
        let texts = self.forms(reports, key, &PATH)?;
        let items = texts.items.into_iter().map(|text| from_its_file(reports, text)).collect();
        Some(List { items, span: texts.span, complete: texts.complete })
    }

    /// `[latitude, longitude]` in degrees.
    pub fn location(&mut self, reports: &mut Reports<'_>, key: &'static str) -> Option<Written<Location>> {
        let value = self.take(key)?;
        let numbers: Option<Vec<f64>> = match &value.value {
            Value::List(items) => items.iter().map(|item| degrees(&item.value)).collect(),
            _ => None,
        };
        let Some(&[lat, lon]) = numbers.as_deref() else {
            let takes = "[latitude, longitude] in degrees";
            let help = Some(format!("write `{key} = [52.52, 13.40]`"));
            wrong_type(reports, value.span, &format!("`{key}`"), takes, &value.value, help);
            return None;
        };
        if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) {
            return Some(Written { value: Location { lat, lon }, span: value.span });
        }
        let swapped = (-90.0..=90.0).contains(&lon) && (-180.0..=180.0).contains(&lat);
        let help = if swapped {
            format!("latitude comes first: did you mean `[{lon}, {lat}]`?")
        } else {
            "latitudes are −90 to 90, longitudes −180 to 180".into()
        };
        let fact = format!("`{key}` is nowhere on the globe: latitude {lat}, longitude {lon}");
        reports.error(codes::RANGE, value.span, fact).help(help);
        None
    }

    /// A table inside this one.
    pub fn table(&mut self, reports: &mut Reports<'_>, key: &'static str, takes: &str) -> Option<Fields> {
        let value = self.take(key)?;
        into_table(reports, &format!("`{key}`"), takes, value).map(|table| Fields { what: format!("`{key}`"), ..table })
    }

    /// A list of tables; each is called `what` in problems.
    pub fn tables(
        &mut self,
        reports: &mut Reports<'_>,
        key: &'static str,
        what: &str,
        example: &str,
    ) -> Option<List<Fields>> {
        let (items, span) = self.list(reports, key, &format!("a list, as in `{key} = [{example}]`"))?;
        Some(read_list(span, items, |item| {
            let span = item.span;
            let table = into_table(reports, what, &format!("a table, as in `{example}`"), item)?;
            Some(Written { value: table, span })
        }))
    }

    /// A key that takes more than one type; what is none of them is reported with [`wrong_type`].
    pub fn any(&mut self, key: &'static str) -> Option<Written<Value>> {
        self.take(key)
    }

    /// All that are left, for a table whose keys are names that nobody here knows.
    pub fn entries(self) -> Vec<(Written<String>, Written<Value>)> {
        self.left
    }

    /// The tables inside this one by their names, all that are left: `[pool.*]`.
    pub fn named(self, reports: &mut Reports<'_>) -> Vec<(Written<String>, Fields)> {
        let kind = self.what;
        let read = |(name, value): (Written<String>, Written<Value>)| {
            let what = format!("{kind} `{}`", name.value);
            let table = into_table(reports, &what, "a table", value)?;
            let span = name.span;
            Some((name, Fields { span, ..table }))
        };
        self.left.into_iter().filter_map(read).collect()
    }
}

const PATH: Form<String> = Form { what: "a path", example: "\"file\"", ..forms::TEXT };

impl<T> Words<T> {
    fn list(&self) -> String {
        self.words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    }
}

/// The keys of a value that is a table; anything else is reported.
pub fn into_table(reports: &mut Reports<'_>, what: &str, takes: &str, value: Written<Value>) -> Option<Fields> {
    match value.value {
        Value::Table(table) => Some(Fields::new(what, value.span, table)),
        other => {
            wrong_type(reports, value.span, what, takes, &other, None);
            None
        }
    }
}

/// Those items of a list that can be read.
pub fn read_list<I, T>(span: Span, items: Vec<I>, mut read: impl FnMut(I) -> Option<Written<T>>) -> List<T> {
    let written = items.len();
    let items: Vec<_> = items.into_iter().filter_map(&mut read).collect();
    let complete = items.len() == written;
    List { items, span, complete }
}

/// Reads a text of some form; `what` is the key in problems.
pub fn read_form<T>(
    reports: &mut Reports<'_>,
    what: &str,
    form: &Form<T>,
    value: Written<Value>,
) -> Option<Written<T>> {
    let Value::Text(text) = &value.value else {
        let as_text = if form.what.starts_with("a text") { "" } else { " as a text" };
        let takes = format!("{}{as_text}, as in `{}`", form.what, form.example);
        wrong_type(reports, value.span, what, &takes, &value.value, None);
        return None;
    };
    match (form.read)(text) {
        Ok(read) => Some(Written { value: read, span: value.span }),
        Err(wrong) if text.is_empty() => {
            reports.error(form.code, value.span, format!("{what} is empty")).help(wrong.help);
            None
        }
        Err(wrong) => {
            let fact = format!("`{}` is not {}", text.escape_debug(), form.what);
            reports.error(form.code, value.span, fact).label(wrong.why).help(wrong.help);
            None
        }
    }
}

fn read_integer(
    reports: &mut Reports<'_>,
    what: &str,
    range: &RangeInclusive<u64>,
    value: Written<Value>,
) -> Option<Written<u64>> {
    let takes = format!("an integer from {} to {}", range.start(), range.end());
    match value.value {
        Value::Integer(number) if u64::try_from(number).is_ok_and(|n| range.contains(&n)) => {
            Some(Written { value: number.unsigned_abs(), span: value.span })
        }
        other => {
            wrong_number(reports, value.span, what, &takes, &other);
            None
        }
    }
}

fn wrong_number(reports: &mut Reports<'_>, span: Span, what: &str, takes: &str, found: &Value) {
    match found {
        Value::Integer(number) => {
            let fact = format!("{what} is {number}, and takes {takes}");
            reports.error(codes::RANGE, span, fact).label("out of range");
        }
        Value::Huge(number) => {
            let fact = format!("{what} is {number}, and takes {takes}");
            reports.error(codes::RANGE, span, fact).label("out of range");
        }
        other => {
            let help = matches!(other, Value::Text(text) if text.parse::<i64>().is_ok())
                .then(|| "leave the quotation marks out".to_owned());
            wrong_type(reports, span, what, takes, other, help);
        }
    }
}

/// Reports a value of another type than a key takes.
pub fn wrong_type(reports: &mut Reports<'_>, span: Span, what: &str, takes: &str, found: &Value, help: Option<String>) {
    let fact = format!("{what} takes {takes}");
    reports.error(codes::TYPE, span, fact).label(format!("this is {}", found.kind())).help(help);
}

/// Reports a word that is none of those a key takes.
pub fn unknown_word<T>(reports: &mut Reports<'_>, span: Span, key: &str, word: &str, words: &Words<T>) {
    let known = words.words.iter().map(|(word, _)| *word);
    let help = match reports.similar(word, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("write one of {}", words.list()),
    };
    let fact = format!("`{key}` cannot be `{}`", word.escape_debug());
    reports.error(codes::WORD, span, fact).label("unknown word").help(help);
}

fn degrees(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

fn from_its_file(reports: &Reports<'_>, text: Written<String>) -> Written<PathBuf> {
    let directory = reports.sources().directory(text.span);
    text.map(|text| directory.join(text))
}
