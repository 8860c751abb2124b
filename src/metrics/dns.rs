//! What was asked and answered.
//!
//! What never happened is left out where there could be millions of it: pairs of VIP and pool, codes of a zone, types of
//! questions. What operators alert on (drops, connections) is there from the beginning, so that the first one is seen as
//! an increase.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::metrics::page::Page;
use crate::model::VipId;
use crate::server::answered::Totals;
use crate::server::counters::Tally;
use crate::server::counters::code_name;
use crate::server::counts::TRANSPORTS;
use crate::server::counts::TYPES;
use crate::server::counts::ZONE_CODES;
use crate::server::log::LogCounts;
use crate::steering::Reason;
use crate::world::World;

/// Stands where there is no zone or no pool. No zone has such a name, since theirs end with a dot; and a pool that is
/// called so is the operator's own joke.
const NONE: &str = "none";

/// What was counted of queries and connections.
pub(super) fn write(page: &mut Page<'_>, totals: &Totals, tally: &Tally, connections: usize) -> fmt::Result {
    requests(page, totals)?;
    responses(page, totals)?;
    drops(page, tally)?;
    page.counter(
        "dns_panics",
        "Queries whose answering failed by a defect of rhumb; SERVFAIL was sent where possible. Please report any",
        tally.panics,
    )?;
    page.gauge("dns_connections", "TCP and TLS connections that are open", connections)?;
    page.counter("dns_connections_accepted", "Connections accepted since the start", tally.connections)?;
    page.counter(
        "dns_connections_refused",
        "Connections refused because too many were open, over all or from one client",
        tally.refused_connections,
    )?;
    page.counter(
        "dns_connections_timed_out",
        "Connections closed because the client was too slow to ask or to read",
        tally.timed_out_connections,
    )?;
    answers(page, totals)
}

fn requests(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let help = "Messages received, by transport and type of the question; none: not understood";
    page.counters("dns_requests", help, |samples| {
        for (transport, types) in TRANSPORTS.iter().zip(totals.types.chunks(TYPES.len())) {
            let proto = transport.words().to_ascii_lowercase();
            for ((_, rtype), count) in TYPES.iter().zip(types) {
                if *count > 0 {
                    samples.add([("proto", &*proto), ("type", rtype)], *count)?;
                }
            }
        }
        Ok(())
    })
}

fn responses(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let help = "Responses, by the zone that holds the question and by response code; none: no zone of ours holds it";
    page.counters("dns_responses", help, |samples| {
        for (code, count) in totals.outside.iter().enumerate().filter(|(_, count)| **count > 0) {
            samples.add([("zone", NONE), ("rcode", code_name(code as u16))], *count)?;
        }
        for (zone, codes) in totals.snapshot.zones.iter().zip(&totals.zones) {
            if codes.iter().all(|count| *count == 0) {
                continue;
            }
            let name = zone.apex().to_string();
            for (code, count) in ZONE_CODES.iter().zip(codes).filter(|(_, count)| **count > 0) {
                samples.add([("zone", &*name), ("rcode", code)], *count)?;
            }
        }
        Ok(())
    })
}

/// What was not answered, or whose answer was not sent.
fn drops(page: &mut Page<'_>, tally: &Tally) -> fmt::Result {
    let help = "Messages without a response: no query at all, not looked into (too long, or from port 0), or the \
                response was not taken by the system";
    page.counters("dns_dropped", help, |samples| {
        let dropped = [("not_a_query", tally.ignored), ("unreadable", tally.unreadable), ("unsent", tally.unsent)];
        dropped.into_iter().try_for_each(|(reason, count)| samples.add([("reason", reason)], count))
    })
}

fn answers(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let help = "Decisions for a VIP's A and AAAA questions, by the pool they came to and why that pool; left out where \
                there were none";
    let model = &totals.snapshot.model;
    page.counters("vip_answers", help, |samples| {
        for (vip, pool, reasons) in &totals.answers {
            let (vip, pool) = (&*model.vip(*vip).name, pool.map_or(NONE, |pool| &model.pool(pool).name));
            for (reason, count) in Reason::ALL.iter().zip(reasons).filter(|(_, count)| **count > 0) {
                samples.add([("vip", vip), ("pool", pool), ("reason", reason.words())], *count)?;
            }
        }
        Ok(())
    })
}

/// How many VIPs have no pool left.
pub(super) fn write_down(page: &mut Page<'_>, world: &World) -> fmt::Result {
    let vips = world.snapshot.model.vips.len();
    let uses = world.snapshot.plan.uses();
    let down = |vip: &usize| !uses.pools(VipId::from(*vip)).iter().any(|pool| world.health.pool(*pool).usable);
    page.gauge("vips", "VIPs in the configuration", vips)?;
    let help = "VIPs none of whose pools may be answered: their clients get what when_all_down says";
    page.gauge("vips_down", help, (0..vips).filter(down).count())
}

/// What became of the queries that the query log drew.
pub(super) fn write_log(page: &mut Page<'_>, counts: &LogCounts) -> fmt::Result {
    page.counter("query_log_lines", "Lines written to the query log", counts.written.load(Relaxed))?;
    let help = "Queries that were drawn for the query log and not written, by why";
    page.counters("query_log_dropped", help, |samples| {
        let dropped = [("rate", &counts.over_rate), ("full", &counts.full), ("write_failed", &counts.failed)];
        dropped.into_iter().try_for_each(|(reason, count)| samples.add([("reason", reason)], count.load(Relaxed)))
    })
}
