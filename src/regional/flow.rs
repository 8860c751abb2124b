//! A listener at L4 compiled: which pool each of its flows is for.

use std::net::IpAddr;

use crate::model::FlowTimeouts;
use crate::model::HostMatch;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::regional::pool::PoolPlan;
use crate::route::keyed;

/// A `tcp`, `udp` or `tls-passthrough` listener, as it is served.
#[derive(Debug)]
pub struct FlowPlan {
    /// As it was meant.
    pub listener: Listener,
    /// The name of its region.
    pub region: String,
    /// Deadlines of its flows.
    pub timeouts: FlowTimeouts,
    /// Whether the client's first message says whom it is for.
    pub reads_hello: bool,
    /// Pools by server name, the first that fits first.
    routes: Vec<(HostMatch, PoolId)>,
}

impl FlowPlan {
    /// Of a checked model; none for listeners of HTTP.
    pub(super) fn of(model: &Model, listener: &Listener) -> Option<Self> {
        let (timeouts, routes) = match &listener.protocol {
            Protocol::Http(_) => return None,
            Protocol::Tcp(forward) | Protocol::Udp(forward) => (forward.timeouts, vec![(HostMatch::Any, forward.pool)]),
            Protocol::TlsPassthrough(through) => (through.timeouts, through.routes.clone()),
        };
        Some(FlowPlan {
            region: model.region(listener.region).name.clone(),
            timeouts,
            reads_hello: matches!(listener.protocol, Protocol::TlsPassthrough(_)),
            routes,
            listener: listener.clone(),
        })
    }

    /// The pool of a flow for that server, in lower case; none was named in what is no TLS, or by clients that name none.
    pub fn pool(&self, server: Option<&str>) -> Option<PoolId> {
        let is_for = |host: &HostMatch| match (host, server) {
            (HostMatch::Any, _) => true,
            (HostMatch::Exact(name), Some(server)) => name == server,
            (HostMatch::Under(name), Some(server)) => {
                server.strip_suffix(name.as_str()).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
            }
            (_, None) => false,
        };
        self.routes.iter().find(|(host, _)| is_for(host)).map(|(_, pool)| *pool)
    }

    /// All of them.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.routes.iter().map(|(_, pool)| *pool)
    }
}

/// The key of a flow of that client for a pool that hashes; the client is all that L4 sees.
pub fn key(plan: &PoolPlan, client: IpAddr) -> u64 {
    if plan.method.is_keyed() { keyed::of_flow(&plan.upstream.keyed_on, client, plan.service) } else { 0 }
}
