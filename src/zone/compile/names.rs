//! The names of a zone, each with its records, its VIP, or nothing (an empty non-terminal).

use crate::dns::name_buf::hash;
use crate::model::Place;
use crate::zone::compile::VipName;
use crate::zone::compile::data::suffixes;
use crate::zone::index::Index;
use crate::zone::index::tag;
use crate::zone::read::Record;
use crate::zone::read::ZoneFile;

/// All names of a zone while it is compiled.
///
/// An *item* is a number: a record of the file, then a VIP, then an empty non-terminal.
pub(super) struct Names<'a> {
    pub file: &'a ZoneFile,
    pub vips: &'a [VipName],
    empty: Vec<&'a [u8]>,
    /// Items, those of one name together, in the order they were written.
    items: Vec<u32>,
    /// In the order of their first items.
    pub names: Vec<Gathered>,
    index: Index,
}

/// One name: its items, and what the phases find out about it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gathered {
    first: u32,
    end: u32,
    /// See `tree::flags`.
    pub flags: u8,
    /// How many labels the topmost cut at or above it has; 0: none.
    pub cut: u8,
    /// Whether a DNAME stands above it.
    pub renamed: bool,
}

impl<'a> Names<'a> {
    /// Gathers records and VIPs by owner, then adds the names between them and the apex.
    pub fn gather(file: &'a ZoneFile, vips: &'a [VipName]) -> Self {
        let mut names =
            Names { file, vips, empty: Vec::new(), items: Vec::new(), names: Vec::new(), index: Index::default() };
        names.group(names.keys());
        names.empty = names.between();
        if !names.empty.is_empty() {
            let count = file.records().len() + vips.len();
            let all = std::mem::take(&mut names.items).into_iter();
            let empty = (count..count + names.empty.len()).map(|item| item as u32);
            let all = all.chain(empty).collect::<Vec<_>>();
            let keyed = all.into_iter().map(|item| key(names.owner_of_item(item), item)).collect();
            names.group(keyed);
        }
        names
    }

    /// The sort keys of all records and VIPs. The reader refuses records outside the zone.
    fn keys(&self) -> Vec<u64> {
        let records = self.file.records().map(|record| record.owner);
        let owners = records.chain(self.vips.iter().map(|vip| vip.name.wire()));
        owners.enumerate().map(|(item, owner)| key(owner, item as u32)).collect()
    }

    /// Sorts items by the hash of their owners, and makes a name of each run with one owner.
    fn group(&mut self, mut keys: Vec<u64>) {
        keys.sort_unstable();
        self.items = keys.iter().map(|key| *key as u32).collect();
        let mut names = Vec::new();
        let mut start = 0;
        for run in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let end = start + run.len();
            self.split_run(start, end, &mut names);
            start = end;
        }
        drop(keys);
        let first = |name: &Gathered, items: &[u32]| items[name.first as usize];
        names.sort_unstable_by_key(|name| first(name, &self.items));
        names.shrink_to_fit();
        self.names = names;
        self.index = self.hashed();
    }

    /// Items whose hashes have one tag nearly always have one owner; when not, they are put in order by owner.
    fn split_run(&mut self, start: usize, end: usize, names: &mut Vec<Gathered>) {
        let mut run = self.items[start..end].to_vec_if_mixed(|a, b| self.owner_of_item(a) == self.owner_of_item(b));
        if let Some(run) = &mut run {
            run.sort_by_key(|item| (self.owner_of_item(*item), *item));
            self.items[start..end].copy_from_slice(run);
        }
        let mut first = start;
        for i in start + 1..=end {
            let ends =
                i == end || run.is_some() && self.owner_of_item(self.items[i]) != self.owner_of_item(self.items[first]);
            if ends {
                names.push(Gathered { first: first as u32, end: i as u32, ..Gathered::default() });
                first = i;
            }
        }
    }

    /// The index from owners to places in `names`.
    pub fn hashed(&self) -> Index {
        let mut tags: Vec<u64> = (0..self.names.len()).map(|i| key(self.owner(i), i as u32)).collect();
        tags.sort_unstable();
        Index::build(tags.into_iter().map(|key| ((key >> 32) as u32, key as u32)))
    }

    /// The names that exist only because something below them does (RFC 4592 section 2.2.2).
    fn between(&self) -> Vec<&'a [u8]> {
        let mut empty = Vec::new();
        for i in 0..self.names.len() {
            empty.extend(self.ancestors(i).take_while(|name| self.find(name).is_none()));
        }
        empty.sort_unstable();
        empty.dedup();
        empty
    }

    /// The names above a name, upwards, as far as the apex and without it.
    pub fn ancestors(&self, name: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let apex_bytes = self.file.apex.wire().len();
        suffixes(self.owner(name)).skip(1).take_while(move |name| name.len() > apex_bytes)
    }

    /// The place in `names` of a name.
    pub fn find(&self, owner: &[u8]) -> Option<usize> {
        self.index.find(hash(owner), |i| self.owner(i as usize) == owner).map(|i| i as usize)
    }

    /// A name's wire form.
    pub fn owner(&self, name: usize) -> &'a [u8] {
        self.owner_of_item(self.items[self.names[name].first as usize])
    }

    /// The records of a name, in the order they were written.
    pub fn records(&self, name: usize) -> impl Iterator<Item = Record<'a>> + use<'a, '_> {
        let records = self.file.records().len();
        self.items(name)
            .map(|item| item as usize)
            .filter(move |item| *item < records)
            .map(|item| self.file.record(item))
    }

    /// The VIPs of a name.
    pub fn vips(&self, name: usize) -> impl Iterator<Item = &'a VipName> + use<'a, '_> {
        let records = self.file.records().len();
        self.items(name).filter_map(move |item| self.vips.get((item as usize).checked_sub(records)?))
    }

    fn items(&self, name: usize) -> impl Iterator<Item = u32> + use<'_> {
        let name = &self.names[name];
        self.items[name.first as usize..name.end as usize].iter().copied()
    }

    fn owner_of_item(&self, item: u32) -> &'a [u8] {
        let item = item as usize;
        let records = self.file.records().len();
        match item.checked_sub(records) {
            None => self.file.record(item).owner,
            Some(i) if i < self.vips.len() => self.vips[i].name.wire(),
            Some(i) => self.empty[i - self.vips.len()],
        }
    }
}

trait MixedRun {
    fn to_vec_if_mixed(&self, same: impl Fn(u32, u32) -> bool) -> Option<Vec<u32>>;
}

impl MixedRun for [u32] {
    /// A copy when not all have one owner.
    fn to_vec_if_mixed(&self, same: impl Fn(u32, u32) -> bool) -> Option<Vec<u32>> {
        self.windows(2).any(|pair| !same(pair[0], pair[1])).then(|| self.to_vec())
    }
}

/// Sorts by the owner's hash, then by the order in which things were written.
fn key(owner: &[u8], item: u32) -> u64 {
    u64::from(tag(hash(owner))) << 32 | u64::from(item)
}

/// Where a record stands.
pub(super) fn place(record: &Record<'_>) -> Place {
    Place::at(record.file, record.line, 0)
}

/// A name as operators write it.
pub(super) fn shown(owner: &[u8]) -> String {
    crate::dns::name::Name::from_wire(owner).map_or_else(|error| error.to_string(), |name| name.to_string())
}
