//! Where in which file does something stand?
//!
//! The files of a configuration are laid end to end, so that a [`Span`] is two numbers and still knows its file. Places
//! in lines and columns are worked out only for what is shown.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::model::Place;

/// A stretch of the files laid end to end, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Written<T> {
    /// The same place with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Written<U> {
        Written { value: change(self.value), span: self.span }
    }
}

/// The text of all files, all together: more is refused, so that spans fit 32 bits and memory has an end.
pub const BYTES_MAX: usize = 256 << 20;

/// One of the files in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(usize);

/// The files of a configuration with their text, kept so that problems can be drawn.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
    text: String,
    start: u32,
    line_starts: Vec<u32>,
    /// Columns count characters; in ASCII those are bytes and need no counting.
    ascii: bool,
}

impl Sources {
    /// Takes a file; none when all files together would be larger than [`BYTES_MAX`].
    pub fn add(&mut self, path: PathBuf, text: String) -> Option<FileId> {
        let start = self.files.last().map_or(0, |f| f.start as usize + f.text.len() + 1);
        if start + text.len() >= BYTES_MAX {
            return None;
        }
        let line_starts = std::iter::once(0).chain(memchr_newlines(&text).map(|at| at as u32 + 1)).collect();
        let ascii = text.is_ascii();
        self.files.push(Source { path, text, start: start as u32, line_starts, ascii });
        Some(FileId(self.files.len() - 1))
    }

    /// The text of a file by its path, as it was given.
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.files.iter().find(|f| f.path == path).map(|f| f.text.as_str())
    }

    /// One line of a file, counted from 1, without its end.
    pub fn line(&self, path: &Path, line: u32) -> Option<&str> {
        self.files.iter().find(|f| f.path == path)?.line(line)
    }

    /// The text of a file.
    pub fn text_of(&self, file: FileId) -> &str {
        &self.files[file.0].text
    }

    /// What was written at a span.
    pub fn text_at(&self, span: Span) -> &str {
        let text = self.source(span).and_then(|source| {
            let (start, end) = (span.start.checked_sub(source.start)?, span.end.checked_sub(source.start)?);
            source.text.get(start as usize..end as usize)
        });
        text.unwrap_or_default()
    }

    /// The path of a file.
    pub fn path_of(&self, file: FileId) -> &Path {
        &self.files[file.0].path
    }

    /// The paths, in the order they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|f| f.path.as_path())
    }

    /// A stretch of one file, from offsets inside it; ends that lie outside are brought in.
    pub fn span(&self, file: FileId, local: Range<usize>) -> Span {
        let source = &self.files[file.0];
        let start = local.start.min(source.text.len());
        let end = local.end.clamp(start, source.text.len());
        Span { start: source.start + start as u32, end: source.start + end as u32 }
    }

    /// Where a span begins, and how much of its first line it covers.
    pub fn place(&self, span: Span) -> Place {
        match self.source(span) {
            Some(source) => source.place(span),
            None => Place::file(PathBuf::new()),
        }
    }

    /// The directory of the file a span lies in; relative paths in it begin there.
    pub fn directory(&self, span: Span) -> &Path {
        self.source(span).and_then(|s| s.path.parent()).unwrap_or(Path::new(""))
    }

    fn source(&self, span: Span) -> Option<&Source> {
        let after = self.files.partition_point(|f| f.start <= span.start);
        after.checked_sub(1).map(|at| &self.files[at])
    }
}

impl Source {
    fn line(&self, line: u32) -> Option<&str> {
        let at = (line as usize).checked_sub(1)?;
        let start = *self.line_starts.get(at)? as usize;
        let end = self.line_starts.get(at + 1).map_or(self.text.len(), |next| *next as usize);
        self.text.get(start..end).map(|l| l.trim_end_matches(['\n', '\r']))
    }

    fn place(&self, span: Span) -> Place {
        let start = self.floor((span.start - self.start) as usize);
        let end = self.floor((span.end - self.start) as usize);
        let line = self.line_starts.partition_point(|l| *l as usize <= start);
        let line_start = self.line_starts[line - 1] as usize;
        let content = self.line(line as u32).unwrap_or_default();
        let from = (start - line_start).min(content.len());
        let to = (end - line_start).clamp(from, content.len());
        Place {
            file: self.path.clone(),
            line: line as u32,
            column: 1 + self.count(&content[..from]),
            width: self.count(&content[from..to]),
        }
    }

    fn count(&self, text: &str) -> u32 {
        if self.ascii { text.len() as u32 } else { text.chars().count() as u32 }
    }

    fn floor(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

fn memchr_newlines(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_of_the_right_file() {
        let mut sources = Sources::default();
        let a = sources.add("a.toml".into(), "x = 1\n# ünï\ny = \"é\" # tail".into()).unwrap();
        let b = sources.add("dir/b.toml".into(), "first\r\nsecond".into()).unwrap();
        let at = |file, range| sources.place(sources.span(file, range));
        assert_eq!(at(a, 0..1), Place { file: "a.toml".into(), line: 1, column: 1, width: 1 });
        let text = sources.text_of(a);
        let tail = text.find("# tail").unwrap();
        assert_eq!(at(a, tail..text.len()), Place { file: "a.toml".into(), line: 3, column: 9, width: 6 });
        assert_eq!(at(b, 2..9), Place { file: "dir/b.toml".into(), line: 1, column: 3, width: 3 });
        assert_eq!(at(b, 13..13), Place { file: "dir/b.toml".into(), line: 2, column: 7, width: 0 });
        assert_eq!(sources.directory(sources.span(b, 0..1)), Path::new("dir"));
        assert_eq!(sources.line(Path::new("dir/b.toml"), 1), Some("first"));
        assert_eq!(sources.line(Path::new("dir/b.toml"), 3), None);
    }
}
