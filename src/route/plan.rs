//! A listener's routes as they are served: the table, and what each route does, compiled together.
//!
//! Made once for each snapshot; every defect of every route is told. A request meets it in two steps: [`Plan::find`] its route,
//! then ask the route for what it needs (a pool, a place to be sent to, the path and the headers that the backend sees).

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use regex::bytes::Regex;

use crate::balance::key::identity;
use crate::model::Action;
use crate::model::Expires;
use crate::model::HeaderEdit;
use crate::model::KeyedOn;
use crate::model::Moment;
use crate::model::PathMatch;
use crate::model::PathRules;
use crate::model::PoolId;
use crate::model::Route;
use crate::route::edits::Edit;
use crate::route::expires;
use crate::route::head::Head;
use crate::route::keyed;
use crate::route::path::PathFault;
use crate::route::rewrite;
use crate::route::rewrite::PathRewrite;
use crate::route::split::Split;
use crate::route::table::Defect;
use crate::route::table::Table;
use crate::route::template::Template;
use crate::route::template::Values;

/// The routes of a listener.
#[derive(Debug, Clone)]
pub struct Plan {
    table: Table,
    routes: Box<[RoutePlan]>,
}

/// One route, as it is served.
#[derive(Debug, Clone)]
pub struct RoutePlan {
    /// What metrics and `explain` call it.
    pub name: String,
    /// What becomes of a request.
    pub action: ActionPlan,
    /// Until the response's head.
    pub timeout: Duration,
    /// How often a request is tried at another endpoint.
    pub retries: u8,
    /// The name of its sticky cookie.
    pub sticky: Option<String>,
    rewrite: Option<PathRewrite>,
    /// Only when a template has places for what it captures.
    captures: Option<Regex>,
    request_edits: Box<[Edit]>,
    response_edits: Box<[Edit]>,
    expires: Option<Expires>,
    /// Keeps the choices of two routes independent.
    service: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum ActionPlan {
    /// It goes to a pool.
    Forward {
        /// Which.
        split: Split,
        /// What decides between several.
        keyed_on: KeyedOn,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// Where.
        to: Template,
    },
    /// We answer ourselves.
    Respond {
        /// With this status.
        status: StatusCode,
        /// And this text.
        body: String,
    },
}

impl Plan {
    /// Compiles routes in the order they were declared; `pool_name` is a pool's key in the configuration.
    pub fn of<'a>(routes: &[Route], pool_name: impl Fn(PoolId) -> &'a str) -> Result<Self, Vec<Defect>> {
        let table = Table::of(routes.iter().map(|route| &route.matches));
        let (mut plans, mut defects) = (Vec::new(), Vec::new());
        for (at, route) in routes.iter().enumerate() {
            match RoutePlan::of(route, table.as_ref().ok().and_then(|table| table.regex(at)), &pool_name) {
                Ok(plan) => plans.push(plan),
                Err(facts) => defects.extend(facts.into_iter().map(|fact| Defect { route: at, fact })),
            }
        }
        match table {
            Ok(table) if defects.is_empty() => Ok(Plan { table, routes: plans.into() }),
            table => {
                defects.extend(table.err().into_iter().flatten());
                defects.sort_by_key(|defect| defect.route);
                Err(defects)
            }
        }
    }

    /// The route of a request.
    #[inline]
    pub fn find(&self, head: &Head<'_>) -> Option<&RoutePlan> {
        self.table.find(head).map(|route| &self.routes[route])
    }

    /// Every route, in the order they were declared.
    pub fn routes(&self) -> &[RoutePlan] {
        &self.routes
    }

    /// The route of a request, with its place among the routes.
    #[inline]
    pub fn find_at(&self, head: &Head<'_>) -> Option<(usize, &RoutePlan)> {
        self.table.find(head).map(|route| (route, &self.routes[route]))
    }

    /// The table, for [`super::explain`].
    pub fn table(&self) -> &Table {
        &self.table
    }
}

