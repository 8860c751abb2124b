//! One screen about everything: first whether all is well, then what is not, why and since when.
//!
//! What needs a hand stands above what only needs to be known: a reload that failed, the server's suspicion of itself,
//! regions, what is in trouble, orders.

use std::fmt::Write as _;
use std::time::Duration;

use crate::admin::dto::LoadedPool;
use crate::admin::dto::Override;
use crate::admin::dto::Status;
use crate::admin::dto::Tail;
use crate::admin::render::lists::found;
use crate::admin::render::lists::loaded_cell;
use crate::admin::render::lists::region_standing;
use crate::admin::render::lists::shed_cell;
use crate::admin::render::orders;
use crate::admin::render::table::Cell;
use crate::admin::render::table::Paint;
use crate::admin::render::table::Table;
use crate::admin::render::table::Tone;
use crate::admin::render::table::broken;
use crate::admin::render::table::plain;
use crate::admin::render::times;
use crate::admin::when;
use crate::model::Moment;

/// Problems of a failed reload that are shown; `rhumb check` shows them all.
const PROBLEMS_SHOWN_MAX: usize = 5;
/// Regions that are shown when all is well with them; there are seldom more.
const REGIONS_SHOWN_MAX: usize = 40;

/// How a status is shown.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Whether to colour.
    pub paint: Paint,
    /// How many columns there are.
    pub width: usize,
}

impl Screen {
    /// The screen of a status.
    pub fn show(self, status: &Status) -> String {
        let now = when::read(&status.now).ok();
        let blocks = [
            self.headline(status, now),
            self.failed_reload(status, now),
            self.suspicion(status, now),
            self.regions(status),
            self.tails(status, now),
            self.trouble(status, now),
            self.ejected(status, now),
            self.loaded(status),
            self.orders(status, now),
        ];
        blocks.into_iter().filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn headline(self, status: &Status, now: Option<Moment>) -> String {
        let mut wrong = wrong(status);
        if !status.ready {
            wrong.insert(0, "the first round of probes is not over".to_owned());
        }
        let first = if wrong.is_empty() {
            let said = format!("all is well: {}", inventory(status));
            self.paint.word(Tone::Good, &said)
        } else {
            let lines = broken(&format!("TROUBLE: {}", wrong.join("; ")), self.width);
            lines.iter().map(|line| self.paint.word(Tone::Bad, line)).collect::<Vec<_>>().join("\n")
        };
        format!("{first}\n{}\n", broken(&about(status, now), self.width).join("\n"))
    }

    fn failed_reload(self, status: &Status, now: Option<Moment>) -> String {
        let Some(reload) = status.config.last_reload.as_ref().filter(|reload| !reload.ok) else {
            return String::new();
        };
        let ago = times::since(now, &reload.at);
        let line = format!(
            "RELOAD FAILED {ago} ago ({}); generation {} goes on serving:",
            plain(&reload.by),
            status.generation
        );
        let mut out = self.paint.word(Tone::Bad, &line) + "\n";
        for problem in reload.problems.iter().filter(|p| p.severity == "error").take(PROBLEMS_SHOWN_MAX) {
            let lines = broken(&plain(&problem.to_string()), self.width - 2);
            let _ = writeln!(out, "  {}", lines.join("\n    "));
        }
        let errors = reload.problems.iter().filter(|p| p.severity == "error").count();
        if errors > PROBLEMS_SHOWN_MAX {
            let more = errors - PROBLEMS_SHOWN_MAX;
            let _ = writeln!(out, "  and {more} more: rhumb check -c {}", plain(&status.config.file));
        }
        out
    }

    fn suspicion(self, status: &Status, now: Option<Moment>) -> String {
        let Some(suspicion) = &status.suspicion else { return String::new() };
        let since = times::since(now, &suspicion.since);
        let said = format!("SUSPECTS ITSELF for {since}, and holds what it believed: {}", plain(&suspicion.reason));
        let lines = broken(&said, self.width);
        lines.iter().map(|line| self.paint.word(Tone::Warning, line) + "\n").collect()
    }

    /// Who still comes to what was drained.
    fn tails(self, status: &Status, now: Option<Moment>) -> String {
        let lines = status.tails.iter().flat_map(|tail| broken(&tail_words(tail, now), self.width));
        lines.map(|line| line + "\n").collect()
    }

    fn regions(self, status: &Status) -> String {
        // Those with something to see come first to where there is room.
        let well = |region: &&crate::admin::dto::Region| {
            region.up && region.order.is_none() && region.endpoints_up == region.endpoints
        };
        let mut shown: Vec<_> = status.regions.iter().collect();
        if shown.len() > REGIONS_SHOWN_MAX {
            shown.sort_by_key(well);
            shown.truncate(REGIONS_SHOWN_MAX);
        }
        let mut table = Table::new(&["REGION", ">POOLS", ">ENDPOINTS", "STANDING", "LABEL"]);
        for region in &shown {
            table.row([
                Cell::from(&region.name),
                format!("{}/{}", region.pools_up, region.pools).into(),
                format!("{}/{}", region.endpoints_up, region.endpoints).into(),
                region_standing(region),
                Cell::from(&region.label),
            ]);
        }
        let mut out = if shown.is_empty() { String::new() } else { table.show(self.paint, Some(self.width)) };
        if status.regions.len() > shown.len() {
            let _ = writeln!(out, "and {} more: rhumb get regions", status.regions.len() - shown.len());
        }
        out
    }

    fn trouble(self, status: &Status, now: Option<Moment>) -> String {
        if status.trouble.items.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["PROBES FAIL", ">FOR", "WHY"]);
        for endpoint in &status.trouble.items {
            let in_a_row = endpoint.last.as_ref().map_or(0, |last| last.in_a_row);
            let mut why = found(endpoint.last.as_ref());
            if in_a_row > 1 {
                let _ = write!(why, ", {in_a_row} in a row");
            }
            if let (Some(order), Some(of)) = (&endpoint.order, &endpoint.order_of) {
                let _ = write!(why, "; {order} by {of}");
            }
            table.row([Cell::toned(&endpoint.name, Tone::Bad), times::since(now, &endpoint.since).into(), why.into()]);
        }
        let mut out = table.show(self.paint, Some(self.width));
        if status.trouble.more > 0 {
            let _ = writeln!(out, "and {} more: rhumb get endpoints --standing down", status.trouble.more);
        }
        out
    }

