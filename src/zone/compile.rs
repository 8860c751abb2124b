//! A master file and the VIPs in its zone become a [`Zone`].
//!
//! In phases, each over all names: [`names`] gathers the records of each name and adds empty non-terminals; [`cuts`]
//! marks what lies below zone cuts; [`check`] reports what cannot be served; [`write`] lays out the arena. All of them
//! work on sorted arrays of numbers, for a zone may have millions of names.

mod check;
mod cuts;
mod data;
mod names;
mod write;

use crate::dns::name::Name;
use crate::model::Place;
use crate::model::Problem;
use crate::model::Severity;
use crate::model::VipId;
use crate::zone::compile::names::Names;
use crate::zone::read::ZoneFile;
use crate::zone::tree::Zone;

/// A name whose addresses a VIP decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipName {
    /// The name; its first label may be `*`.
    pub name: Name,
    /// The VIP.
    pub vip: VipId,
    /// Where it was written, for problems.
    pub place: Option<Place>,
}

impl Zone {
    /// Compiles a zone; gives the warnings too.
    ///
    /// # Errors
    /// All problems of the zone, warnings among them; the codes are in [`check`] and beside their texts.
    pub fn compile(file: &ZoneFile, vips: &[VipName]) -> Result<(Zone, Vec<Problem>), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut names = Names::gather(file, vips);
        names.mark_cuts();
        names.check(&mut problems);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        let zone = names.write(&mut problems);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            Err(problems)
        } else {
            Ok((zone, problems))
        }
    }
}

#[cfg(test)]
mod tests;
