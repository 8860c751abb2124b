//! The routes of a listener: pools that are there, paths that requests can have, and routes that something is left for.

use std::collections::HashMap;

use http::Method;
use http::StatusCode;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::listeners::Listener as ListenerSpec;
use crate::config::spec::routes::Action as ActionSpec;
use crate::config::spec::routes::Route as RouteSpec;
use crate::model::Action;
use crate::model::Arm;
use crate::model::HostMatch;
use crate::model::PathMatch;
use crate::model::PathRules;
use crate::model::Pool;
use crate::model::PoolId;
use crate::model::ROUTE_RETRIES;
use crate::model::ROUTE_TIMEOUT;
use crate::model::RequestMatch;
use crate::model::Route;
use crate::model::StickyCookie;
use crate::model::TextMatch;
use crate::route::path::normalised;
use crate::route::plan::Plan;
use crate::route::refusal::Refusal;

use super::names::Names;
use super::uses::Uses;

/// Reads the routes of one listener.
pub struct Reader<'a, 's> {
    /// The listener.
    pub listener: &'s ListenerSpec,
    /// Its place in the specification.
    pub at: usize,
    /// Every name.
    pub names: &'a Names<'s>,
    /// Who uses what.
    pub uses: &'a mut Uses,
    /// Every pool.
    pub pools: &'a [Pool],
    /// How paths of requests are normalised.
    pub paths: PathRules,
}

impl Reader<'_, '_> {
    /// The routes, in the order they were written.
    pub fn routes(&mut self, reports: &mut Reports<'_>) -> Vec<Route> {
        let Some(list) = &self.listener.routes else { return Vec::new() };
        if list.items.is_empty() && list.complete {
            let fact = format!("{} has no routes", self.listener.called());
            let help = "write `routes = [{ pool = \"POOL\" }]`".to_owned();
            reports.error(codes::EMPTY, list.span, fact).help(help);
        }
        self.names_once(reports, &list.items);
        let read = |(at, route): (usize, &Written<RouteSpec>)| self.route(reports, at, &route.value);
        let routes: Vec<Route> = list.items.iter().enumerate().map(read).collect();
        let pool_name = |id: PoolId| self.pools.get(id.index()).map_or("", |pool| pool.name.as_str());
        if let Err(defects) = Plan::of(&routes, pool_name) {
            for defect in defects {
                let help = "a `prefix` takes the place of `path_prefix`, `{1}` to `{9}` are what `path_regex` captures";
                reports.error(codes::ROUTE, list.items[defect.route].span, defect.fact).help(help.to_owned());
            }
        }
        routes
    }

    fn names_once(&self, reports: &mut Reports<'_>, routes: &[Written<RouteSpec>]) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for name in routes.iter().filter_map(|route| route.value.name.as_ref()) {
            let Some(first) = seen.insert(&name.value, name.span) else { continue };
            let fact = format!("a route named `{}` is already in {}", name.value, reports.place(first));
            let help = "give one of them another name".to_owned();
            reports.error(codes::REPEATED, name.span, fact).label("second time").help(help);
        }
    }

    fn route(&mut self, reports: &mut Reports<'_>, at: usize, spec: &RouteSpec) -> Route {
        let name = spec.name.as_ref().map_or_else(|| format!("routes[{at}]"), |w| w.value.clone());
        self.path_form(reports, spec);
        if let Some(methods) = spec.methods.as_ref().filter(|list| list.items.is_empty() && list.complete) {
            let help = "leave the key out for all methods".to_owned();
            reports.error(codes::EMPTY, methods.span, "`methods` is empty").help(help);
        }
        Route {
            matches: matches(spec),
            action: self.action(reports, spec, &name),
            rewrite: spec.rewrite.clone(),
            request_headers: spec.request_headers.clone(),
            response_headers: spec.response_headers.clone(),
            expires: spec.expires.as_ref().map(|w| w.value),
            timeout: spec.timeout.as_ref().map_or(ROUTE_TIMEOUT, |w| w.value),
            retries: spec.retries.as_ref().map_or(ROUTE_RETRIES, |w| w.value as u8),
            sticky: spec.sticky.as_ref().map(|w| StickyCookie { name: w.value.clone() }),
            name,
        }
    }

    /// A path that is not in its one form equals no request's.
    fn path_form(&self, reports: &mut Reports<'_>, spec: &RouteSpec) {
        let Some(Written { value: PathMatch::Exact(path) | PathMatch::Prefix(path), span }) = &spec.path else {
            return;
        };
        match normalised(path, self.paths) {
            Ok(normal) if normal == *path => {}
            Ok(normal) => {
                let fact =
                    format!("no request has the path `{}`: paths are brought into one form first", path.escape_debug());
                reports.error(codes::PATH_FORM, *span, fact).help(format!("write `{normal}`"));
            }
            Err(fault) => {
                let fact = format!("no request has the path `{}`", path.escape_debug());
                let why = Refusal::Path(fault);
                let help = format!("it is {}, and refused as `{}`", why.words(), why.code());
                reports.error(codes::PATH_FORM, *span, fact).help(help);
            }
        }
    }

    fn action(&mut self, reports: &mut Reports<'_>, spec: &RouteSpec, name: &str) -> Action {
        match &spec.action {
            Some(ActionSpec::Forward(list, split_on)) => {
                if list.items.is_empty() && list.complete {
                    let help = "write `pools = [{ pool = \"POOL\" }]`".to_owned();
                    reports.error(codes::EMPTY, list.span, "there is no pool to choose").help(help);
                }
                let user = format!("route `{name}` of {}", self.listener.called());
                let mut arms: Vec<Arm> = Vec::new();
                for item in &list.items {
                    let Some(pool) = self.names.pools.resolve(reports, &user, &item.value.pool) else { continue };
                    self.uses.by_listener(pool, self.at);
                    let id = PoolId::from(pool);
                    if arms.iter().any(|arm| arm.pool == id) {
                        let fact = format!("{user} lists pool `{}` twice", item.value.pool.value);
                        let said = reports.error(codes::REPEATED, item.value.pool.span, fact);
                        said.label("second time").help("list it once".to_owned());
                        continue;
                    }
                    arms.push(Arm { pool: id, weight: item.value.weight.as_ref().map_or(1, |w| w.value as u32) });
                }
                if arms.len() > 1 && arms.iter().all(|arm| arm.weight == 0) {
                    let help = "give at least one a weight".to_owned();
                    reports.warning(codes::NO_WEIGHT, list.span, "every weight here is 0").help(help);
                }
                // That there is none has been told.
                if arms.is_empty() {
                    arms.push(Arm { pool: PoolId(0), weight: 1 });
                }
                Action::Forward { arms, keyed_on: split_on.as_ref().map(|w| w.value.clone()).unwrap_or_default() }
            }
            Some(ActionSpec::Redirect(status, to)) => Action::Redirect { status: *status, to: to.clone() },
            Some(ActionSpec::Respond(status, body)) => Action::Respond { status: *status, body: body.clone() },
            None => Action::Respond { status: StatusCode::NOT_FOUND, body: String::new() },
        }
    }
}