impl RoutePlan {
    fn of<'a>(
        route: &Route,
        regex: Option<&Regex>,
        pool_name: impl Fn(PoolId) -> &'a str,
    ) -> Result<Self, Vec<String>> {
        let mut facts = Vec::new();
        let action = ActionPlan::of(&route.action, &route.matches.path, pool_name).map_err(|fact| facts.push(fact));
        let rewrite = route.rewrite.as_ref().map(|rewrite| PathRewrite::of(rewrite, &route.matches.path)).transpose();
        let rewrite = rewrite.map_err(|fact| facts.push(fact));
        let request_edits = edits(&route.request_headers, &mut facts);
        let response_edits = edits(&route.response_headers, &mut facts);
        let (Ok(action), Ok(rewrite), true) = (action, rewrite, facts.is_empty()) else { return Err(facts) };
        let uses_captures =
            action.uses_captures() || matches!(&rewrite, Some(PathRewrite::Path(to)) if to.captures() > 0);
        Ok(RoutePlan {
            name: route.name.clone(),
            captures: regex.filter(|_| uses_captures).cloned(),
            action,
            timeout: route.timeout,
            retries: route.retries,
            sticky: route.sticky.as_ref().map(|sticky| sticky.name.clone()),
            rewrite,
            request_edits,
            response_edits,
            expires: route.expires,
            service: identity(route.name.as_bytes()),
        })
    }

    /// The pool of a request of that client, where the route forwards to one.
    #[inline]
    pub fn pool(&self, head: &Head<'_>, client: IpAddr) -> Option<PoolId> {
        let ActionPlan::Forward { split, keyed_on } = &self.action else { return None };
        let key = if split.is_choice() { keyed::key(keyed_on, head, client, self.service) } else { 0 };
        split.pool(key)
    }

    /// Where a request is sent, where the route redirects; `None` also when that could not stand in a header.
    pub fn location(&self, values: &Values<'_>) -> Option<(StatusCode, HeaderValue)> {
        let ActionPlan::Redirect { status, to } = &self.action else { return None };
        let captures = self.captured(values.path);
        let location = rewrite::location(to, &Values { captures: &captures, ..*values })?;
        Some((*status, location))
    }

    /// The path the backend sees, when it is another than the client's.
    pub fn backend_path(&self, values: &Values<'_>, rules: PathRules) -> Option<Result<String, PathFault>> {
        let rewrite = self.rewrite.as_ref()?;
        let captures = self.captured(values.path);
        Some(rewrite.path(&Values { captures: &captures, ..*values }, rules))
    }

    /// Whether requests go on with the headers that they came with.
    pub fn leaves_headers(&self) -> bool {
        self.request_edits.is_empty()
    }

    /// Makes the operator's changes to a request.
    pub fn edit_request(&self, headers: &mut HeaderMap, values: &Values<'_>) {
        self.request_edits.iter().for_each(|edit| edit.apply(headers, values));
    }

    /// Makes the operator's changes to a response: how long it may be kept, then the headers, which may say otherwise.
    pub fn edit_response(&self, status: StatusCode, headers: &mut HeaderMap, values: &Values<'_>, now: Moment) {
        self.expires.iter().for_each(|expires| expires::apply(*expires, status, headers, now));
        self.response_edits.iter().for_each(|edit| edit.apply(headers, values));
    }

    fn captured<'a>(&self, path: &'a str) -> Vec<&'a str> {
        self.captures.as_ref().map(|regex| rewrite::captures(regex, path)).unwrap_or_default()
    }
}

impl ActionPlan {
    fn of<'a>(action: &Action, matches: &PathMatch, pool_name: impl Fn(PoolId) -> &'a str) -> Result<Self, String> {
        match action {
            Action::Forward { arms, .. } if arms.is_empty() => Err("the route has no pool".to_owned()),
            Action::Forward { arms, keyed_on } => {
                Ok(ActionPlan::Forward { split: Split::of(arms, pool_name), keyed_on: keyed_on.clone() })
            }
            Action::Redirect { status, to } => redirect(*status, to, matches),
            Action::Respond { status, body } => Ok(ActionPlan::Respond { status: *status, body: body.clone() }),
        }
    }

    fn uses_captures(&self) -> bool {
        matches!(self, ActionPlan::Redirect { to, .. } if to.captures() > 0)
    }
}

fn redirect(status: StatusCode, to: &str, matches: &PathMatch) -> Result<ActionPlan, String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Err(format!("{} is no redirect; use 301, 302, 303, 307 or 308", status.as_u16()));
    }
    let to = Template::parse(to)?;
    if to.captures() > 0 && !matches!(matches, PathMatch::Regex(_)) {
        return Err("the redirect uses what a `path_regex` captures, but the route has none".to_owned());
    }
    Ok(ActionPlan::Redirect { status, to })
}

