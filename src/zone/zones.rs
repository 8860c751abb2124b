//! All zones we serve: which one holds a name?
//!
//! The longest apex wins. Apexes are found by hash, one lookup for each depth at which there is an apex at all, so a
//! hundred thousand zones cost what one costs.

use std::sync::Arc;

use crate::dns::name::Name;
use crate::dns::name_buf::NameBuf;
use crate::dns::name_buf::hash;
use crate::model::Problem;
use crate::zone::compile::VipName;
use crate::zone::index::Index;
use crate::zone::index::tag;
use crate::zone::read::ZoneFile;
use crate::zone::tree::Zone;

/// Zones by name, immutable.
#[derive(Debug, Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    index: Index,
    /// Bit n: there is an apex of n labels.
    depths: u128,
    any_large: bool,
}

impl Zones {
    /// All of these; of several with one name the first counts.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        let mut tags: Vec<(u32, u32)> =
            zones.iter().enumerate().map(|(i, zone)| (tag(hash(zone.apex().wire())), i as u32)).collect();
        tags.sort_unstable();
        let depths = zones.iter().fold(0, |depths, zone| depths | 1 << zone.apex_labels());
        let any_large = zones.iter().any(|zone| zone.is_large());
        Zones { index: Index::build(tags.into_iter()), zones, depths, any_large }
    }

    /// Compiles master files and the VIPs whose names lie in them; gives the warnings too.
    ///
    /// # Errors
    /// All problems of all zones, warnings among them: a VIP in no zone (E0238), two files for one zone (E0239), and
    /// those of [`Zone::compile`].
    pub fn compile(files: Vec<ZoneFile>, vips: &[VipName]) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (shares, mut problems) = share_out(&files, vips);
        let mut zones = Vec::with_capacity(files.len());
        let mut failed = !problems.is_empty();
        // Each file is dropped as soon as its zone is compiled: large ones are never all in memory twice.
        for (file, share) in files.into_iter().zip(shares) {
            match Zone::compile(&file, &share) {
                Ok((zone, warnings)) => {
                    zones.push(Arc::new(zone));
                    problems.extend(warnings);
                }
                Err(errors) => {
                    failed = true;
                    problems.extend(errors);
                }
            }
        }
        if failed { Err(problems) } else { Ok((Zones::new(zones), problems)) }
    }

    /// Whether there is a zone whose lookups wait for memory.
    pub fn any_large(&self) -> bool {
        self.any_large
    }

    /// The zone that holds a name, with its place among the zones.
    #[inline]
    pub fn holding(&self, name: &NameBuf) -> Option<(usize, &Zone)> {
        self.longest(name, name.labels())
    }

    /// The zone above the apex `name`: the one that holds its DS records.
    pub fn above(&self, name: &NameBuf) -> Option<(usize, &Zone)> {
        self.longest(name, name.labels().checked_sub(1)?)
    }

    /// The zone at this place.
    pub fn zone(&self, place: usize) -> Option<&Arc<Zone>> {
        self.zones.get(place)
    }

    /// All zones.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }

    #[inline]
    fn longest(&self, name: &NameBuf, labels_max: usize) -> Option<(usize, &Zone)> {
        let mut depths = self.depths & (u128::MAX >> (127 - labels_max));
        while depths != 0 {
            let labels = 127 - depths.leading_zeros();
            let suffix = name.suffix(labels as usize);
            let is = |i: u32| self.zones[i as usize].apex().wire() == suffix;
            if let Some(i) = self.index.find(hash(suffix), is) {
                return Some((i as usize, &self.zones[i as usize]));
            }
            depths &= !(1 << labels);
        }
        None
    }
}

/// Gives each file the VIPs whose names it holds.
fn share_out(files: &[ZoneFile], vips: &[VipName]) -> (Vec<Vec<VipName>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut by_apex = std::collections::HashMap::with_capacity(files.len());
    for (i, file) in files.iter().enumerate() {
        let first = *by_apex.entry(file.apex.wire()).or_insert(i);
        if first != i {
            let fact = format!("zone {} is in {} too", file.apex, files[first].path.display());
            let place = crate::model::Place::file(&file.path);
            problems.push(Problem::error("E0239", place, fact).help("keep one of the two files"));
        }
    }
    let mut shares = vec![Vec::new(); files.len()];
    for vip in vips {
        match suffixes(&vip.name).find_map(|suffix| by_apex.get(suffix)) {
            Some(i) => shares[*i].push(vip.clone()),
            None => problems.push(
                Problem::error("E0238", vip.place.clone(), format!("no zone holds the VIP's name {}", vip.name))
                    .help("load a zone file whose zone holds it"),
            ),
        }
    }
    (shares, problems)
}

/// A name's wire form, then its parent's, up to the root's.
fn suffixes(name: &Name) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name.wire());
    std::iter::from_fn(move || {
        let this = rest?;
        rest = match this[0] as usize {
            0 => None,
            length => Some(&this[1 + length..]),
        };
        Some(this)
    })
}
