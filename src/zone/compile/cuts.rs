//! Where does the zone end? Marks every name with what its records make of it, and with the cut or DNAME above it.

use crate::dns::code::rtype;
use crate::zone::compile::names::Names;
use crate::zone::tree::flags;

impl Names<'_> {
    /// Sets the flags, the cut and `renamed` of every name.
    pub fn mark_cuts(&mut self) {
        let mut any = false;
        for i in 0..self.names.len() {
            self.names[i].flags = self.own_flags(i);
            any |= self.names[i].flags & (flags::CUT | flags::DNAME) != 0;
        }
        for i in 0..self.names.len() {
            if let Some(parent) = self.owner(i).strip_prefix(&[1, b'*']).and_then(|parent| self.find(parent)) {
                self.names[parent].flags |= flags::WILDCARD_BELOW;
            }
        }
        if !any {
            return;
        }
        for i in 0..self.names.len() {
            (self.names[i].cut, self.names[i].renamed) = self.topmost(i);
        }
    }

    fn own_flags(&self, name: usize) -> u8 {
        let at_apex = self.owner(name) == self.file.apex.wire();
        let of_records = self.records(name).fold(0, |all, record| {
            all | match record.rtype {
                rtype::NS if !at_apex => flags::CUT,
                rtype::DNAME => flags::DNAME,
                rtype::CNAME => flags::CNAME,
                _ => 0,
            }
        });
        if self.vips(name).next().is_some() { of_records | flags::VIP } else { of_records }
    }

    /// The labels of the topmost cut at or above a name (0: none), and whether a DNAME stands above it.
    fn topmost(&self, name: usize) -> (u8, bool) {
        let labels = |owner: &[u8]| crate::zone::compile::data::suffixes(owner).count() as u8 - 1;
        let mut cut = if self.names[name].flags & flags::CUT != 0 { labels(self.owner(name)) } else { 0 };
        let mut renamed = false;
        let apex = (self.owner(name) != self.file.apex.wire()).then_some(self.file.apex.wire());
        for above in self.ancestors(name).chain(apex) {
            let found = self.find(above).map_or(0, |i| self.names[i].flags);
            if found & flags::CUT != 0 {
                cut = labels(above);
            }
            renamed |= found & flags::DNAME != 0;
        }
        (cut, renamed)
    }
}