fn matches(spec: &RouteSpec) -> RequestMatch {
    RequestMatch {
        host: spec.host.as_ref().map(|w| w.value.clone()).unwrap_or_default(),
        path: spec.path.as_ref().map(|w| w.value.clone()).unwrap_or_default(),
        methods: spec.methods.iter().flat_map(|list| &list.items).map(|item| item.value.clone()).collect(),
        headers: spec.headers.clone(),
        cookies: spec.cookies.clone(),
        query: spec.query.clone(),
    }
}

/// Warns of routes that an earlier one leaves nothing for: it asks for the same, of the same methods or more.
pub fn shadowed(reports: &mut Reports<'_>, spec: &Spec) {
    for listener in &spec.listeners {
        let mut seen: HashMap<Asked, Vec<(Vec<Method>, Span)>> = HashMap::new();
        for route in listener.routes.iter().flat_map(|list| &list.items) {
            let matches = matches(&route.value);
            let methods = matches.methods.clone();
            let before = seen.entry(asked(matches)).or_default();
            if let Some((_, first)) = before.iter().find(|(earlier, _)| holds_all(earlier, &methods)) {
                let fact =
                    format!("no request reaches this route: the one at {} asks for the same", reports.place(*first));
                let help = "remove it, or ask for more: a header, a longer path, a host".to_owned();
                reports.warning(codes::ROUTE_SHADOWED, route.span, fact).label("never reached").help(help);
                continue;
            }
            before.push((methods, route.span));
        }
    }
}

/// All that a route asks for beside methods, in one order.
type Asked = (HostMatch, u8, String, Vec<(&'static str, String, String)>);

fn asked(matches: RequestMatch) -> Asked {
    let (kind, path) = match matches.path {
        PathMatch::Any => (0, String::new()),
        // It says nothing, and counts as any.
        PathMatch::Prefix(prefix) if prefix == "/" => (0, String::new()),
        PathMatch::Prefix(prefix) => (1, prefix),
        PathMatch::Exact(path) => (2, path),
        PathMatch::Regex(regex) => (3, regex),
    };
    let words = |text: &TextMatch| format!("{text:?}");
    let headers = matches.headers.iter().map(|(name, text)| ("header", name.to_string(), words(text)));
    let cookies = matches.cookies.iter().map(|(name, text)| ("cookie", name.clone(), words(text)));
    let query = matches.query.iter().map(|(name, text)| ("query", name.clone(), words(text)));
    let mut all: Vec<_> = headers.chain(cookies).chain(query).collect();
    all.sort();
    (matches.host, kind, path, all)
}

/// Whether a route of those methods is preferred to a later one of these, and leaves it nothing. One that asks for any method
/// asks for less, and comes after one that asks for some.
fn holds_all(earlier: &[Method], methods: &[Method]) -> bool {
    match (earlier.is_empty(), methods.is_empty()) {
        (true, true) => true,
        (false, false) => methods.iter().all(|method| earlier.contains(method)),
        _ => false,
    }
}
