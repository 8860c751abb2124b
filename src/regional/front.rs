//! A listener compiled: its routes, and what it lets pass.

use http::HeaderName;

use crate::model::Http;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::model::VipId;
use crate::regional::elsewhere::Site;
use crate::regional::elsewhere::leads_to;
use crate::route::plan::ActionPlan;
use crate::route::plan::Plan;
use crate::route::strict::Rules;
use crate::steering::Uses;

/// An HTTP listener, as it is served.
#[derive(Debug)]
pub struct Front {
    /// As it was meant.
    pub listener: Listener,
    /// The name of its region.
    pub region: String,
    /// What becomes of requests.
    pub plan: Plan,
    /// As DNS sees it.
    pub site: Site,
    /// Pools of VIPs that hold its address: while one is answered, clients are sent here.
    pub answered: Box<[PoolId]>,
    /// `http` or `https`.
    pub scheme: &'static str,
}

impl Front {
    /// Of a checked model; none for listeners that are not HTTP.
    pub(super) fn of(model: &Model, uses: &Uses, listener: &Listener, site: Site) -> Option<Self> {
        let Protocol::Http(http) = &listener.protocol else { return None };
        let plan = Plan::of(&http.routes, |pool| model.pool(pool).name.as_str());
        Some(Front {
            region: model.region(listener.region).name.clone(),
            plan: plan.expect("routes were compiled when the configuration was checked"),
            site,
            answered: answered(model, uses, listener),
            scheme: if http.tls.is_empty() { "http" } else { "https" },
            listener: listener.clone(),
        })
    }

    /// Its HTTP settings.
    pub fn http(&self) -> &Http {
        match &self.listener.protocol {
            Protocol::Http(http) => http,
            _ => unreachable!("only HTTP listeners become fronts"),
        }
    }

    /// What it lets pass.
    pub fn rules(&self) -> Rules<'_> {
        let http = self.http();
        Rules {
            paths: http.paths,
            underscores: http.underscores,
            upgrades: &http.upgrades,
            default_port: if self.scheme == "https" { 443 } else { 80 },
        }
    }

    /// Trailers of requests that pass when they were declared.
    pub fn trailers(&self) -> &[HeaderName] {
        &self.http().trailers
    }

    /// The pools its routes name.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.plan.routes().iter().flat_map(|route| match &route.action {
            ActionPlan::Forward { split, .. } => split.pools().collect(),
            _ => Vec::new(),
        })
    }
}

fn answered(model: &Model, uses: &Uses, listener: &Listener) -> Box<[PoolId]> {
    let mut is_answered = vec![false; model.pools.len()];
    let vips = (0..model.vips.len()).map(VipId::from);
    vips.flat_map(|vip| uses.pools(vip)).for_each(|pool| is_answered[pool.index()] = true);
    let pools = (0..model.pools.len()).map(PoolId::from).filter(|pool| is_answered[pool.index()]);
    pools.filter(|pool| leads_to(model, *pool, listener)).collect()
}
