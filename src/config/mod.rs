//! From `rhumb.toml` to a [`Model`]: what was written, what was meant, and every problem on the way.
//!
//! ```text
//! files -> gather -> document -> spec -> check -> Model
//!          include    TOML        forms    references, defaults, sense
//! ```
//!
//! Each step reports what it finds and goes on, so that one run shows every mistake; `problem` draws them. Nothing here
//! opens a file: [`Files`] is lent by the edge. Zones and databases are not read either; what does not fit them is told
//! where they are compiled.

pub mod check;
pub mod codes;
pub mod document;
pub mod fields;
pub mod forms;
mod gather;
pub mod problem;
pub mod reports;
pub mod source;
pub mod spec;
pub mod tokens;

use std::path::Path;

use crate::model::Model;
use crate::model::Problem;
use crate::model::Severity;

pub use source::Sources;

use reports::Reports;
use spec::Spec;

/// The file system as the configuration sees it; `runtime::config_files` is the real one.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// The reason in words: `no such file`.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String>;

    /// The names of the files in a directory, in any order.
    ///
    /// # Errors
    /// The reason in words.
    fn list(&mut self, directory: &Path) -> Result<Vec<String>, String>;

    /// What is there.
    fn look(&mut self, path: &Path) -> Seen;
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Something that can be read.
    File,
    /// A directory.
    Directory,
    /// Nothing, or nothing we may look at.
    Nothing,
}

/// A configuration that can be served.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was meant.
    pub model: Model,
    /// What works, but probably not as meant.
    pub warnings: Vec<Problem>,
    /// The files, for drawing problems.
    pub sources: Sources,
}

/// A configuration that cannot be served.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Everything that is wrong, and the warnings.
    pub problems: Vec<Problem>,
    /// What could be made out: good for finding more problems in the zones and databases it names, and for nothing
    /// else. Its ids may point nowhere.
    pub partial: Model,
    /// The files, for drawing problems.
    pub sources: Sources,
}

/// Reads and checks the configuration that begins with the file `main`.
///
/// # Errors
/// Every problem of every file at once.
pub fn load(main: &Path, files: &mut dyn Files) -> Result<Loaded, Box<Refused>> {
    let mut sources = Sources::default();
    let (model, problems, any_error) = {
        let (document, mut problems) = gather::gather(main, files, &mut sources);
        let mut reports = Reports::new(&sources);
        let model = match document {
            None => Model::default(),
            Some(document) => {
                let spec = Spec::read(&mut reports, document);
                check::check(&mut reports, &spec, files)
            }
        };
        let any_error = problems.iter().any(|p| p.severity == Severity::Error) || reports.any_error();
        problems.extend(reports.finish());
        (model, problems, any_error)
    };
    match any_error {
        false => Ok(Loaded { model, warnings: problems, sources }),
        true => Err(Box::new(Refused { problems, partial: model, sources })),
    }
}

/// Reads and checks a configuration that is one text; files it names are taken to exist.
///
/// # Errors
/// Every problem at once.
pub fn read(path: &Path, text: &str) -> Result<Loaded, Box<Refused>> {
    load(path, &mut OneFile { path, text })
}

struct OneFile<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Files for OneFile<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        if path == self.path { Ok(self.text.as_bytes().to_vec()) } else { Err("only one text was given".into()) }
    }
    fn list(&mut self, _directory: &Path) -> Result<Vec<String>, String> {
        Err("only one text was given".into())
    }
    fn look(&mut self, path: &Path) -> Seen {
        // A path without an extension is taken for the directory that the key asks for.
        if path.extension().is_some() { Seen::File } else { Seen::Directory }
    }
}
