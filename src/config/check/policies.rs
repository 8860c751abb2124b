//! A VIP's policy: its pools and rules, and whether they make sense for it.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::config::codes;
use crate::config::fields::List;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::vips::Member as MemberSpec;
use crate::config::spec::vips::PolicyWord;
use crate::config::spec::vips::Rule as RuleSpec;
use crate::config::spec::vips::Vip as VipSpec;
use crate::model::GeoCode;
use crate::model::Member;
use crate::model::NetworkId;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Rule;

use super::names::Names;
use super::uses::Uses;

/// Reads the policy of one VIP.
pub struct Reader<'a, 's> {
    /// Everything written.
    pub spec: &'s Spec,
    /// The VIP.
    pub vip: &'s VipSpec,
    /// Its place in the specification.
    pub at: usize,
    /// Every name.
    pub names: &'a Names<'s>,
    /// Who uses what.
    pub uses: &'a mut Uses,
}

/// Which of `weight` and `bias` a list of pools takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Weight,
    Bias,
    Neither,
}

impl Reader<'_, '_> {
    /// The policy; an unreadable one counts as failover, so that its pools are still looked at.
    pub fn policy(&mut self, reports: &mut Reports<'_>) -> Policy {
        let word = self.vip.policy.as_ref().map(|w| w.value);
        match word {
            Some(PolicyWord::Geolocation) => self.geolocation(reports),
            None if self.vip.rules.is_some() => self.geolocation(reports),
            Some(word) => self.pools(reports, word),
            None => self.pools(reports, PolicyWord::Failover),
        }
    }

    fn user(&self) -> String {
        format!("VIP `{}`", self.vip.name.value)
    }

    fn pools(&mut self, reports: &mut Reports<'_>, word: PolicyWord) -> Policy {
        if let Some(rules) = &self.vip.rules {
            let fact = format!("policy `{}` takes `pools`; `rules` belong to `geolocation`", word.word());
            let help = "write `policy = \"geolocation\"`, or list the pools in `pools`".to_owned();
            reports.error(codes::MISPLACED, rules.span, fact).help(help);
        }
        let Some(list) = &self.vip.pools else {
            if self.vip.policy.is_some() && !self.vip.has_choices {
                let fact = format!("{} has no `pools`", self.user());
                let help = "add `pools = [{ pool = \"POOL\" }]`".to_owned();
                reports.error(codes::MISSING, self.vip.name.span, fact).help(help);
            }
            return Policy::Failover(Vec::new());
        };
        let takes = match word {
            _ if self.vip.policy.is_none() => return Policy::Failover(self.members(reports, list, None, "")),
            PolicyWord::Weighted | PolicyWord::Hash => Takes::Weight,
            PolicyWord::Geoproximity => Takes::Bias,
            _ => Takes::Neither,
        };
        let members = self.members(reports, list, Some(takes), word.word());
        match word {
            PolicyWord::Geoproximity => self.need_locations(reports, list),
            PolicyWord::Latency => self.need_latency(reports),
            PolicyWord::Weighted | PolicyWord::Hash => self.some_weight(reports, list),
            _ => {}
        }
        match word {
            PolicyWord::Geoproximity => Policy::Geoproximity(members),
            PolicyWord::Latency => Policy::Latency(members),
            PolicyWord::Weighted => Policy::Weighted(members),
            PolicyWord::Hash => Policy::Hash(members),
            PolicyWord::Failover | PolicyWord::Geolocation => Policy::Failover(members),
        }
    }

