//! What is probed: each distinct address, port and check once, however many pools share it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{CheckKind, EndpointId, HealthCheck, Model};

/// Names a target for the life of the process; never used twice, so a late result can not be taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// One thing to probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// How; its name is empty, so that checks which differ only in name are one.
    pub check: HealthCheck,
}

/// A probe to start now. Exactly one result is owed for each.
#[derive(Debug, Clone)]
pub struct Job {
    /// What the result is to be sent under.
    pub id: TargetId,
    /// What to probe.
    pub target: Arc<Target>,
    /// Whether its last probe took all the time it was allowed. This one may well do the same, and shall not keep
    /// those waiting that answer.
    pub slow: bool,
}

/// The check that an endpoint is probed by; none when nothing probes it.
pub fn check_of(model: &Model, id: EndpointId) -> Option<&HealthCheck> {
    let check = model.pool(model.endpoint(id).pool).check?;
    let check = &model.checks[check.index()];
    (check.kind != CheckKind::None).then_some(check)
}

/// Every target of a model with the endpoints it speaks for.
pub fn targets(model: &Model) -> HashMap<Target, Vec<EndpointId>> {
    let mut found: HashMap<Target, Vec<EndpointId>> = HashMap::with_capacity(model.endpoints.len());
    for id in (0..model.endpoints.len()).map(EndpointId::from) {
        let Some(check) = check_of(model, id) else { continue };
        let endpoint = model.endpoint(id);
        let port = check.port.or(endpoint.port).unwrap_or(default_port(check));
        let target = Target {
            address: SocketAddr::new(endpoint.address, port),
            check: HealthCheck { name: String::new(), port: None, ..check.clone() },
        };
        found.entry(target).or_default().push(id);
    }
    found
}

/// The port of a check where neither it nor the endpoint names one.
fn default_port(check: &HealthCheck) -> u16 {
    // `config` refuses those that have none.
    check.kind.default_port().unwrap_or_default()
}
