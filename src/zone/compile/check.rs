//! What in a zone cannot be served, and what can but was hardly meant.
//!
//! What is wrong with single records, the SOA or the apex is told by the reader. Here: E0222 CNAME beside other data; E0223
//! several CNAMEs; E0225 names below a DNAME; E0226 several DNAMEs; E0227 NS or DNAME at a wildcard; E0230 VIP beside A or
//! AAAA; E0231 VIP beside CNAME; E0232 VIP at or below a cut; E0233 several VIPs of one name; W0234 records below a cut that
//! are no addresses. While sets are written: W0235 TTLs that differ within a set; E0236 a set too large for any message; E0237
//! a zone too large. Of all zones: E0238 a VIP in no zone; E0239 two files for one zone.

use crate::dns::code::rtype;
use crate::model::Problem;
use crate::zone::compile::names::Names;
use crate::zone::compile::names::place;
use crate::zone::compile::names::shown;
use crate::zone::read::Record;
use crate::zone::tree::flags;

impl Names<'_> {
    /// Collects the problems of all names.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        for name in 0..self.names.len() {
            self.check_records(name, problems);
            self.check_vips(name, problems);
        }
    }

    fn check_records(&self, name: usize, problems: &mut Vec<Problem>) {
        let gathered = self.names[name];
        // Nearly all names have addresses or text only, and nothing above them: nothing below can be wrong for those.
        let odd = self.records(name).any(|r| matches!(r.rtype, rtype::CNAME | rtype::DNAME | rtype::NS));
        if !odd && gathered.cut == 0 && !gathered.renamed {
            return;
        }
        let owner = shown(self.owner(name));
        let first = |t: u16| self.records(name).find(|r| r.rtype == t);
        let mut error = |code, record: &Record<'_>, fact: String, help: &str| {
            problems.push(Problem::error(code, place(record), fact).help(help));
        };
        if let Some(cname) = first(rtype::CNAME) {
            if let Some(other) = self.records(name).find(|r| !beside_cname(r.rtype)) {
                let fact = format!("{owner} has a CNAME (line {}) and other records", cname.line);
                error(
                    "E0222",
                    &other,
                    fact,
                    "a name with a CNAME has nothing else; for addresses at such a name use a VIP",
                );
            }
            if let Some(second) = different(self.records(name), &cname) {
                let fact = format!("{owner} has several CNAMEs, the first on line {}", cname.line);
                error("E0223", &second, fact, "keep one");
            }
        }
        if let Some(dname) = first(rtype::DNAME)
            && let Some(second) = different(self.records(name), &dname)
        {
            let fact = format!("{owner} has several DNAMEs, the first on line {}", dname.line);
            error("E0226", &second, fact, "keep one");
        }
        if self.owner(name).starts_with(&[1, b'*'])
            && let Some(record) = first(rtype::NS).or(first(rtype::DNAME))
        {
            let fact = format!("{owner} is a wildcard and has NS or DNAME records");
            error("E0227", &record, fact, "what these would mean at a wildcard is undefined (RFC 4592 section 4)");
        }
        if gathered.renamed
            && let Some(record) = self.records(name).next()
        {
            let fact = format!("{owner} lies below a DNAME");
            error("E0225", &record, fact, "the DNAME renames everything below it; remove one of the two (RFC 6672)");
        }
        if gathered.cut != 0 {
            self.check_below_cut(name, &owner, problems);
        }
    }

    /// Below a cut only addresses make sense: as glue.
    fn check_below_cut(&self, name: usize, owner: &str, problems: &mut Vec<Problem>) {
        let at_cut = self.names[name].flags & flags::CUT != 0;
        let meant = |t: u16| match t {
            rtype::A | rtype::AAAA => true,
            rtype::NS | rtype::DS | rtype::NSEC | rtype::RRSIG => at_cut,
            _ => false,
        };
        if let Some(record) = self.records(name).find(|r| !meant(r.rtype)) {
            let fact = format!("{owner} is in a zone that is delegated away; this record is never answered");
            problems.push(Problem::warning("W0234", place(&record), fact).help("put it into the delegated zone"));
        }
    }

    fn check_vips(&self, name: usize, problems: &mut Vec<Problem>) {
        let Some(vip) = self.vips(name).next() else { return };
        let mut error = |code, fact: String, help: String| {
            problems.push(Problem::error(code, vip.place.clone(), fact).help(help));
        };
        let at = |r: &Record<'_>| format!("{}:{}", r.file.display(), r.line);
        if self.vips(name).nth(1).is_some() {
            error("E0233", format!("{} is the name of several VIPs", vip.name), "keep one".into());
        }
        if let Some(record) = self.records(name).find(|r| matches!(r.rtype, rtype::A | rtype::AAAA)) {
            let fact = format!("{} is a VIP and has addresses in its zone file", vip.name);
            error("E0230", fact, format!("remove the record at {}, or the VIP", at(&record)));
        }
        if let Some(record) = self.records(name).find(|r| r.rtype == rtype::CNAME) {
            let fact = format!("{} is a VIP and has a CNAME in its zone file", vip.name);
            error("E0231", fact, format!("remove the record at {}, or the VIP", at(&record)));
        }
        if self.names[name].cut != 0 || self.names[name].renamed {
            let fact =
                format!("{} is a VIP in a part of zone {} that is delegated away or renamed", vip.name, self.file.apex);
            error("E0232", fact, "load the delegated zone, or remove the NS or DNAME records above the name".into());
        }
    }
}

/// DNSSEC's own types may stand beside a CNAME (RFC 4034 section 3, RFC 2181 section 10.1).
fn beside_cname(t: u16) -> bool {
    matches!(t, rtype::CNAME | rtype::RRSIG | rtype::NSEC)
}

/// The first record of the same type with other data.
fn different<'a>(mut records: impl Iterator<Item = Record<'a>>, first: &Record<'_>) -> Option<Record<'a>> {
    records.find(|r| r.rtype == first.rtype && r.rdata != first.rdata)
}
