//! `[vip.*]`: pools, times and what happens when all is down. Policies are in `policies`.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::codes;
use crate::config::forms::show_duration;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::vips::AllDown;
use crate::config::spec::vips::Vip as VipSpec;
use crate::dns::name::Name;
use crate::model::HashGranularity;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Vip;
use crate::model::WhenAllDown;

use super::names::Names;
use super::policies;
use super::uses::Uses;

const TTL: Duration = Duration::from_secs(30);
const MIN_TTL: Duration = Duration::from_secs(1);
/// One record: so the shares of answers are the weights.
const ANSWERS: u8 = 1;
/// A longer TTL keeps clients at a failed region longer than people wait; probes can then do nothing for them.
const TTL_LONG: Duration = Duration::from_secs(300);

/// `[vip.*]`, in the order they were written.
pub fn vips(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &mut Uses, model: &mut Model) {
    let mut seen: HashMap<&Name, Span> = HashMap::new();
    for (at, vip) in spec.vips.iter().enumerate() {
        if let Some(first) = seen.insert(&vip.name.value, vip.name.span) {
            let fact = format!("VIP `{}` is already in {}", vip.name.value, reports.place(first));
            let help = "names that differ in case or in the last dot are the same".to_owned();
            reports.error(codes::REPEATED, vip.name.span, fact).label("second time").help(help);
        }
        let read = self::vip(reports, spec, at, names, uses);
        model.vips.push(read);
    }
}

fn vip(reports: &mut Reports<'_>, spec: &Spec, at: usize, names: &Names<'_>, uses: &mut Uses) -> Vip {
    let vip = &spec.vips[at];
    let policy = policies::Reader { spec, vip, at, names, uses }.policy(reports);
    let (ttl, min_ttl) = ttls(reports, vip);
    let default = HashGranularity::default();
    let bits = |written: &Option<Written<u64>>, default| written.as_ref().map_or(default, |w| w.value as u8);
    Vip {
        name: vip.name.value.to_string(),
        policy,
        ttl,
        min_ttl,
        answers: vip.answers.as_ref().map_or(ANSWERS, |w| w.value as u8),
        hash: HashGranularity { v4: bits(&vip.hash.0, default.v4), v6: bits(&vip.hash.1, default.v6) },
        when_all_down: when_all_down(reports, vip, at, names, uses),
        family: vip.family.as_ref().map(|w| w.value).unwrap_or_default(),
        place: Some(reports.place(vip.name.span)),
    }
}

fn ttls(reports: &mut Reports<'_>, vip: &VipSpec) -> (Duration, Duration) {
    let ttl = vip.ttl.as_ref().map_or(TTL, |w| w.value);
    if let Some(written) = vip.ttl.as_ref().filter(|w| w.value > TTL_LONG) {
        let long = show_duration(written.value);
        let fact = format!("for up to {long}, clients keep an answer whose region has failed");
        let help = "30s to 60s is usual for names that are steered".to_owned();
        reports.warning(codes::LONG_TTL, written.span, fact).help(help);
    }
    let Some(least) = &vip.min_ttl else { return (ttl, MIN_TTL.min(ttl)) };
    let known = vip.ttl.is_some() || !vip.has_ttl;
    if known && least.value > ttl {
        let fact = format!("`min_ttl` of {} is longer than `ttl`, {}", show_duration(least.value), show_duration(ttl));
        reports.error(codes::RANGE, least.span, fact).help(format!("write at most `{}`", show_duration(ttl)));
    }
    (ttl, least.value.min(ttl))
}

fn when_all_down(
    reports: &mut Reports<'_>,
    vip: &VipSpec,
    at: usize,
    names: &Names<'_>,
    uses: &mut Uses,
) -> WhenAllDown {
    let Some(written) = &vip.when_all_down else { return WhenAllDown::default() };
    match &written.value {
        AllDown::All => WhenAllDown::All,
        AllDown::NoData => WhenAllDown::NoData,
        AllDown::ServFail => WhenAllDown::ServFail,
        AllDown::Pool(name) => {
            let name = Written { value: name.clone(), span: written.span };
            let user = format!("VIP `{}`", vip.name.value);
            let Some(pool) = names.pools.resolve(reports, &user, &name) else { return WhenAllDown::default() };
            uses.by_vip(pool, at);
            WhenAllDown::Pool(PoolId::from(pool))
        }
    }
}
