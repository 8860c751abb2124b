//! Lists of `rhumb get`: a row for each item, columns that scripts may count on, `-` where there is nothing.

use crate::admin::dto::Endpoint;
use crate::admin::dto::LastProbe;
use crate::admin::dto::Listener;
use crate::admin::dto::Load;
use crate::admin::dto::Override;
use crate::admin::dto::Pool;
use crate::admin::dto::Region;
use crate::admin::dto::Vip;
use crate::admin::dto::Zone;
use crate::admin::render::events::tone;
use crate::admin::render::orders;
use crate::admin::render::table::Cell;
use crate::admin::render::table::Table;
use crate::admin::render::table::Tone;
use crate::admin::render::times;

/// What can be listed.
pub trait Listed: Sized {
    /// Headings; those that begin with `>` stand right.
    const HEADINGS: &'static [&'static str];

    /// Adds its row.
    fn row(&self, table: &mut Table);

    /// Its name, as `get KIND NAME` takes it.
    fn name(&self) -> String;

    /// The table of these.
    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(Self::HEADINGS);
        items.iter().for_each(|item| item.row(&mut table));
        table
    }
}

/// A standing as a cell.
pub fn standing(word: &str) -> Cell {
    Cell::toned(word, tone(word))
}

/// Up or down as a cell.
pub fn up(up: bool) -> Cell {
    standing(if up { "up" } else { "down" })
}

fn some(text: &Option<String>) -> Cell {
    Cell::from(text.as_deref().unwrap_or_default())
}

/// The standing of a region: its order, else whether any pool of it is answered.
pub fn region_standing(region: &Region) -> Cell {
    match &region.order {
        Some(order) => standing(order),
        None => up(region.up),
    }
}

/// What the last probe found: `L4CON connection refused`.
pub fn found(last: Option<&LastProbe>) -> String {
    last.map_or(String::new(), |last| match last.words.is_empty() {
        true => last.code.clone(),
        false => format!("{} {}", last.code, last.words),
    })
}

/// The load of a pool, as a part of its capacity.
pub fn loaded_cell(load: &Load) -> Cell {
    match load.load {
        Some(part) => Cell::toned(format!("{part:.2}"), if part >= load.high { Tone::Warning } else { Tone::Plain }),
        None => Cell::toned("unknown", Tone::Warning),
    }
}

/// The part of its clients that is sent elsewhere.
pub fn shed_cell(load: &Load) -> Cell {
    let tone = if load.shed > 0.0 { Tone::Warning } else { Tone::Plain };
    Cell::toned(format!("{:.0}%", load.shed * 100.0), tone)
}

impl Listed for Region {
    const HEADINGS: &'static [&'static str] = &["NAME", "STANDING", ">POOLS", ">ENDPOINTS", "LOCATION", "LABEL"];

    fn row(&self, table: &mut Table) {
        let location = self.location.map_or(String::new(), |[lat, lon]| format!("{lat:.2},{lon:.2}"));
        table.row([
            Cell::from(&self.name),
            region_standing(self),
            format!("{}/{}", self.pools_up, self.pools).into(),
            format!("{}/{}", self.endpoints_up, self.endpoints).into(),
            location.into(),
            Cell::from(&self.label),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Listed for Pool {
    const HEADINGS: &'static [&'static str] =
        &["NAME", "REGION", "STANDING", ">HEALTHY", ">MIN", "CHECK", "BALANCE", "FALLBACK", ">LOAD", ">SHED"];

    fn row(&self, table: &mut Table) {
        table.row([
            Cell::from(&self.name),
            Cell::from(&self.region),
            standing(&self.effective),
            format!("{}/{}", self.healthy, self.endpoints).into(),
            self.min_healthy.to_string().into(),
            some(&self.check),
            Cell::from(&self.balance),
            some(&self.fallback),
            self.load.as_ref().map_or("".into(), loaded_cell),
            self.load.as_ref().map_or("".into(), shed_cell),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Why an endpoint is out, or what its last probe found: `ejected: 5 failures in a row (connect refused), back in 8 s`.
pub fn why(endpoint: &Endpoint) -> String {
    match (&endpoint.blocked, &endpoint.ejected) {
        (Some(why), _) => format!("blocked: {why}"),
        (None, Some(ejected)) => format!("ejected: {}", ejected.words),
        (None, None) => found(endpoint.last.as_ref()),
    }
}

impl Listed for Endpoint {
    const HEADINGS: &'static [&'static str] = &["NAME", "REGION", "STANDING", "OBSERVED", "SINCE", ">WEIGHT", "LAST"];

    fn row(&self, table: &mut Table) {
        table.row([
            Cell::from(&self.name),
            Cell::from(&self.region),
            standing(&self.effective),
            standing(&self.observed),
            Cell::from(times::second(&self.since)),
            self.weight.effective.to_string().into(),
            why(self).into(),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Listed for Vip {
    const HEADINGS: &'static [&'static str] = &["NAME", "POLICY", "STANDING", ">TTL", ">ANSWERS", "POOLS"];

    fn row(&self, table: &mut Table) {
        let pools = self.pools.iter().map(|p| if p.up { p.pool.clone() } else { format!("{}(down)", p.pool) });
        table.row([
            Cell::from(&self.name),
            Cell::from(&self.policy),
            up(self.up),
            self.ttl.to_string().into(),
            self.answers.to_string().into(),
            pools.collect::<Vec<_>>().join(",").into(),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Listed for Zone {
    const HEADINGS: &'static [&'static str] = &["NAME", ">SERIAL", ">RECORDS", ">NAMES", "FILE"];

    fn row(&self, table: &mut Table) {
        table.row([
            Cell::from(&self.name),
            self.serial.to_string().into(),
            self.records.to_string().into(),
            self.names.to_string().into(),
            some(&self.file),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Listed for Override {
    const HEADINGS: &'static [&'static str] = &["SUBJECT", "ORDER", "PHASE", "BEGINS", "UNTIL", "BY", "REASON"];

    fn row(&self, table: &mut Table) {
        let phase = match self.phase {
            crate::admin::dto::Phase::Planned => "planned",
            crate::admin::dto::Phase::InForce => "in_force",
            crate::admin::dto::Phase::Dormant => "dormant",
        };
        table.row([
            orders::subject(self).into(),
            // One word, so that columns can be counted on: `weight=50`.
            Cell::toned(orders::state(self).replace(' ', "="), Tone::Warning),
            phase.into(),
            times::second(&self.begins).into(),
            Cell::from(self.until.as_deref().map(times::second).unwrap_or_default()),
            Cell::from(&self.by),
            Cell::from(&self.reason),
        ]);
    }

    fn name(&self) -> String {
        orders::subject(self)
    }
}

impl Listed for Listener {
    const HEADINGS: &'static [&'static str] =
        &["KIND", "TRANSPORT", "ADDRESS", "NAME", "REGION", ">ROUTES", ">CONNECTIONS", ">REQUESTS"];

    fn row(&self, table: &mut Table) {
        let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
        table.row([
            Cell::from(&self.kind),
            Cell::from(&self.transport),
            Cell::from(&self.address),
            Cell::from(self.name.clone().unwrap_or_default()),
            Cell::from(self.region.clone().unwrap_or_default()),
            Cell::from(number(self.routes)),
            Cell::from(number(self.connections)),
            Cell::from(number(self.requests)),
        ]);
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.clone())
    }
}
