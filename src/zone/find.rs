//! What does a zone say about a name? (RFC 1034 section 4.3.2, RFC 4592, RFC 6672)
//!
//! Every ancestor of a name exists too (empty non-terminals are nodes), so the closest encloser of a name that does not
//! exist is found by halving, and names of 127 labels cost seven lookups.

use crate::dns::name::NAME_BYTES_MAX;
use crate::dns::name_buf::NameBuf;
use crate::zone::tree::Node;
use crate::zone::tree::Zone;

/// What a zone says about a name that is in it.
#[derive(Debug, Clone, Copy)]
pub enum Found<'z> {
    /// The name exists; this node answers.
    Exact(Node<'z>),
    /// The name does not exist; this wildcard answers for it.
    Wildcard(Node<'z>),
    /// The name is at or below this node, where the zone ends and another begins.
    Cut(Node<'z>),
    /// The name is below this node, whose DNAME renames it.
    Renamed(Node<'z>),
    /// There is no such name.
    Missing,
}

impl Zone {
    /// Finds a name; the caller has checked that it is within the apex.
    #[inline]
    pub fn find(&self, name: &NameBuf) -> Found<'_> {
        match self.node(name.wire()) {
            Some(node) => match node.cut_labels() {
                None => Found::Exact(node),
                Some(labels) => self.cut(name, labels),
            },
            None => self.find_above(name),
        }
    }

    fn find_above(&self, name: &NameBuf) -> Found<'_> {
        let encloser = self.closest_encloser(name);
        if let Some(labels) = encloser.cut_labels() {
            self.cut(name, labels)
        } else if encloser.has_dname() {
            Found::Renamed(encloser)
        } else if encloser.has_wildcard() {
            self.wildcard(encloser)
        } else {
            Found::Missing
        }
    }

    fn cut(&self, name: &NameBuf, labels: usize) -> Found<'_> {
        self.node(name.suffix(labels)).map_or(Found::Missing, Found::Cut)
    }

    /// The deepest existing node above a name that does not exist.
    fn closest_encloser(&self, name: &NameBuf) -> Node<'_> {
        let mut encloser = self.apex_node();
        // The label counts not yet ruled out. Most names that do not exist lie directly below one that does, which
        // halving from the top would find last: so the parent is tried first.
        let (mut low, mut high) = (self.apex_labels() + 1, name.labels());
        let mut tried = high.saturating_sub(1);
        while low < high {
            match self.node(name.suffix(tried)) {
                Some(node) => {
                    encloser = node;
                    low = tried + 1;
                }
                None => high = tried,
            }
            tried = low.midpoint(high);
        }
        encloser
    }

    fn wildcard(&self, encloser: Node<'_>) -> Found<'_> {
        let mut name = [0; NAME_BYTES_MAX + 2];
        let owner = encloser.owner();
        name[..2].copy_from_slice(&[1, b'*']);
        name[2..2 + owner.len()].copy_from_slice(owner);
        self.node(&name[..2 + owner.len()]).map_or(Found::Missing, Found::Wildcard)
    }
}
