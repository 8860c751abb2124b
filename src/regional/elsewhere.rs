//! Where would DNS send a client now that came here with an old answer?
//!
//! Resolvers keep an answer for its TTL, and some for longer: after a region was drained or lost its backends, clients still come to
//! its listeners. Where neither the route's pool nor its fallbacks can serve such a client, it is sent on: the VIP that it came by is
//! decided as DNS decides it, for this client's address and without this region, and the pool that comes of it holds the listeners
//! of another region. They are asked as any pool is, with the pool's own `port`, `protocol`, `tls` and timeouts.
//!
//! **Which VIP did it come by?** The one whose name it asks for. Names that lead to a VIP by a CNAME, perhaps of another's
//! zone, and what asks for no name: the first whose answers hold the listener's address.
//!
//! **Two regions that each believe the other to be well** would send a client to and fro. So whoever was sent on once is served where
//! it arrives, as well as can be.
//!
//! **Health probes stay**, ours and whoever asks by an address instead of a name: they ask how this region is, and an answer of
//! another one would keep clients coming that DNS should send there.
//!
//! What came over TLS goes on over TLS or not at all.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::health::table::HealthTable;
use crate::model::Action;
use crate::model::Family;
use crate::model::Listener;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::model::RegionId;
use crate::model::VipId;
use crate::steering::Client;
use crate::steering::Draw;
use crate::steering::Plan;
use crate::steering::Uses;
use crate::steering::decide_beyond;

/// A listener, as DNS sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Where it stands.
    pub region: RegionId,
    /// Whether clients speak TLS to it.
    pub is_secure: bool,
    /// Whether it sends clients on.
    pub sends_on: bool,
    /// The first VIP whose answers hold its address.
    pub vip: Option<VipId>,
}

/// Who came, as far as DNS would decide by it.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The name that it asks for, lower case; none where nothing is asked for by name.
    pub host: Option<&'a str>,
    /// Its address.
    pub client: IpAddr,
    /// When it came.
    pub now: Moment,
    /// Whether another region has sent it on to us.
    pub was_sent_on: bool,
    /// Whether it asks for this region's health, as far as that can be told.
    pub is_probe: bool,
}

/// Why nobody is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// `misdirected = "serve"`.
    AsTold,
    /// Another region has sent it on to us.
    WasSentOn,
    /// It asks how this region is.
    Probe,
    /// No VIP has this name or this address.
    NoVip,
    /// DNS would send it nowhere else.
    NowhereElse(VipId),
    /// It came over TLS, and this pool, to which DNS would send it, has no `tls`.
    InPlaintext(PoolId),
}

/// VIPs by their names: those by which clients come to a listener that sends them on.
#[derive(Debug, Default)]
pub struct Names(HashMap<Box<str>, VipId>);

impl Names {
    /// Of all that may be needed.
    pub(super) fn of(model: &Model, uses: &Uses) -> Self {
        let sending: Vec<RegionId> = model.listeners.iter().filter(|l| sends_on(l)).map(|l| l.region).collect();
        let leads_to_one = |vip: &VipId| regions(model, uses, *vip).any(|region| sending.contains(&region));
        let vips = (0..model.vips.len()).map(VipId::from).filter(|_| !sending.is_empty()).filter(leads_to_one);
        Names(vips.map(|vip| (host(&model.vip(vip).name).into(), vip)).collect())
    }

    /// The VIP of a host; wildcards as DNS has them, the nearest first.
    fn find(&self, host: &str) -> Option<VipId> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if self.0.is_empty() {
            return None;
        }
        let wildcard = |parent: &str| self.0.get(format!("*.{parent}").as_str());
        let parents = std::iter::successors(host.split_once('.'), |(_, parent)| parent.split_once('.'));
        self.0.get(host).or_else(|| parents.map(|(_, parent)| parent).find_map(wildcard)).copied()
    }
}

impl Site {
    /// Of a listener.
    pub(super) fn of(model: &Model, uses: &Uses, listener: &Listener) -> Self {
        let sends_on = sends_on(listener);
        let mut vips = (0..model.vips.len()).map(VipId::from).filter(|_| sends_on);
        let vip = vips.find(|vip| uses.pools(*vip).iter().any(|pool| leads_to(model, *pool, listener)));
        Site { region: listener.region, is_secure: is_secure(listener), sends_on, vip }
    }