    fn ejected(self, status: &Status, now: Option<Moment>) -> String {
        if status.ejected.items.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["REQUESTS FAIL", ">FOR", "WHY"]);
        for (endpoint, ejected) in status.ejected.items.iter().filter_map(|e| Some((e, e.ejected.as_ref()?))) {
            let mut why = ejected.words.clone();
            if let (Some(order), Some(of)) = (&endpoint.order, &endpoint.order_of) {
                let _ = write!(why, "; {order} by {of}");
            } else if endpoint.up {
                why.push_str("; answered all the same: no other pool is up");
            }
            table.row([
                Cell::toned(&endpoint.name, Tone::Warning),
                times::since(now, &ejected.since).into(),
                why.into(),
            ]);
        }
        let mut out = table.show(self.paint, Some(self.width));
        if status.ejected.more > 0 {
            let _ = writeln!(out, "and {} more: rhumb get endpoints", status.ejected.more);
        }
        out
    }

    fn loaded(self, status: &Status) -> String {
        if status.loaded.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["LOADED", ">LOAD", ">SHED", "WHY"]);
        for LoadedPool { pool, load, .. } in &status.loaded {
            let why = match (load.load, load.shed > 0.0) {
                (Some(_), _) => {
                    format!("from {:.2} on clients are sent elsewhere, from {:.2} on all", load.low, load.high)
                }
                (None, true) => "the load is not known any more; clients come back one by one".to_owned(),
                (None, false) => "the load is not known: nobody is sent elsewhere".to_owned(),
            };
            table.row([Cell::toned(pool, Tone::Warning), loaded_cell(load), shed_cell(load), why.into()]);
        }
        let mut out = table.show(self.paint, Some(self.width));
        if status.loaded_more > 0 {
            let _ = writeln!(out, "and {} more: rhumb get pools", status.loaded_more);
        }
        out
    }

    fn orders(self, status: &Status, now: Option<Moment>) -> String {
        if status.overrides.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["ORDERED", "STATE", "HOLDS", "WHY AND WHO"]);
        for order in &status.overrides {
            table.row([
                orders::subject(order).into(),
                orders::state_cell(order),
                orders::span(order, now).into(),
                orders::papers(order).into(),
            ]);
        }
        let mut out = table.show(self.paint, Some(self.width));
        if status.overrides_more > 0 {
            let _ = writeln!(out, "and {} more: rhumb get overrides", status.overrides_more);
        }
        out
    }
}