fn edits(edits: &[HeaderEdit], facts: &mut Vec<String>) -> Box<[Edit]> {
    edits.iter().filter_map(|edit| Edit::of(edit).map_err(|fact| facts.push(fact)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::model::Arm;
    use crate::model::HostMatch;
    use crate::model::RequestMatch;
    use crate::model::Rewrite;
    use crate::model::TextMatch;
    use crate::route::head::testing::Request;
    use crate::route::template::example;

    fn forward(pools: &[(u32, u32)]) -> Action {
        let arms = pools.iter().map(|(pool, weight)| Arm { pool: PoolId(*pool), weight: *weight }).collect();
        Action::Forward { arms, keyed_on: KeyedOn::default() }
    }

    fn route(name: &str, path: PathMatch, action: Action) -> Route {
        Route {
            name: name.to_owned(),
            matches: RequestMatch { path, ..RequestMatch::default() },
            action,
            rewrite: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            expires: None,
            timeout: Duration::from_secs(30),
            retries: 1,
            sticky: None,
        }
    }

    fn pool_name(pool: PoolId) -> &'static str {
        ["app", "static", "canary"][pool.index()]
    }

    /// An edge as newcomers build it: canary by header, static files with `expires`, a redirect, everything else to the app with
    /// a canary by weight.
    fn edge() -> Plan {
        let mut canary = route("canary", PathMatch::Prefix("/v2/".into()), forward(&[(2, 1)]));
        canary.matches.host = HostMatch::Exact("api.example".into());
        canary.matches.headers = vec![(HeaderName::from_static("x-canary"), TextMatch::Is("true".into()))];
        canary.rewrite = Some(Rewrite::Prefix("/".into()));
        let mut files = route("static", PathMatch::Prefix("/static/".into()), forward(&[(1, 1)]));
        files.expires = Some(Expires::After(Duration::from_secs(60)));
        files.response_headers = vec![HeaderEdit::Remove(HeaderName::from_static("server"))];
        let to = Action::Redirect { status: StatusCode::MOVED_PERMANENTLY, to: "https://{host}/new/{1}".into() };
        let old = route("old", PathMatch::Regex("/old/(.*)".into()), to);
        Plan::of(&[canary, files, old, route("app", PathMatch::Any, forward(&[(0, 95), (2, 5)]))], pool_name).unwrap()
    }

    #[test]
    fn an_edge_does_what_it_says() {
        let plan = edge();
        let client = "192.0.2.1".parse().unwrap();
        let asked = Request::get("api.example/v2/users", &[("x-canary", "true")]);
        let route = plan.find(&asked.head()).unwrap();
        assert_eq!((route.name.as_str(), route.pool(&asked.head(), client)), ("canary", Some(PoolId(2))));
        let values = Values { path: "/v2/users", ..example(&[]) };
        assert_eq!(route.backend_path(&values, PathRules::default()), Some(Ok("/users".to_owned())));

        let asked = Request::get("a.example/static/x.css", &[]);
        let route = plan.find(&asked.head()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("x"));
        route.edit_response(StatusCode::OK, &mut headers, &example(&[]), Moment::from_secs(0));
        assert_eq!((headers.len(), &headers["cache-control"]), (2, &HeaderValue::from_static("max-age=60")));

        let asked = Request::get("a.example/old/b/c", &[]);
        let (status, to) =
            plan.find(&asked.head()).unwrap().location(&Values { path: "/old/b/c", ..example(&[]) }).unwrap();
        assert_eq!((status.as_u16(), to.to_str().unwrap()), (301, "https://a.example/new/b/c"));
    }

    #[test]
    fn a_canary_by_weight_keeps_its_clients() {
        let (plan, asked) = (edge(), Request::get("a.example/", &[]));
        let pool = |client: u32| plan.find(&asked.head()).unwrap().pool(&asked.head(), IpAddr::V4(client.into()));
        let canaries = (0..10_000).filter(|client| pool(*client) == Some(PoolId(2))).count();
        assert!((420..580).contains(&canaries), "{canaries} of 10,000");
        assert!((0..1_000).all(|client| pool(client) == pool(client)));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut bad = route("a", PathMatch::Regex("(".into()), forward(&[]));
        bad.rewrite = Some(Rewrite::Prefix("/".into()));
        bad.request_headers = vec![HeaderEdit::Remove(HeaderName::from_static("connection"))];
        let to = Action::Redirect { status: StatusCode::OK, to: "/".into() };
        let captures = Action::Redirect { status: StatusCode::FOUND, to: "/{1}".into() };
        let routes = [bad, route("b", PathMatch::Any, to), route("c", PathMatch::Any, captures)];
        let defects = Plan::of(&routes, pool_name).unwrap_err();
        assert_eq!(defects.iter().map(|defect| defect.route).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 2]);
    }
}
