//! Reads the main file and those it includes, and lays their tables together.
//!
//! The same key in two files is an error that names both places: which of them counts must not depend on the order of
//! file names. `[[geo.network]]` may be spread over files, since it has no keys to clash.

use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use crate::model::Place;
use crate::model::Problem;

use super::Files;
use super::codes;
use super::document;
use super::document::Table;
use super::document::Value;
use super::reports::Reports;
use super::source::BYTES_MAX;
use super::source::FileId;
use super::source::Sources;
use super::source::Written;

/// More included files than this are an accident, such as a pattern that matches a spool directory.
const INCLUDES_MAX: usize = 10_000;

/// The tables of all files as one, unless something could not be read, and what was wrong.
pub fn gather(main: &Path, files: &mut dyn Files, sources: &mut Sources) -> (Option<Table>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    tables.push(one(main, files, sources, &mut problems));
    let (included, wrong) = match &tables[0] {
        Some(table) => includes(table, files, sources),
        None => Default::default(),
    };
    problems.extend(wrong);
    let mut again = Vec::new();
    for (path, from) in included {
        match read_text(&path, files) {
            Ok(_) if sources.paths().any(|known| is_same(known, &path)) => again.push((path, from)),
            Ok(text) => tables.push(parsed(path, text, sources, &mut problems)),
            Err(problem) if problem.code == codes::FILE => {
                let help = "create it, take it out of `include`, or write a pattern with `*`, which may match nothing";
                problems.push(Problem { place: Some(sources.place(from)), ..problem }.help(help));
            }
            Err(problem) => problems.push(problem),
        }
    }
    let Some(tables) = tables.into_iter().collect::<Option<Vec<Table>>>() else { return (None, problems) };
    let mut reports = Reports::new(sources);
    let mut whole = Table::default();
    for (at, table) in tables.into_iter().enumerate() {
        merge(&mut reports, &mut whole, table, at > 0);
    }
    for (path, from) in again {
        let what = if is_same(&path, main) { "this file itself" } else { "a file that is included already" };
        let fact = format!("`include` names {what}: {}", path.display());
        reports
            .warning(codes::INCLUDED_TWICE, from, fact)
            .label("read once")
            .help("take it out, or write a pattern that does not match it".to_owned());
    }
    problems.extend(reports.finish());
    (Some(whole), problems)
}