    fn members(
        &mut self,
        reports: &mut Reports<'_>,
        list: &List<MemberSpec>,
        takes: Option<Takes>,
        policy: &str,
    ) -> Vec<Member> {
        if list.items.is_empty() && list.complete {
            let help = "write `pools = [{ pool = \"POOL\" }]`".to_owned();
            reports.error(codes::EMPTY, list.span, "there is no pool to choose").help(help);
        }
        let user = self.user();
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        for item in &list.items {
            let member = &item.value;
            if let Some(takes) = takes {
                misplaced(reports, member, takes, policy);
            }
            let Some(pool) = self.names.pools.resolve(reports, &user, &member.pool) else { continue };
            self.uses.by_vip(pool, self.at);
            if !seen.insert(pool) {
                let fact = format!("{user} lists pool `{}` twice", member.pool.value);
                let help = "list it once".to_owned();
                reports.error(codes::REPEATED, member.pool.span, fact).label("second time").help(help);
                continue;
            }
            members.push(Member {
                pool: PoolId::from(pool),
                weight: member.weight.as_ref().map_or(1, |w| w.value as u32),
                bias: member.bias.as_ref().map_or(0, |w| w.value as i8),
            });
        }
        members
    }

    fn some_weight(&self, reports: &mut Reports<'_>, list: &List<MemberSpec>) {
        if list.items.len() > 1 && list.items.iter().all(|m| m.value.weight.as_ref().is_some_and(|w| w.value == 0)) {
            let help = "0 means: only when every other is gone; give at least one a weight".to_owned();
            reports.warning(codes::NO_WEIGHT, list.span, "every weight here is 0").help(help);
        }
    }

    fn need_locations(&self, reports: &mut Reports<'_>, list: &List<MemberSpec>) {
        for item in &list.items {
            let pool = self.names.pools.find(&item.value.pool.value).map(|at| &self.spec.pools[at].value);
            let Some(name) = pool.and_then(|pool| pool.region.as_ref()) else { continue };
            let Some(region) = self.names.regions.find(&name.value) else { continue };
            if !self.spec.regions[region].value.has_location {
                let fact = format!(
                    "{} goes by distance, and region `{}` of pool `{}` has no location",
                    self.user(),
                    name.value,
                    item.value.pool.value
                );
                let help = format!("add `location = [LATITUDE, LONGITUDE]` to [region.{}]", name.value);
                reports.error(codes::POLICY_NEEDS, item.value.pool.span, fact).label("somewhere unknown").help(help);
            }
        }
    }

    fn need_latency(&self, reports: &mut Reports<'_>) {
        if self.spec.geo.latency.is_none()
            && let Some(policy) = &self.vip.policy
        {
            let help = "add `latency = \"latency.csv\"` to [geo], or use `geoproximity`".to_owned();
            let fact = "policy `latency` needs a table of latencies, and [geo] names none";
            reports.error(codes::POLICY_NEEDS, policy.span, fact).help(help);
        }
    }

    fn geolocation(&mut self, reports: &mut Reports<'_>) -> Policy {
        if let Some(pools) = &self.vip.pools {
            let help = "write `rules = [{ geos = [\"EU\"], pool = \"POOL\" }, { pool = \"POOL\" }]`".to_owned();
            reports.error(codes::MISPLACED, pools.span, "policy `geolocation` takes `rules`, not `pools`").help(help);
        }
        let Some(list) = &self.vip.rules else {
            if !self.vip.has_choices {
                let fact = format!("{} has no `rules`", self.user());
                let help = "add `rules = [{ geos = [\"EU\"], pool = \"POOL\" }, { pool = \"POOL\" }]`".to_owned();
                reports.error(codes::MISSING, self.vip.name.span, fact).help(help);
            }
            return Policy::Geolocation(Vec::new());
        };
        self.catch_all(reports, list);
        self.shadowed(reports, list);
        Policy::Geolocation(list.items.iter().map(|rule| self.rule(reports, rule)).collect())
    }

    fn rule(&mut self, reports: &mut Reports<'_>, written: &Written<RuleSpec>) -> Rule {
        let rule = &written.value;
        let user = format!("a rule of VIP `{}`", self.vip.name.value);
        let mut networks = Vec::new();
        for name in rule.networks.iter().flat_map(|list| &list.items) {
            if let Some(at) = self.names.networks.resolve(reports, &user, name) {
                self.uses.networks[at] = true;
                networks.push(NetworkId::from(at));
            }
        }
        empty_condition(reports, "networks", &rule.networks);
        empty_condition(reports, "geos", &rule.geos);
        empty_condition(reports, "asns", &rule.asns);
        let members = rule.members.as_ref();
        let members = members.map_or_else(Vec::new, |list| {
            self.some_weight(reports, list);
            self.members(reports, list, Some(Takes::Weight), "geolocation")
        });
        Rule {
            networks,
            geos: rule.geos.iter().flat_map(|list| &list.items).map(|item| item.value).collect(),
            asns: rule.asns.iter().flat_map(|list| &list.items).map(|item| item.value as u32).collect(),
            members,
            geofence: rule.geofence.as_ref().is_some_and(|w| w.value),
            place: Some(reports.place(written.span)),
        }
    }

