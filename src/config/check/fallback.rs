//! `fallback`: resolved, and never round in a circle.

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::spec::Spec;
use crate::model::Model;
use crate::model::PoolId;

use super::names::Names;

/// Fills in the fallback of every pool; one that would close a circle is reported and left out.
pub fn fallbacks(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, model: &mut Model) {
    for (at, named) in spec.pools.iter().enumerate() {
        let Some(name) = &named.value.fallback else { continue };
        let user = format!("pool `{}`", named.name.value);
        let to = names.pools.resolve(reports, &user, name);
        model.pools[at].fallback = to.map(PoolId::from);
    }
    for at in closing(model) {
        report(reports, spec, model, at);
        model.pools[at].fallback = None;
    }
}

/// The pools whose fallback closes a circle, one for each circle. Every pool is walked over once.
fn closing(model: &Model) -> Vec<usize> {
    // Which walk came by; 0: none yet.
    let mut walked = vec![0usize; model.pools.len()];
    let mut out = Vec::new();
    for start in 0..model.pools.len() {
        let walk = start + 1;
        let mut at = start;
        while walked[at] == 0 {
            walked[at] = walk;
            let Some(next) = model.pools[at].fallback else { break };
            if walked[next.index()] == walk {
                out.push(at);
            }
            at = next.index();
        }
    }
    out
}

/// Longer circles are shown by their beginning.
const NAMES_SHOWN_MAX: usize = 8;

fn report(reports: &mut Reports<'_>, spec: &Spec, model: &Model, last: usize) {
    let mut names = Vec::new();
    let mut at = last;
    while names.len() < NAMES_SHOWN_MAX {
        names.push(format!("`{}`", model.pools[at].name));
        let Some(next) = model.pools[at].fallback else { break };
        at = next.index();
        if at == last {
            names.push(format!("`{}`", model.pools[at].name));
            break;
        }
    }
    let Some(written) = &spec.pools[last].value.fallback else { return };
    reports
        .error(codes::FALLBACK_LOOP, written.span, format!("fallback goes round in a circle: {}", names.join(" → ")))
        .label("closes the circle")
        .help("remove one `fallback`; the last of a chain has none".to_owned());
}
