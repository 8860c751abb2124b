//! Entries to records: owners, TTLs, classes, directives, and what a zone must have.
//!
//! Goes on after each mistake. Owners and origins follow RFC 1035 section 5.1, TTLs RFC 2308 section 4: the record's
//! own, else that of `$TTL`, else the last one stated, else, for the SOA, its minimum.

use std::io;
use std::path::{Path, PathBuf};

use crate::dns::name::Name;
use crate::model::{Place, Problem};
use crate::zone::read::data::{Data, Fault, name_fault};
use crate::zone::read::head::Head;
use crate::zone::read::scan::{Broken, Entry, Scanner, Token};
use crate::zone::read::text;
use crate::zone::read::types;
use crate::zone::read::{Entry as Stored, ZoneFile};

/// Problems of one zone that are kept; a file that is no zone at all has one in each line.
const PROBLEMS_MAX: usize = 500;
/// Bytes of records of one zone: places in the arena have four bytes, and a record adds less than 66,000.
const ARENA_BYTES_MAX: usize = u32::MAX as usize - 66_000;

/// A text that is being read.
pub(super) struct Source<'t> {
    pub text: &'t [u8],
    pub file: u16,
    /// For generated text: the token it comes from, and the text that one stands in.
    pub made_by: Option<(Token, &'t [u8])>,
}

/// Whom an entry that begins with a blank belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// Nobody yet.
    Nobody,
    /// An entry whose owner is wrong; what follows it is checked, not kept.
    Broken,
    /// These bytes of the arena.
    At(u32, u8),
}

pub(super) struct Reader<'l> {
    pub(super) load: &'l mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    apex: Option<Name>,
    /// The files being read, outermost first.
    pub(super) open: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
    arena: Vec<u8>,
    records: Vec<Stored>,
    problems: Vec<Problem>,
    problems_left_out: usize,
    pub(super) origin: Option<Vec<u8>>,
    pub(super) owner: Owner,
    pub(super) default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    has_soa: bool,
    /// Entries of type SOA or NS that are wrong: their absence needs no second problem.
    broken_soa: bool,
    broken_ns: bool,
    ttl_missed: bool,
    full: bool,
}