    /// The pool that DNS would choose now for a client that came here.
    ///
    /// # Errors
    /// Why it stays.
    pub fn elsewhere(
        &self,
        names: &Names,
        (plan, health): (&Plan, &HealthTable),
        visitor: &Visitor<'_>,
    ) -> Result<(VipId, PoolId), Stays> {
        if !self.sends_on {
            return Err(Stays::AsTold);
        }
        if visitor.was_sent_on {
            return Err(Stays::WasSentOn);
        }
        if visitor.is_probe {
            return Err(Stays::Probe);
        }
        let vip = visitor.host.and_then(|host| names.find(host)).or(self.vip).ok_or(Stays::NoVip)?;
        let family = if visitor.client.is_ipv4() { Family::V4 } else { Family::V6 };
        let client = Client::from_source(visitor.client);
        let draw = Draw { random: 0, seconds: visitor.now.secs() };
        let decision = decide_beyond(self.region, plan, health, vip, family, &client, draw);
        let model = plan.model();
        // On the day when all is down DNS guesses, and so may name what is no better than we are.
        let is_well = |pool: &PoolId| health.pool(*pool).usable && model.pool(*pool).region != self.region;
        let pool = decision.pool.filter(is_well).ok_or(Stays::NowhereElse(vip))?;
        if self.takes(model, pool) { Ok((vip, pool)) } else { Err(Stays::InPlaintext(pool)) }
    }

    fn takes(&self, model: &Model, pool: PoolId) -> bool {
        !self.is_secure || model.pool(pool).upstream.tls.is_some()
    }
}

/// The pools that a listener may send clients on to.
pub fn reached<'a>(model: &'a Model, uses: &'a Uses, listener: &'a Listener) -> impl Iterator<Item = PoolId> + 'a {
    let site =
        Site { region: listener.region, is_secure: is_secure(listener), sends_on: sends_on(listener), vip: None };
    let vips = (0..model.vips.len()).map(VipId::from).filter(move |_| site.sends_on);
    let leading = vips.filter(move |vip| regions(model, uses, *vip).any(|region| region == site.region));
    let pools = leading.flat_map(|vip| uses.pools(vip).iter().copied());
    pools.filter(move |pool| model.pool(*pool).region != site.region && site.takes(model, *pool))
}

/// Whether answers from a pool lead to a listener: it holds its address, or, where it listens on all of a machine, is of its region.
pub(super) fn leads_to(model: &Model, pool: PoolId, listener: &Listener) -> bool {
    let address = listener.bind.ip();
    let has_address = || model.members(pool).any(|(_, endpoint)| endpoint.address == address);
    model.pool(pool).region == listener.region && (address.is_unspecified() || has_address())
}

/// Whether clients of a listener are ever sent on: where nothing is forwarded, everything is served here.
fn sends_on(listener: &Listener) -> bool {
    let forwards = match &listener.protocol {
        Protocol::Http(http) => http.routes.iter().any(|route| matches!(route.action, Action::Forward { .. })),
        Protocol::Tcp(_) | Protocol::Udp(_) | Protocol::TlsPassthrough(_) => true,
    };
    listener.sends_on && forwards
}

fn is_secure(listener: &Listener) -> bool {
    matches!(&listener.protocol, Protocol::Http(http) if !http.tls.is_empty())
}

/// The regions in which a VIP has pools.
fn regions<'a>(model: &'a Model, uses: &'a Uses, vip: VipId) -> impl Iterator<Item = RegionId> + 'a {
    uses.pools(vip).iter().map(|pool| model.pool(*pool).region)
}

/// A name as requests have it.
fn host(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vips: &[&str]) -> Names {
        Names(vips.iter().enumerate().map(|(at, name)| (host(name).into(), VipId::from(at))).collect())
    }

    #[test]
    fn a_host_is_the_vip_of_that_name_or_the_nearest_wildcard() {
        let names = names(&["www.example.com.", "*.example.com.", "*.a.example.com."]);
        let found = |host| names.find(host).map(VipId::index);
        assert_eq!((found("www.example.com"), found("www.example.com.")), (Some(0), Some(0)));
        assert_eq!((found("x.example.com"), found("x.y.example.com")), (Some(1), Some(1)));
        assert_eq!((found("x.a.example.com"), found("a.example.com")), (Some(2), Some(1)));
        assert_eq!((found("example.com"), found("com"), found(""), found("192.0.2.1")), (None, None, None, None));
    }
}
