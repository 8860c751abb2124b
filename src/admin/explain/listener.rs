//! Which listener does the request come to? What a client's connection would decide, told from outside.
//!
//! DNS answered with addresses of a region; the client connects to one of them at the port of its URL. Where the answer leads
//! to a load balancer before our listeners, addresses do not match: then the region and the scheme decide.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::admin::dto::ListenerStep;
use crate::admin::explain::asked::RequestAsked;
use crate::model::Http;
use crate::model::Listener;
use crate::model::Model;
use crate::model::Protocol;
use crate::model::RegionId;

/// Where DNS sent the client.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived {
    /// The region of the pool answered.
    pub(super) region: Option<RegionId>,
    /// The addresses answered.
    pub(super) addresses: Vec<IpAddr>,
}

/// How well a listener fits; the greatest wins. In the order in which it counts.
type Fit = (bool, bool, Reverse<usize>);

/// The place of the listener, and what became of each.
pub(super) fn choose(model: &Model, asked: &RequestAsked, arrived: &Arrived) -> (Option<usize>, Vec<ListenerStep>) {
    let reasons: Vec<Option<String>> =
        model.listeners.iter().map(|listener| reason_against(model, listener, asked, arrived)).collect();
    let fit = |at: usize| -> Fit {
        let bind = model.listeners[at].bind;
        let usual = if asked.scheme == "https" { 443 } else { 80 };
        (arrived.addresses.contains(&bind.ip()), bind.port() == asked.port.unwrap_or(usual), Reverse(at))
    };
    let chosen = (0..reasons.len()).filter(|at| reasons[*at].is_none()).max_by_key(|at| fit(*at));
    let step = |(at, reason): (usize, Option<String>)| {
        let listener = &model.listeners[at];
        let used = chosen == Some(at);
        let because = match (reason, chosen) {
            (Some(reason), _) => reason,
            (None, Some(chosen)) if !used => outdone(&model.listeners[chosen].name, fit(chosen), fit(at)),
            (None, _) => why(model, listener, asked, fit(at)),
        };
        ListenerStep { listener: listener.name.clone(), address: listener.bind.to_string(), used, because }
    };
    (chosen, reasons.into_iter().enumerate().map(step).collect())
}

/// Whether a listener speaks that.
pub(super) fn speaks(listener: &Listener, wanted: &str) -> bool {
    matches!(&listener.protocol, Protocol::Http(http) if scheme(http) == wanted)
}

fn scheme(http: &Http) -> &'static str {
    if http.tls.is_empty() { "http" } else { "https" }
}

/// The first thing that does not fit.
fn reason_against(model: &Model, listener: &Listener, asked: &RequestAsked, arrived: &Arrived) -> Option<String> {
    let Protocol::Http(http) = &listener.protocol else { return Some("does not speak HTTP".to_owned()) };
    let is_named = asked.listener.as_ref().map(|name| *name == listener.name);
    if is_named == Some(false) {
        return Some("another was named".to_owned());
    }
    if scheme(http) != asked.scheme {
        return Some(format!("speaks {}, not {}", scheme(http), asked.scheme));
    }
    if is_named.is_some() {
        return None;
    }
    let ip = listener.bind.ip();
    if asked.address().is_some_and(|address| address != ip && !ip.is_unspecified()) {
        return Some(format!("is not at {}", asked.host));
    }
    if let Some(region) = arrived.region.filter(|region| *region != listener.region) {
        let name = |id| &model.region(id).name;
        return Some(format!("stands in {}, not in {}", name(listener.region), name(region)));
    }
    // Port 0 is whichever the system gave.
    let port = asked.port.filter(|port| ![*port, 0].contains(&listener.bind.port()));
    port.map(|port| format!("is at port {}, not {port}", listener.bind.port()))
}

fn outdone(name: &str, winner: Fit, other: Fit) -> String {
    if winner.0 != other.0 {
        format!("{name} is at an address that DNS answers")
    } else if winner.1 != other.1 {
        format!("{name} is at the usual port")
    } else {
        format!("{name} comes first")
    }
}

fn why(model: &Model, listener: &Listener, asked: &RequestAsked, fit: Fit) -> String {
    let region = &model.region(listener.region).name;
    if asked.listener.is_some() {
        "it was named".to_owned()
    } else if asked.address().is_some() {
        format!("at the address of the URL, speaks {}", asked.scheme)
    } else if fit.0 {
        format!("at an address that DNS answers, speaks {}", asked.scheme)
    } else {
        format!("speaks {} in {region}", asked.scheme)
    }
}