/// Reads `text` and everything it includes.
pub(super) fn read(
    text: &[u8],
    path: &Path,
    apex: Option<&Name>,
    load: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<ZoneFile, Vec<Problem>> {
    let origin = apex.cloned().or_else(|| origin_of(path));
    let mut reader = Reader {
        load,
        apex: apex.cloned(),
        open: vec![path.to_owned()],
        files: vec![path.to_owned()],
        arena: Vec::new(),
        records: Vec::new(),
        problems: Vec::new(),
        problems_left_out: 0,
        origin: origin.map(|name| name.wire().to_owned()),
        owner: Owner::Nobody,
        default_ttl: None,
        last_ttl: None,
        has_soa: false,
        broken_soa: false,
        broken_ns: false,
        ttl_missed: false,
        full: false,
    };
    reader.text(text, 0);
    reader.finish(path)
}

/// `zones/example.com.zone` has the origin `example.com.`
fn origin_of(path: &Path) -> Option<Name> {
    path.file_name()?.to_str()?.strip_suffix(".zone")?.parse().ok()
}

impl Reader<'_> {
    pub(super) fn text(&mut self, text: &[u8], file: u16) {
        let source = Source { text, file, made_by: None };
        let mut scanner = Scanner::new(text);
        let mut entry = Entry::default();
        loop {
            match scanner.next(&mut entry) {
                Ok(false) => return,
                Ok(true) => self.entry(&source, &entry),
                Err((broken, token)) => self.broken(&source, broken, token),
            }
            if self.full {
                return;
            }
        }
    }

    fn broken(&mut self, source: &Source<'_>, broken: Broken, token: Token) {
        let (fact, help) = match broken {
            Broken::Quote => ("this quote is not closed on its line", "close it, or write a quote itself as `\\\"`"),
            Broken::Unclosed => ("this parenthesis is never closed", "close it behind the record's last line"),
            Broken::Unopened => {
                ("this parenthesis was never opened", "remove it, or open it on the record's first line")
            }
        };
        self.report(source, Fault { code: "E0201", ..Fault::at(token, fact) }.help(help), token);
    }

    /// Reads one entry; generated ones come here, too.
    pub(super) fn entry(&mut self, source: &Source<'_>, entry: &Entry) {
        let tokens = &entry.tokens[..];
        let first = tokens[0];
        let word = &source.text[first.start..first.end];
        let result = match word {
            [b'$', ..] if !entry.indented && !first.quoted => self.directive(source, tokens, word),
            _ => self.record(source, tokens, entry.indented),
        };
        if let Err(fault) = result {
            self.report(source, fault, tokens[tokens.len() - 1]);
        }
    }

    fn record(&mut self, source: &Source<'_>, tokens: &[Token], indented: bool) -> Result<(), Fault> {
        let rest = if indented {
            if matches!(self.owner, Owner::Nobody) {
                let fault = Fault {
                    code: "E0201",
                    ..Fault::at(
                        tokens[0],
                        "this record has no owner: its line begins with a blank, and no record stands before it",
                    )
                };
                self.owner = Owner::Broken;
                return Err(fault.help("write the owner at the very start of the line; `@` is the origin"));
            }
            tokens
        } else {
            self.take_owner(source, tokens[0])?;
            &tokens[1..]
        };
        let head = Head::read(source.text, rest)?;
        let kept = self.arena.len();
        let result = self.finish_record(source, tokens[0], &head, &rest[head.tokens..]);
        if result.is_err() {
            self.arena.truncate(kept);
            self.broken_soa |= head.rtype == types::SOA;
            self.broken_ns |= head.rtype == types::NS;
        }
        result
    }

    fn finish_record(&mut self, source: &Source<'_>, first: Token, head: &Head, data: &[Token]) -> Result<(), Fault> {
        let at = self.arena.len();
        Data::new(source.text, data, self.origin.as_deref(), &mut self.arena).read(head.rtype)?;
        let Ok(rdata_bytes) = u16::try_from(self.arena.len() - at) else {
            let fact = format!("the data of this record has {} bytes; a record holds 65535", self.arena.len() - at);
            return Err(Fault { code: "E0216", ..Fault::at(first, fact) });
        };
        let ttl = self.ttl(source, first, head, at)?;
        let Owner::At(owner, owner_bytes) = self.owner else {
            self.arena.truncate(at);
            return Ok(());
        };
        let (rdata, rtype, line) = (at as u32, head.rtype, source.made_by.map_or(first.line, |(token, _)| token.line));
        let stored = Stored { owner, rdata, ttl, line, rdata_bytes, rtype, file: source.file, owner_bytes };
        if rtype == types::SOA {
            self.take_soa(first, &stored)?;
        }
        // A record with the owner of the one before was checked with it.
        let checked = self.records.last().is_some_and(|last| last.owner == stored.owner);
        if !checked && !self.is_inside(&stored) {
            return Err(self.outside(first, &stored));
        }
        self.records.push(stored);
        self.full_when_too_large(first)
    }

    /// Appends the owner to the arena, unless the record before has the same.
    fn take_owner(&mut self, source: &Source<'_>, token: Token) -> Result<(), Fault> {
        let word = &source.text[token.start..token.end];
        let at = self.arena.len();
        if let Err(fault) = text::name(word, self.origin.as_deref(), &mut self.arena) {
            self.arena.truncate(at);
            self.owner = Owner::Broken;
            return Err(name_fault(token, fault, &text::shown(word)));
        }
        self.arena[at..].make_ascii_lowercase();
        if let Owner::At(start, length) = self.owner {
            let last = start as usize..start as usize + length as usize;
            if self.arena[last] == self.arena[at..] {
                self.arena.truncate(at);
                return Ok(());
            }
        }
        self.owner = Owner::At(at as u32, (self.arena.len() - at) as u8);
        Ok(())
    }

    /// The record's TTL; its data stands at `rdata` in the arena.
    fn ttl(&mut self, source: &Source<'_>, first: Token, head: &Head, rdata: usize) -> Result<u32, Fault> {
        if let Some(ttl) = head.ttl {
            self.last_ttl = Some(ttl);
            return Ok(ttl);
        }
        if let Some(ttl) = self.default_ttl.or(self.last_ttl) {
            return Ok(ttl);
        }
        if head.rtype == types::SOA {
            let minimum =
                self.arena[rdata..].last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)).min(text::TTL_MAX);
            self.last_ttl = Some(minimum);
            let fact =
                format!("the SOA has no TTL, so its minimum of {minimum} s is taken, for the records after it, too");
            let place = self.place(source, first);
            self.keep(Problem::warning("W0201", place, fact).help("write `$TTL 3600` above it"));
            return Ok(minimum);
        }
        // Once says it: all records of the file lack it for the same reason.
        if std::mem::replace(&mut self.ttl_missed, true) {
            return Ok(0);
        }
        let fault =
            Fault { code: "E0204", ..Fault::at(first, "this record has no TTL, and none was stated before it") };
        Err(fault.help("begin the file with `$TTL 3600`"))
    }

    fn take_soa(&mut self, first: Token, soa: &Stored) -> Result<(), Fault> {
        let owner = self.owner_name(soa);
        let fault = |code, fact: String| Fault { code, ..Fault::at(first, fact) };
        if let Some(apex) = self.apex.as_ref().filter(|apex| **apex != owner) {
            self.broken_soa = true;
            return Err(fault("E0207", format!("this SOA belongs to {owner}, but the zone is {apex}"))
                .help("a zone has one SOA, at its apex; a child zone has a file of its own"));
        }
        if std::mem::replace(&mut self.has_soa, true) {
            return Err(fault("E0208", format!("{owner} has a second SOA")).help("remove one of them"));
        }
        if self.apex.is_none() {
            self.apex = Some(owner);
            let outside: Vec<Stored> = self.records.iter().filter(|r| !self.is_inside(r)).copied().collect();
            for record in outside {
                let fault = self.outside(first, &record);
                let path = self.files[record.file as usize].clone();
                let mut problem = Problem::error(fault.code, Place::at(path, record.line, 1), fault.fact);
                problem.help = fault.help;
                self.keep(problem);
            }
        }
        Ok(())
    }

    fn owner_wire(&self, record: &Stored) -> &[u8] {
        &self.arena[record.owner as usize..][..record.owner_bytes as usize]
    }

    fn owner_name(&self, record: &Stored) -> Name {
        Name::from_wire(self.owner_wire(record)).expect("owners are checked when they are read")
    }

    fn is_inside(&self, record: &Stored) -> bool {
        let Some(apex) = &self.apex else { return true };
        let (owner, apex) = (self.owner_wire(record), apex.wire());
        let mut at = 0;
        while owner.len() - at > apex.len() {
            at += 1 + owner[at] as usize;
        }
        &owner[at..] == apex
    }

    fn outside(&self, first: Token, record: &Stored) -> Fault {
        let apex = self.apex.as_ref().map(Name::to_string).unwrap_or_default();
        let fact = format!("{} does not lie in the zone {apex}", self.owner_name(record));
        let help = "is a dot missing or too much at the end of the name, or has `$ORIGIN` changed?";
        Fault { code: "E0210", ..Fault::at(first, fact) }.help(help)
    }

    fn full_when_too_large(&mut self, first: Token) -> Result<(), Fault> {
        if self.arena.len() < ARENA_BYTES_MAX {
            return Ok(());
        }
        self.full = true;
        Err(Fault { code: "E0216", ..Fault::at(first, "the zone is too large: its records have more than 4 GiB") })
    }

    fn place(&self, source: &Source<'_>, token: Token) -> Place {
        let path = self.files[source.file as usize].clone();
        let (token, text) = source.made_by.unwrap_or((token, source.text));
        let start = token.start - usize::from(token.quoted);
        let line_start = text[..start].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let chars = |range: &[u8]| String::from_utf8_lossy(range).chars().count() as u32;
        let width = chars(&text[token.start..token.end]) + 2 * u32::from(token.quoted);
        Place { width, ..Place::at(path, token.line, chars(&text[line_start..start]) + 1) }
    }

    /// Keeps a fault; one without a token is behind `last`.
    fn report(&mut self, source: &Source<'_>, fault: Fault, last: Token) {
        let mut place = self.place(source, fault.token.unwrap_or(last));
        if fault.token.is_none() {
            place = Place { column: place.column + place.width, width: 1, ..place };
        }
        let mut problem = Problem::error(fault.code, place, fault.fact);
        problem.help = fault.help;
        self.keep(problem);
    }

    fn keep(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.problems_left_out += 1;
        }
    }

    fn finish(mut self, path: &Path) -> Result<ZoneFile, Vec<Problem>> {
        let apex = self.apex.take();
        if !self.has_soa && !self.broken_soa {
            let of = apex.as_ref().map_or_else(String::new, |apex| format!(" at {apex}"));
            let fact = format!("the zone has no SOA record{of}");
            let help = "write `@ SOA ns1 hostmaster 1 1h 15m 1w 5m` as its first record";
            self.keep(Problem::error("E0206", Place::file(path), fact).help(help));
        }
        let has_ns =
            |apex: &Name| self.records.iter().any(|r| r.rtype == types::NS && self.owner_wire(r) == apex.wire());
        if let Some(apex) = apex.as_ref().filter(|apex| self.has_soa && !self.broken_ns && !has_ns(apex)) {
            let fact = format!("the zone has no NS record at {apex}");
            let help = "name its servers: `@ NS ns1`";
            self.keep(Problem::error("E0209", Place::file(path), fact).help(help));
        }
        if self.problems_left_out > 0 {
            let fact = format!("{} more problems are not shown", self.problems_left_out);
            self.problems.push(Problem::error("E0217", Place::file(path), fact));
        }
        let all_right = self.problems.iter().all(|p| p.severity == crate::model::Severity::Warning);
        match apex {
            Some(apex) if all_right => {
                self.arena.shrink_to_fit();
                self.records.shrink_to_fit();
                let (arena, records, files, warnings) = (self.arena, self.records, self.files, self.problems);
                Ok(ZoneFile { path: path.to_owned(), apex, warnings, arena, records, files })
            }
            _ => Err(self.problems),
        }
    }
}