/// What is not as it should be, worst first; orders are meant, and no trouble.
fn wrong(status: &Status) -> Vec<String> {
    let counts = &status.counts;
    let regions_down = status.regions.iter().filter(|r| !r.up && !withdrawn(r.overrides.as_slice(), &r.order)).count();
    let mut wrong = Vec::new();
    let mut part = |down: usize, of: usize, what: &str, verb: &str| {
        if down > 0 {
            wrong.push(format!("{down} of {of} {what}{} {verb}", if of == 1 { "" } else { "s" }));
        }
    };
    part(counts.vips_down, counts.vips, "VIP", "without a pool");
    part(regions_down, status.regions.len(), "region", "down");
    part(counts.pools.down, counts.pools.total, "pool", "down");
    part(counts.endpoints.down, counts.endpoints.total, "endpoint", "down");
    part(counts.endpoints.ejected, counts.endpoints.total, "endpoint", "ejected");
    if status.suspicion.is_some() {
        wrong.push("the server suspects itself".to_owned());
    }
    if status.config.last_reload.as_ref().is_some_and(|reload| !reload.ok) {
        wrong.push("the last reload failed".to_owned());
    }
    wrong
}

fn withdrawn(overrides: &[Override], order: &Option<String>) -> bool {
    !overrides.is_empty() && order.is_some()
}

/// `region/eu-west: drained 3m00s ago; 12 requests in the last minute, the last 4s ago; its tail is gone after 1m00s without`.
fn tail_words(tail: &Tail, now: Option<Moment>) -> String {
    let (of, drained) = (plain(&tail.of), times::since(now, &tail.since));
    let quiet = times::coarse(Duration::from_secs(tail.quiet_seconds));
    let came = match (&tail.last, tail.last_minute) {
        (None, _) => "nobody has come since".to_owned(),
        (Some(last), count) => {
            let s = if count == 1 { "" } else { "s" };
            format!("{count} request{s} in the last minute, the last {} ago", times::since(now, last))
        }
    };
    let end = match &tail.gone {
        Some(gone) => format!("its tail of stale clients is gone since {}", times::since(now, gone)),
        None => format!("its tail of stale clients is gone after {quiet} without any"),
    };
    format!("{of}: drained {drained} ago; {came}; {end}")
}

/// `3 regions, 3 pools, 5 endpoints; 8 VIPs in 1 zone`.
fn inventory(status: &Status) -> String {
    let counts = &status.counts;
    let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}; {} in {}",
        many(status.regions.len(), "region"),
        many(counts.pools.total, "pool"),
        many(counts.endpoints.total, "endpoint"),
        many(counts.vips, "VIP"),
        many(counts.zones, "zone"),
    )
}