/// Whether two paths lead to one file, as far as their text tells: `./a.toml` and `conf.d/../a.toml` are `a.toml`.
fn is_same(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| {
        let mut parts: Vec<Component<'_>> = Vec::new();
        for part in path.components() {
            match (part, parts.last()) {
                (Component::CurDir, _) => {}
                (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        parts.iter().collect::<PathBuf>()
    };
    plain(a) == plain(b)
}

fn one(path: &Path, files: &mut dyn Files, sources: &mut Sources, problems: &mut Vec<Problem>) -> Option<Table> {
    match read_text(path, files) {
        Ok(text) => parsed(path.to_owned(), text, sources, problems),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn read_text(path: &Path, files: &mut dyn Files) -> Result<String, Problem> {
    let place = Place::file(path);
    let bytes = files.read(path).map_err(|reason| {
        let help = "name another file with `-c FILE`, or create this one";
        Problem::error(codes::FILE, place.clone(), format!("cannot read {}: {reason}", path.display())).help(help)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count() as u32;
        let last_line = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let column = 1 + String::from_utf8_lossy(last_line).chars().count() as u32;
        let place = Place::at(path, line, column);
        Problem::error(codes::UTF8, place, "this byte is not UTF-8 text").help("save the file as UTF-8")
    })
}

fn parsed(path: PathBuf, text: String, sources: &mut Sources, problems: &mut Vec<Problem>) -> Option<Table> {
    let place = Place::file(&path);
    let Some(file) = sources.add(path, text) else {
        let fact = format!("the configuration is larger than {} MiB", BYTES_MAX >> 20);
        problems.push(Problem::error(codes::TOO_LARGE, place, fact));
        return None;
    };
    parse(file, sources, problems)
}

fn parse(file: FileId, sources: &Sources, problems: &mut Vec<Problem>) -> Option<Table> {
    let mut reports = Reports::new(sources);
    let table = document::parse(sources, file, &mut reports);
    problems.extend(reports.finish());
    table
}

type Included = (Vec<(PathBuf, super::source::Span)>, Vec<Problem>);

/// The files that `include` names, in order, those of one pattern sorted by name.
fn includes(table: &Table, files: &mut dyn Files, sources: &Sources) -> Included {
    let mut reports = Reports::new(sources);
    let mut paths = Vec::new();
    let include = table.entries.iter().find(|(key, _)| key.value == "include");
    for pattern in include.map_or_else(Vec::new, |(_, value)| patterns(&mut reports, value)) {
        let path = sources.directory(pattern.span).join(&pattern.value);
        if !pattern.value.contains(['*', '?', '[']) {
            paths.push((path, pattern.span));
            continue;
        }
        match matches(files, &path) {
            Ok(found) => paths.extend(found.into_iter().map(|path| (path, pattern.span))),
            Err(reason) => {
                let fact = format!("cannot include `{}`: {reason}", pattern.value);
                let help = "a pattern has one `*`, in the last part of the path: `conf.d/*.toml`".to_owned();
                reports.error(codes::INCLUDE, pattern.span, fact).help(help);
            }
        }
        if paths.len() > INCLUDES_MAX {
            let fact = format!("`{}` matches more than {INCLUDES_MAX} files", pattern.value);
            reports.error(codes::INCLUDE, pattern.span, fact);
            paths.truncate(INCLUDES_MAX);
        }
    }
    (paths, reports.finish())
}

fn patterns(reports: &mut Reports<'_>, value: &Written<Value>) -> Vec<Written<String>> {
    let mut out = Vec::new();
    if let Value::List(items) = &value.value {
        for item in items {
            match &item.value {
                Value::Text(text) => out.push(Written { value: text.clone(), span: item.span }),
                other => wrong_include(reports, item, other),
            }
        }
    } else {
        wrong_include(reports, value, &value.value);
    }
    out
}

fn wrong_include(reports: &mut Reports<'_>, at: &Written<Value>, found: &Value) {
    let help = "write `include = [\"conf.d/*.toml\"]`".to_owned();
    super::fields::wrong_type(reports, at.span, "`include`", "a list of paths", found, Some(help));
}

fn matches(files: &mut dyn Files, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let directory = pattern.parent().unwrap_or(Path::new(""));
    let last = pattern.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let Some((before, after)) = last.split_once('*') else { return Err("only `*` is understood".into()) };
    if after.contains(['*', '?', '[']) || directory.to_string_lossy().contains('*') {
        return Err("one `*` is understood, in the last part".into());
    }
    let fits = |name: &String| {
        name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
            && (!name.starts_with('.') || before.starts_with('.'))
    };
    let mut names: Vec<String> = files.list(directory)?.into_iter().filter(fits).collect();
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// Adds a file's sections to those of the files before it.
fn merge(reports: &mut Reports<'_>, whole: &mut Table, table: Table, included: bool) {
    for (key, value) in table.entries {
        if included && key.value == "include" {
            let help = "put every `include` into the main file".to_owned();
            reports.error(codes::INCLUDE, key.span, "an included file includes others").help(help);
            continue;
        }
        match whole.entries.iter_mut().find(|(k, _)| k.value == key.value) {
            None => whole.entries.push((key, value)),
            Some((first, existing)) => match (&mut existing.value, value.value) {
                (Value::Table(into), Value::Table(from)) => merge_section(reports, &key, into, from),
                (Value::List(into), Value::List(from)) if is_headings(into) && is_headings(&from) => into.extend(from),
                _ => twice(reports, first, &key, &key.value),
            },
        }
    }
}

fn merge_section(reports: &mut Reports<'_>, section: &Written<String>, into: &mut Table, from: Table) {
    let known: std::collections::HashMap<String, usize> =
        into.entries.iter().enumerate().map(|(at, (key, _))| (key.value.clone(), at)).collect();
    for (key, value) in from.entries {
        let Some(at) = known.get(&key.value) else {
            into.entries.push((key, value));
            continue;
        };
        let (first, existing) = &mut into.entries[*at];
        match (&mut existing.value, value.value) {
            (Value::List(into), Value::List(from)) if is_headings(into) && is_headings(&from) => into.extend(from),
            _ => twice(reports, first, &key, &format!("{}.{}", section.value, key.value)),
        }
    }
}

fn is_headings(items: &[Written<Value>]) -> bool {
    !items.is_empty() && items.iter().all(|item| matches!(item.value, Value::Table(_)))
}

fn twice(reports: &mut Reports<'_>, first: &Written<String>, second: &Written<String>, what: &str) {
    let before = reports.place(first.span);
    reports
        .error(codes::TWICE, second.span, format!("`{what}` is already in {before}"))
        .label("second time")
        .help("keep one of the two".to_owned());
}