    /// The last rule matches everyone, and no rule before it does.
    fn catch_all(&self, reports: &mut Reports<'_>, list: &List<RuleSpec>) {
        if !list.items.iter().all(|rule| rule.value.all_known) {
            return;
        }
        let first = list.items.iter().position(|rule| rule.value.is_catch_all());
        let Some(first) = first else {
            if list.complete {
                let span = list.items.last().map_or(list.span, |rule| rule.span);
                let fact = format!("{} has no rule for clients that no other rule matches", self.user());
                let help = "end with `{ pool = \"POOL\" }`, which matches everyone".to_owned();
                reports.error(codes::NO_CATCH_ALL, span, fact).label("the last rule has conditions").help(help);
            }
            return;
        };
        let catch_all = reports.place(list.items[first].span);
        for rule in &list.items[first + 1..] {
            let fact = format!("no client reaches this rule: {catch_all} matches everyone");
            let help = "move the rule without conditions to the end".to_owned();
            reports.error(codes::UNREACHABLE, rule.span, fact).label("unreachable").help(help);
        }
    }

    /// Codes that an earlier rule already has, alone or with what holds them.
    fn shadowed(&self, reports: &mut Reports<'_>, list: &List<RuleSpec>) {
        let mut seen: HashMap<GeoCode, Span> = HashMap::new();
        for rule in &list.items {
            let codes = || rule.value.geos.iter().flat_map(|geos| &geos.items);
            for code in codes() {
                let Some(first) = wider(code.value).into_iter().flatten().find_map(|wider| seen.get(&wider)) else {
                    continue;
                };
                let fact = format!("`{}` never matches here: the rule at {} has it", code.value, reports.place(*first));
                let help = "put narrower places first, or remove it".to_owned();
                reports.warning(codes::SHADOWED, code.span, fact).label("never matches").help(help);
            }
            seen.extend(codes().map(|code| (code.value, rule.span)));
        }
    }
}

/// A code and those that hold it.
fn wider(code: GeoCode) -> [Option<GeoCode>; 3] {
    let country = GeoCode { subdivision: None, ..code };
    let continent = GeoCode { country: None, ..country };
    [Some(code), (country != code).then_some(country), (continent != country).then_some(continent)]
}

/// Whoever writes `geos = []` means nobody, and a rule without conditions is for everyone.
fn empty_condition<T>(reports: &mut Reports<'_>, key: &str, list: &Option<List<T>>) {
    let Some(list) = list else { return };
    if list.items.is_empty() && list.complete {
        let help = "leave the key out to match everyone, or remove the rule".to_owned();
        reports.error(codes::EMPTY, list.span, format!("`{key}` is empty")).help(help);
    }
}

fn misplaced(reports: &mut Reports<'_>, member: &MemberSpec, takes: Takes, policy: &str) {
    if let (Some(weight), true) = (&member.weight, takes != Takes::Weight) {
        let help = match takes {
            Takes::Bias => "use `bias` (−99 to 99) to widen or shrink a region",
            _ => "weights belong to `weighted`, `hash` and the rules of `geolocation`",
        };
        let fact = format!("`weight` has no meaning in policy `{policy}`");
        reports.error(codes::MISPLACED, weight.span, fact).help(help.to_owned());
    }
    if let (Some(bias), true) = (&member.bias, takes != Takes::Bias) {
        let fact = format!("`bias` has no meaning in policy `{policy}`");
        reports.error(codes::MISPLACED, bias.span, fact).help("bias belongs to `geoproximity`".to_owned());
    }
}