/// `rhumb 0.1.0, up 2h05m, generation 3 of rhumb.toml, 1234 queries/s`.
fn about(status: &Status, now: Option<Moment>) -> String {
    let up = times::since(now, &status.started);
    let mut out = format!(
        "rhumb {}, up {up}, generation {} of {}",
        plain(&status.version),
        status.generation,
        plain(&status.config.file)
    );
    if let Some(queries) = &status.queries {
        let _ = write!(out, ", {:.0} queries/s", queries.per_second);
    }
    out
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::admin::dto::ConfigProblem;
    use crate::admin::dto::ConfigStatus;
    use crate::admin::dto::Counts;
    use crate::admin::dto::Ejected;
    use crate::admin::dto::Endpoint;
    use crate::admin::dto::EndpointCounts;
    use crate::admin::dto::LastProbe;
    use crate::admin::dto::OrderState;
    use crate::admin::dto::Phase;
    use crate::admin::dto::PoolCounts;
    use crate::admin::dto::Queries;
    use crate::admin::dto::Region;
    use crate::admin::dto::ReloadSaid;
    use crate::admin::dto::Suspicion;
    use crate::admin::dto::Trouble;
    use crate::admin::dto::Weight;

    const SCREEN: Screen = Screen { paint: Paint(false), width: 80 };

    fn region(name: &str, label: &str) -> Region {
        Region {
            name: name.into(),
            label: label.into(),
            location: None,
            up: true,
            pools_up: 1,
            pools: 1,
            endpoints_up: 2,
            endpoints: 2,
            order: None,
            overrides: Vec::new(),
            tail: None,
        }
    }

    fn well() -> Status {
        Status {
            version: "0.1.0".into(),
            generation: 3,
            ready: true,
            started: "2026-11-18T07:25:00.000Z".into(),
            now: "2026-11-18T09:30:00.000Z".into(),
            config: ConfigStatus { file: "rhumb.toml".into(), last_reload: None },
            suspicion: None,
            counts: Counts {
                vips: 8,
                vips_down: 0,
                zones: 1,
                pools: PoolCounts { total: 2, up: 2, down: 0, withdrawn: 0 },
                endpoints: EndpointCounts { total: 4, up: 4, ..EndpointCounts::default() },
            },
            regions: vec![region("eu-west", "Frankfurt"), region("us-east", "Ashburn")],
            trouble: Trouble::default(),
            ejected: Trouble::default(),
            loaded: Vec::new(),
            loaded_more: 0,
            overrides: Vec::new(),
            overrides_more: 0,
            tails: Vec::new(),
            queries: Some(Queries { total: 1_000_000, per_second: 1234.4 }),
        }
    }

    fn bad() -> Status {
        let mut status = well();
        let endpoint = Endpoint {
            blocked: None,
            name: "eu-web/192.0.2.10".into(),
            pool: "eu-web".into(),
            region: "eu-west".into(),
            address: "192.0.2.10".into(),
            port: None,
            up: false,
            observed: "down".into(),
            order: None,
            order_of: None,
            ejected: None,
            effective: "down".into(),
            since: "2026-11-18T09:26:48.000Z".into(),
            last: Some(LastProbe {
                passed: false,
                code: "L4CON".into(),
                words: "connection refused".into(),
                milliseconds: 0.3,
                at: "2026-11-18T09:29:59.000Z".into(),
                in_a_row: 34,
            }),
            weight: Weight { configured: 1, effective: 1 },
            overrides: Vec::new(),
        };
        status.trouble = Trouble { items: vec![endpoint], more: 12 };
        status.counts.pools = PoolCounts { total: 2, up: 1, down: 1, withdrawn: 0 };
        status.counts.endpoints = EndpointCounts { total: 4, up: 3, down: 1, ..EndpointCounts::default() };
        status.regions[0] = Region { up: false, pools_up: 0, endpoints_up: 1, ..region("eu-west", "Frankfurt") };
        status.overrides = vec![Override {
            kind: "pool".into(),
            name: "us-web".into(),
            state: OrderState::Maint,
            weight: None,
            reason: "the switch in rack 12 is replaced, see the ticket for the people to call".into(),
            by: "ada".into(),
            since: "2026-11-18T09:00:00Z".into(),
            begins: "2026-11-18T09:40:00Z".into(),
            until: Some("2026-11-18T10:00:00Z".into()),
            phase: Phase::Planned,
            persistent: true,
        }];
        let problem = ConfigProblem {
            code: "E0101".into(),
            severity: "error".into(),
            file: Some("rhumb.toml".into()),
            line: Some(11),
            column: Some(33),
            width: Some(6),
            fact: "VIP `www.example.com.` uses pool `eu-wbe`, which is not defined".into(),
            label: None,
            help: Some("a pool with a similar name exists: `eu-web`".into()),
        };
        status.config.last_reload = Some(ReloadSaid {
            at: "2026-11-18T09:25:30.000Z".into(),
            ok: false,
            generation: 3,
            by: "rhumb.toml has changed".into(),
            problems: vec![problem],
        });
        status.suspicion = Some(Suspicion {
            since: "2026-11-18T09:29:30.000Z".into(),
            reason: "4 of 4 endpoints failed within 10s, in every region".into(),
        });
        status
    }

    #[test]
    fn a_tail_says_who_still_comes_and_when_it_is_gone() {
        let mut tail = Tail {
            of: "region/eu-west".into(),
            since: "2026-11-18T09:27:00.000Z".into(),
            requests: 40,
            last_minute: 12,
            last: Some("2026-11-18T09:29:56.000Z".into()),
            quiet_seconds: 60,
            gone: None,
        };
        let words = |tail: &Tail| tail_words(tail, when::read("2026-11-18T09:30:00.000Z").ok());
        let said = "region/eu-west: drained 3m00s ago; 12 requests in the last minute, the last 4s ago; its tail of stale \
                    clients is gone after 1m00s without any";
        assert_eq!(words(&tail), said);
        tail.gone = Some("2026-11-18T09:29:58.000Z".into());
        assert!(words(&tail).ends_with("; its tail of stale clients is gone since 2s"), "{}", words(&tail));
        tail.last = None;
        assert!(words(&tail).contains("; nobody has come since; "), "{}", words(&tail));
    }

    #[test]
    fn when_all_is_well_the_first_line_says_so() {
        let says = "\
all is well: 2 regions, 2 pools, 4 endpoints; 8 VIPs in 1 zone
rhumb 0.1.0, up 2h05m, generation 3 of rhumb.toml, 1234 queries/s

REGION   POOLS  ENDPOINTS  STANDING  LABEL
eu-west    1/1        2/2  up        Frankfurt
us-east    1/1        2/2  up        Ashburn
";
        assert_eq!(SCREEN.show(&well()), says);
    }

    #[test]
    fn trouble_is_told_with_why_and_since_when() {
        let says = "\
TROUBLE: 1 of 2 regions down; 1 of 2 pools down; 1 of 4 endpoints down; the
server suspects itself; the last reload failed
rhumb 0.1.0, up 2h05m, generation 3 of rhumb.toml, 1234 queries/s

RELOAD FAILED 4m30s ago (rhumb.toml has changed); generation 3 goes on serving:
  rhumb.toml:11:33: error[E0101]: VIP `www.example.com.` uses pool `eu-wbe`,
    which is not defined; a pool with a similar name exists: `eu-web`

SUSPECTS ITSELF for 30s, and holds what it believed: 4 of 4 endpoints failed
within 10s, in every region

REGION   POOLS  ENDPOINTS  STANDING  LABEL
eu-west    0/1        1/2  down      Frankfurt
us-east    1/1        2/2  up        Ashburn

PROBES FAIL          FOR  WHY
eu-web/192.0.2.10  3m12s  L4CON connection refused, 34 in a row
and 12 more: rhumb get endpoints --standing down

ORDERED      STATE  HOLDS                  WHY AND WHO
pool/us-web  maint  in 10m00s, for 20m00s  the switch in rack 12 is replaced,
                                           see the ticket for the people to call
                                           (ada)
";
        let found = SCREEN.show(&bad());
        assert!(found.lines().all(|line| line.width() <= 80), "{found}");
        assert_eq!(found, says);
    }

    #[test]
    fn who_fails_requests_is_told_apart() {
        let mut status = well();
        let endpoint = bad().trouble.items.remove(0);
        let ejected = Ejected {
            reason: "5 failures in a row (connect refused)".into(),
            since: "2026-11-18T09:29:58.000Z".into(),
            until: "2026-11-18T09:30:08.000Z".into(),
            words: "5 failures in a row (connect refused), back in 8 s".into(),
        };
        let endpoint =
            Endpoint { observed: "up".into(), effective: "ejected".into(), ejected: Some(ejected), ..endpoint };
        let last = Endpoint { up: true, effective: "up".into(), name: "eu-web/192.0.2.11".into(), ..endpoint.clone() };
        status.ejected = Trouble { items: vec![endpoint, last], more: 0 };
        status.counts.endpoints.ejected = 2;
        let found = SCREEN.show(&status);
        assert!(found.starts_with("TROUBLE: 2 of 4 endpoints ejected\n"), "{found}");
        let says = "\
REQUESTS FAIL      FOR  WHY
eu-web/192.0.2.10   2s  5 failures in a row (connect refused), back in 8 s
eu-web/192.0.2.11   2s  5 failures in a row (connect refused), back in 8 s;
                        answered all the same: no other pool is up
";
        assert!(found.ends_with(says), "{found}");
    }

    #[test]
    fn a_server_that_begins_says_so() {
        let status = Status { ready: false, queries: None, ..well() };
        assert!(SCREEN.show(&status).starts_with("TROUBLE: the first round of probes is not over\n"));
    }
}
