//! A pool as a proxy sees it: where its endpoints are, and how one is chosen.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::ask::Member;
use crate::balance::balancer::Method;
use crate::balance::key::identity;
use crate::balance::sticky::Sticky;
use crate::health::names::member_names;
use crate::model::Balance;
use crate::model::Endpoint;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Upstream;
use crate::model::usual_port;

/// A pool that a listener reaches.
#[derive(Debug)]
pub struct PoolPlan {
    /// Its id in this model.
    pub id: PoolId,
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// The name of its region.
    pub region: Arc<str>,
    /// Its endpoints, in the order they were written.
    pub members: Box<[MemberPlan]>,
    /// How one is chosen.
    pub balance: Balance,
    /// The same, with its tables.
    pub method: Method,
    /// How it is spoken to.
    pub upstream: Arc<Upstream>,
    /// The values of sticky cookies; none when no secret is known.
    pub sticky: Option<Sticky>,
    /// Where its requests go when it is down.
    pub fallback: Option<PoolId>,
    /// Keeps the keys of two pools independent.
    pub service: u64,
}

/// One of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPlan {
    /// Its id in this model.
    pub id: EndpointId,
    /// What it is called within its pool.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// From its address and port.
    pub identity: u64,
    /// By configuration.
    pub weight: u32,
    /// 0 for members proper, 1 for backups.
    pub tier: u8,
}

impl PoolPlan {
    /// Of a checked model.
    pub(super) fn of(model: &Model, id: PoolId) -> Self {
        let pool = model.pool(id);
        let port = usual_port(pool.upstream.tls.is_some());
        let named = member_names(model, id).map(|(id, name)| (id, name.to_string()));
        let members: Box<[MemberPlan]> = named.map(|(id, name)| member(id, name, model.endpoint(id), port)).collect();
        let sticky = model.proxy.sticky_secrets.as_ref().map(|secrets| {
            let names: Vec<String> = members.iter().map(|member| member.address.to_string()).collect();
            Sticky::of(&secrets.current, secrets.previous.as_deref(), &pool.name, &names)
        });
        PoolPlan {
            id,
            name: pool.name.as_str().into(),
            region: model.region(pool.region).name.as_str().into(),
            method: method(pool.balance, &members, pool.upstream.bound_percent, |member| member.weight),
            members,
            balance: pool.balance,
            upstream: pool.upstream.clone(),
            sticky,
            fallback: pool.fallback,
            service: identity(pool.name.as_bytes()),
        }
    }

    /// The method with weights that an operator ordered: tables of hashed methods go by weights.
    pub fn reweighed(&self, weight: impl Fn(&MemberPlan) -> u32) -> Method {
        method(self.balance, &self.members, self.upstream.bound_percent, weight)
    }
}

fn member(id: EndpointId, name: String, endpoint: &Endpoint, port: u16) -> MemberPlan {
    let address = SocketAddr::new(endpoint.address, endpoint.port.unwrap_or(port));
    let identity = identity(address.to_string().as_bytes());
    MemberPlan { id, name, address, identity, weight: endpoint.weight, tier: u8::from(endpoint.backup) }
}

fn method(balance: Balance, members: &[MemberPlan], bound: Option<u32>, weight: impl Fn(&MemberPlan) -> u32) -> Method {
    let members: Vec<Member> =
        members.iter().map(|member| Member { identity: member.identity, weight: weight(member) }).collect();
    Method::of(balance, &members, bound)
}
