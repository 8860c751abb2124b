//! A TOML file as a tree of values, each with its place, in the order they were written.
//!
//! The parser's own tables are sorted by key and know only offsets inside one file. Nothing here knows sections and
//! keys; see `fields`.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::DeInteger;
use toml::de::DeTable;
use toml::de::DeValue;

use super::codes;
use super::reports::Reports;
use super::source::FileId;
use super::source::Sources;
use super::source::Span;
use super::source::Written;

/// A value as TOML has them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `"text"`.
    Text(String),
    /// `1`.
    Integer(i64),
    /// An integer that 64 bits do not hold, as it was written: out of every range.
    Huge(String),
    /// `1.5`.
    Float(f64),
    /// `true`.
    Flag(bool),
    /// `1979-05-27`; nothing takes one.
    Date,
    /// `[1, 2]`, and `[[headings]]`.
    List(Vec<Written<Value>>),
    /// `{ a = 1 }`, and `[headings]`.
    Table(Table),
}

impl Value {
    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) | Value::Huge(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys and values in the order they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// No key is there twice.
    pub entries: Vec<(Written<String>, Written<Value>)>,
}

/// Reads one file; every syntax error is reported, and then there is no table.
pub fn parse(sources: &Sources, file: FileId, reports: &mut Reports<'_>) -> Option<Table> {
    let (tree, errors) = DeTable::parse_recoverable(sources.text_of(file));
    let table = errors.is_empty().then(|| table(sources, file, tree.into_inner()));
    syntax(sources, file, errors, reports);
    table
}

/// One problem a line: what the parser says next of the same line follows from the first.
fn syntax(sources: &Sources, file: FileId, mut errors: Vec<toml::de::Error>, reports: &mut Reports<'_>) {
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let never_closed = errors
        .iter()
        .any(|error| ["unclosed array", "unclosed inline"].iter().any(|what| error.message().starts_with(what)));
    let mut lines_told = HashSet::new();
    for error in &errors {
        let span = sources.span(file, error.span().unwrap_or(0..0));
        let (what, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
        let unclosed = never_closed && what.starts_with("missing comma");
        if lines_told.insert(sources.place(span).line) {
            let said = reports.error(codes::SYNTAX, span, format!("this is not TOML: {what}"));
            let said = if expected.is_empty() { said } else { said.label(format!("expected {expected}")) };
            said.help(unclosed.then(|| "is a `]`, a `}` or a comma missing before this?".to_owned()));
        }
        // A list that is not closed swallows the rest of the file, and nothing said of that is true.
        if unclosed {
            break;
        }
    }
}

fn table(sources: &Sources, file: FileId, tree: DeTable<'_>) -> Table {
    let mut entries: Vec<_> = tree
        .into_iter()
        .map(|(key, value)| {
            let span = sources.span(file, key.span());
            (Written { value: key.into_inner().into_owned(), span }, written(sources, file, value))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span);
    Table { entries }
}

/// The depth is bounded by the parser, which refuses more than 80 levels.
fn written(sources: &Sources, file: FileId, spanned: Spanned<DeValue<'_>>) -> Written<Value> {
    let span: Span = sources.span(file, spanned.span());
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => integer(&number).map_or_else(|| huge(sources, span), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| written(sources, file, item)).collect()),
        DeValue::Table(tree) => Value::Table(table(sources, file, tree)),
    };
    Written { value, span }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The parser leaves signs, underscores and `0x` out; people look for what they wrote.
fn huge(sources: &Sources, span: Span) -> Value {
    /// Enough to be recognized by.
    const SHOWN_CHARS_MAX: usize = 40;
    let text = sources.text_at(span);
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    Value::Huge(if shown.len() < text.len() { shown + "…" } else { shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Table>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("a.toml".into(), text.into()).unwrap();
        let mut reports = Reports::new(&sources);
        let table = parse(&sources, file, &mut reports);
        (table, reports.finish().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_keep_the_order_of_the_file() {
        let table = read("[pool.b]\nx = 1_000\n[pool.a]\ny = 0x10").0.unwrap();
        let Value::Table(pools) = &table.entries[0].1.value else { panic!() };
        let names: Vec<&str> = pools.entries.iter().map(|(k, _)| k.value.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let Value::Table(b) = &pools.entries[0].1.value else { panic!() };
        assert_eq!(b.entries[0].1.value, Value::Integer(1000));
    }

    #[test]
    fn an_integer_of_more_than_64_bits_is_kept_as_written() {
        let table = read("a = -9_223_372_036_854_775_809\nb = 0x8000000000000000\nc = -9223372036854775808").0.unwrap();
        let values: Vec<&Value> = table.entries.iter().map(|(_, value)| &value.value).collect();
        assert_eq!(*values[0], Value::Huge("-9_223_372_036_854_775_809".into()));
        assert_eq!(*values[1], Value::Huge("0x8000000000000000".into()));
        assert_eq!(*values[2], Value::Integer(i64::MIN));
    }

    #[test]
    fn every_syntax_error_is_told_with_its_place() {
        let (table, problems) = read("a = \nb = 1\nb = 2\nc = [1\nd = 2\ne = x");
        assert!(table.is_none());
        assert_eq!(problems.len(), 3, "{problems:#?}");
        assert!(problems[0].starts_with("a.toml:1:"), "{problems:#?}");
        assert!(problems[1].starts_with("a.toml:3:1: error[E0003]"), "{problems:#?}");
        assert!(problems[2].starts_with("a.toml:5:1: error[E0003]"), "{problems:#?}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        assert!(read(&format!("a = {}", "[".repeat(100_000))).0.is_none());
        assert!(read(&format!("{} = 1", "a.".repeat(100_000) + "a")).0.is_none());
        assert!(read(&format!("[{}]", "a.".repeat(100_000) + "a")).0.is_none());
    }
}
