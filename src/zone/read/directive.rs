//! Directives: `$ORIGIN`, `$TTL`, `$INCLUDE` (RFC 1035 section 5.1, RFC 2308 section 4); `$GENERATE` is in `generate`.

use std::path::Path;

use crate::zone::read::data::{Fault, name_fault};
use crate::zone::read::generate;
use crate::zone::read::head::ttl_of;
use crate::zone::read::reader::{Reader, Source};
use crate::zone::read::scan::Token;
use crate::zone::read::text;

/// Files included in files included in …; deeper ones are loops in practice.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Files of one zone; an index of two bytes must hold it, and a tree of includes must end.
const FILES_MAX: usize = 4_096;

impl Reader<'_> {
    pub(super) fn directive(&mut self, source: &Source<'_>, tokens: &[Token], word: &[u8]) -> Result<(), Fault> {
        match word.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                self.origin = Some(self.directive_name(source, argument(tokens, 1, "a name")?)?);
                nothing_after(source, tokens, 2)
            }
            b"$TTL" => {
                self.default_ttl = Some(ttl_of(source.text, argument(tokens, 1, "seconds")?)?);
                nothing_after(source, tokens, 2)
            }
            b"$INCLUDE" => self.include(source, tokens),
            b"$GENERATE" => generate::run(self, source, tokens),
            _ => {
                let fault = fault_at(tokens[0], format!("`{}` is no directive", text::shown(word)));
                Err(fault
                    .help("there are $ORIGIN, $TTL, $INCLUDE and $GENERATE; a name that begins so is written `\\$`"))
            }
        }
    }

    fn directive_name(&self, source: &Source<'_>, token: Token) -> Result<Vec<u8>, Fault> {
        let word = &source.text[token.start..token.end];
        let mut wire = Vec::new();
        match text::name(word, self.origin.as_deref(), &mut wire) {
            Ok(()) => Ok(wire.to_ascii_lowercase()),
            Err(fault) => Err(name_fault(token, fault, &text::shown(word))),
        }
    }

    fn include(&mut self, source: &Source<'_>, tokens: &[Token]) -> Result<(), Fault> {
        let token = argument(tokens, 1, "a file")?;
        let origin = tokens.get(2).map(|t| self.directive_name(source, *t)).transpose()?;
        nothing_after(source, tokens, 3)?;
        let fault = |fact: String| Fault { code: "E0213", ..Fault::at(token, fact) };
        let mut written = Vec::new();
        text::unescaped(&source.text[token.start..token.end], &mut written);
        let written = String::from_utf8(written).map_err(|_| fault("the file's name is not UTF-8".to_owned()))?;
        let here = self.files[source.file as usize].parent().unwrap_or(Path::new(""));
        let path = here.join(&written);
        if self.open.contains(&path) {
            return Err(fault(format!("{} includes itself", path.display())));
        }
        if self.open.len() >= INCLUDE_DEPTH_MAX || self.files.len() >= FILES_MAX {
            let fact = format!("more than {INCLUDE_DEPTH_MAX} files deep or {FILES_MAX} files in all are included");
            return Err(fault(fact));
        }
        let included = (self.load)(&path).map_err(|e| {
            fault(format!("cannot read {}: {e}", path.display())).help("a relative path starts at the including file")
        })?;
        let file = self.files.len() as u16;
        self.files.push(path.clone());
        self.open.push(path);
        let (outer_origin, outer_owner) = (self.origin.clone(), self.owner);
        self.origin = origin.or_else(|| outer_origin.clone());
        self.text(&included, file);
        self.open.pop();
        self.origin = outer_origin;
        self.owner = outer_owner;
        Ok(())
    }
}

fn fault_at(token: Token, fact: impl Into<String>) -> Fault {
    Fault { code: "E0212", ..Fault::at(token, fact) }
}

/// The argument of a directive at `index`.
pub(super) fn argument(tokens: &[Token], index: usize, wanted: &str) -> Result<Token, Fault> {
    let fact = || format!("the directive ends where {wanted} should be");
    tokens.get(index).copied().ok_or_else(|| Fault { token: None, code: "E0212", fact: fact(), help: None })
}

fn nothing_after(source: &Source<'_>, tokens: &[Token], count: usize) -> Result<(), Fault> {
    match tokens.get(count) {
        Some(extra) => {
            let word = text::shown(&source.text[extra.start..extra.end]);
            Err(fault_at(*extra, format!("`{word}` follows the directive")).help("a comment begins with `;`"))
        }
        None => Ok(()),
    }
}
