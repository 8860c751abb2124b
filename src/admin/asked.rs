//! A request as handlers see it: found in the table, let in, its query string and body read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::admin::door::Caller;
use crate::admin::dto::ErrorSaid;
use crate::admin::dto::List;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::routes::Admin;
use crate::admin::table::Key;

/// Items in an answer unless told.
pub const ITEMS: usize = 1_000;
/// The most items in an answer: some three megabytes.
pub const ITEMS_MAX: usize = 10_000;

/// One request.
pub struct Asked {
    pub(super) admin: Arc<Admin>,
    pub(super) caller: Caller,
    /// What the braces of the path stand for, in order.
    pub(super) named: Vec<String>,
    /// The query string.
    pub(super) keys: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The media types that the client takes.
    pub(super) accept: String,
    /// The last event that a stream's reader has seen.
    pub(super) last_event: Option<String>,
}

/// What a handler says.
pub type Said = Result<Response, Failure>;

/// Says something as JSON.
pub(super) fn json<T: Serialize>(said: &T) -> Said {
    Ok(Json(said).into_response())
}

/// Reads a query string whose keys are all known.
///
/// # Errors
/// Every key that is not, with those that are.
pub(super) fn keys(uri: &Uri, known: &[Key]) -> Result<Vec<(String, String)>, Failure> {
    let keys: Vec<(String, String)> = match Query::try_from_uri(uri) {
        Ok(Query(keys)) => keys,
        Err(rejection) => return Err(Failure::new(Kind::Question, rejection.body_text())),
    };
    let mut errors = Vec::new();
    for (at, (key, _)) in keys.iter().enumerate() {
        let parameter = Some(key.clone());
        if !known.iter().any(|k| k.name == key) {
            let names: Vec<&str> = known.iter().map(|k| k.name).collect();
            let takes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let detail = format!("there is no key `{}`; this path takes: {takes}", key.escape_debug());
            errors.push(ErrorSaid { detail, pointer: None, parameter });
        } else if keys[..at].iter().any(|(before, _)| before == key)
            && !known.iter().any(|k| k.name == key && k.repeated)
        {
            errors.push(ErrorSaid { detail: format!("`{key}` is given twice"), pointer: None, parameter });
        }
    }
    for key in known.iter().filter(|k| k.required && keys.iter().all(|(name, _)| name != k.name)) {
        let detail = format!("`{}` is missing: {}", key.name, key.about);
        errors.push(ErrorSaid { detail, pointer: None, parameter: Some(key.name.to_owned()) });
    }
    if errors.is_empty() { Ok(keys) } else { Err(Failure::of_errors(Kind::Question, errors)) }
}

/// A value of the query string that is wrong.
pub(super) fn wrong(key: &str, detail: impl Into<String>) -> Failure {
    let error = ErrorSaid { detail: detail.into(), pointer: None, parameter: Some(key.to_owned()) };
    Failure::of_errors(Kind::Question, vec![error])
}

impl Asked {
    /// A value of the query string.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The values of a key that may be there several times.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.keys.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A number of the query string.
    pub(super) fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Failure> {
        let Some(text) = self.key(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(wrong(name, format!("`{name}` is a number from {} to {}", range.start(), range.end()))),
        }
    }

    /// A word of the query string.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let Some(text) = self.key(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        let list = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| wrong(name, format!("`{name}` is one of: {}", list())))
    }

    /// True or false of the query string.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.word(name, &[("true", true), ("false", false)])
    }

    /// Which stretch of a list is asked for.
    pub(super) fn stretch(&self) -> Result<Stretch, Failure> {
        let limit = self.number("limit", 1..=ITEMS_MAX as u64)?.map_or(ITEMS, |limit| limit as usize);
        let Some(after) = self.key("after") else { return Ok(Stretch { generation: None, start: 0, limit }) };
        let cursor = after
            .split_once('-')
            .and_then(|(generation, start)| Some((generation.parse::<u64>().ok()?, start.parse::<usize>().ok()?)));
        let (generation, start) = cursor.ok_or_else(|| wrong("after", "`after` takes what a list said as `next`"))?;
        Ok(Stretch { generation: Some(generation), start, limit })
    }
}

/// A stretch of a list: places in it, good for one configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    generation: Option<u64>,
    pub(super) start: usize,
    pub(super) limit: usize,
}

impl Stretch {
    /// Picks the items of this stretch, of all of a list's by their place; `keep` filters and converts. The items, and
    /// where the rest begins.
    pub(super) fn pick<T>(&self, count: usize, mut keep: impl FnMut(usize) -> Option<T>) -> (Vec<T>, Option<usize>) {
        let mut items = Vec::new();
        for at in self.start..count {
            if let Some(item) = keep(at) {
                if items.len() == self.limit {
                    return (items, Some(at));
                }
                items.push(item);
            }
        }
        (items, None)
    }

    /// The list to answer with.
    ///
    /// # Errors
    /// When the cursor is of another configuration.
    pub(super) fn list<T>(&self, generation: u64, items: Vec<T>, rest: Option<usize>) -> Result<List<T>, Failure> {
        if self.generation.is_some_and(|asked| asked != generation) {
            let detail = "the configuration was reloaded since the first part of this list; ask for it anew";
            return Err(Failure::new(Kind::Changed, detail));
        }
        Ok(List { generation, items, next: rest.map(|at| format!("{generation}-{at}")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_a_list_once() {
        let (mut seen, mut start) = (Vec::new(), 0);
        loop {
            let stretch = Stretch { generation: Some(3), start, limit: 4 };
            let (items, rest) = stretch.pick(30, |at| (at % 3 == 0).then_some(at));
            assert!(items.len() <= 4);
            seen.extend(items);
            match rest {
                Some(rest) => start = rest,
                None => break,
            }
        }
        assert_eq!(seen, (0..30).step_by(3).collect::<Vec<_>>());
        assert!(Stretch { generation: Some(3), start: 0, limit: 1 }.list::<u8>(4, Vec::new(), None).is_err());
    }
}
