//! Which of a listener's routes is a request for?
//!
//! The most specific wins, whatever the order in the file: an exact host before a wildcard (the longest first) before `*`; then
//! an exact path, the longest prefix, a regular expression, any path; then whoever asks for more headers, cookies, parameters
//! and methods; only between equals the first declared. A route that does not hold leaves the request to the next: a canary for
//! `api.example.com` with a header takes nothing from the catch-all. (Gateway API has this order; nginx would stay in the
//! server it chose by host.) `/` as a prefix says nothing, so it counts as any path.
//!
//! Compiled once for each snapshot: hosts and exact paths are hashed, prefixes sorted, and each list is in the order of
//! preference, so that the first route that holds is the answer. [`super::explain`] says why the others lost.

use std::cmp::Reverse;
use std::collections::HashMap;

use regex::bytes::Regex;

use crate::model::HostMatch;
use crate::model::PathMatch;
use crate::model::RequestMatch;
use crate::route::head::Head;
use crate::route::predicate;
use crate::route::predicate::Predicate;
use crate::route::prefixes::Prefixes;
use crate::route::prefixes::lies_under;

/// What is wrong with a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Its place among the routes.
    pub route: usize,
    /// What is wrong, in one sentence without a full stop.
    pub fact: String,
}

/// The routes of a listener, compiled.
#[derive(Debug, Clone)]
pub struct Table {
    routes: Box<[Compiled]>,
    exact: HashMap<Box<str>, Host>,
    under: HashMap<Box<str>, Host>,
    any: Host,
}

#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) host: HostMatch,
    pub(super) path: PathMatch,
    pub(super) regex: Option<Regex>,
    pub(super) predicates: Box<[Predicate]>,
}

/// The routes of one host, by their paths, in the order of preference.
#[derive(Debug, Clone)]
struct Host {
    exact: HashMap<Box<str>, Vec<u32>>,
    prefixes: Prefixes<Vec<u32>>,
    regexes: Vec<u32>,
    any: Vec<u32>,
}

/// How specific a route is; the greatest that holds wins. The fields are in the order in which they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) host: (u8, usize),
    pub(super) path: (u8, usize),
    pub(super) predicates: usize,
    pub(super) declared: Reverse<usize>,
}

impl Table {
    /// Compiles routes in the order they were declared; tells everything that is wrong with them.
    pub fn of<'a>(routes: impl IntoIterator<Item = &'a RequestMatch>) -> Result<Self, Vec<Defect>> {
        let (mut compiled, mut defects) = (Vec::new(), Vec::new());
        for (route, matches) in routes.into_iter().enumerate() {
            match Compiled::of(matches) {
                Ok(route) => compiled.push(route),
                Err(facts) => defects.extend(facts.into_iter().map(|fact| Defect { route, fact })),
            }
        }
        if defects.is_empty() { Ok(Table::assembled(compiled)) } else { Err(defects) }
    }

    fn assembled(routes: Vec<Compiled>) -> Self {
        let mut hosts: HashMap<HostMatch, Vec<u32>> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            hosts.entry(route.host.clone()).or_default().push(at as u32);
        }
        let any = Host::of(&routes, hosts.remove(&HostMatch::Any).unwrap_or_default());
        let (mut exact, mut under) = (HashMap::new(), HashMap::new());
        for (host, members) in hosts {
            let compiled = Host::of(&routes, members);
            match host {
                HostMatch::Exact(name) => exact.insert(name.into(), compiled),
                HostMatch::Under(name) => under.insert(name.into(), compiled),
                HostMatch::Any => None,
            };
        }
        Table { routes: routes.into(), exact, under, any }
    }

    /// The route of a request, as its place among the routes.
    #[inline]
    pub fn find(&self, head: &Head<'_>) -> Option<usize> {
        let exact = self.exact.get(head.host).and_then(|host| self.in_host(host, head));
        let under = || self.wildcards(head.host).find_map(|host| self.in_host(host, head));
        exact.or_else(under).or_else(|| self.in_host(&self.any, head)).map(|route| route as usize)
    }

    /// Those of `*.b.example`, then `*.example`, for `a.b.example`. A host has at most 127 labels.
    fn wildcards<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Host> {
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        parents.take_while(|_| !self.under.is_empty()).filter_map(|parent| self.under.get(parent))
    }

    #[inline]
    fn in_host(&self, host: &Host, head: &Head<'_>) -> Option<u32> {
        let first = |routes: &Vec<u32>| routes.iter().copied().find(|route| self.holds(*route, head));
        let exact = host.exact.get(head.path).and_then(first);
        exact
            .or_else(|| host.prefixes.under(head.path).find_map(first))
            .or_else(|| first(&host.regexes))
            .or_else(|| first(&host.any))
    }

    /// Whether all but host and prefix hold, which led here.
    #[inline]
    fn holds(&self, route: u32, head: &Head<'_>) -> bool {
        let route = &self.routes[route as usize];
        route.regex.as_ref().is_none_or(|regex| regex.is_match(head.path.as_bytes()))
            && route.predicates.iter().all(|predicate| predicate.holds(head))
    }

    /// The expression of a route's path, for what it captures.
    pub fn regex(&self, route: usize) -> Option<&Regex> {
        self.routes.get(route)?.regex.as_ref()
    }

    pub(super) fn routes(&self) -> &[Compiled] {
        &self.routes
    }
}

impl Host {
    fn of(routes: &[Compiled], mut members: Vec<u32>) -> Self {
        members.sort_by_key(|at| Reverse(routes[*at as usize].rank(*at as usize)));
        let mut host =
            Host { exact: HashMap::new(), prefixes: Prefixes::of(Vec::new()), regexes: Vec::new(), any: Vec::new() };
        let mut prefixes: HashMap<&str, Vec<u32>> = HashMap::new();
        for at in members {
            match &routes[at as usize].path {
                PathMatch::Any => host.any.push(at),
                PathMatch::Regex(_) => host.regexes.push(at),
                PathMatch::Exact(path) => host.exact.entry(path.as_str().into()).or_default().push(at),
                PathMatch::Prefix(prefix) => prefixes.entry(prefix).or_default().push(at),
            }
        }
        let prefixes = prefixes.into_iter().map(|(prefix, routes)| (prefix.to_owned(), routes));
        Host { prefixes: Prefixes::of(prefixes.collect()), ..host }
    }
}

impl Compiled {
    fn of(matches: &RequestMatch) -> Result<Self, Vec<String>> {
        let path = match &matches.path {
            PathMatch::Prefix(prefix) if prefix == "/" => PathMatch::Any,
            path => path.clone(),
        };
        let mut facts = Vec::new();
        if let PathMatch::Exact(path) | PathMatch::Prefix(path) = &path
            && !path.starts_with('/')
        {
            facts.push(format!("path `{path}` does not begin with `/`"));
        }
        let regex = match &path {
            PathMatch::Regex(pattern) => predicate::whole(pattern).map(Some),
            _ => Ok(None),
        };
        match (regex, predicate::compiled(matches)) {
            (Ok(regex), Ok(predicates)) if facts.is_empty() => {
                Ok(Compiled { host: matches.host.clone(), path, regex, predicates: predicates.into() })
            }
            (regex, predicates) => {
                facts.extend(regex.err());
                facts.extend(predicates.err().into_iter().flatten());
                Err(facts)
            }
        }
    }

    pub(super) fn rank(&self, declared: usize) -> Rank {
        let host = match &self.host {
            HostMatch::Exact(_) => (2, 0),
            HostMatch::Under(name) => (1, name.len()),
            HostMatch::Any => (0, 0),
        };
        let path = match &self.path {
            PathMatch::Exact(_) => (3, 0),
            PathMatch::Prefix(prefix) => (2, prefix.len()),
            PathMatch::Regex(_) => (1, 0),
            PathMatch::Any => (0, 0),
        };
        Rank { host, path, predicates: self.predicates.len(), declared: Reverse(declared) }
    }

    pub(super) fn host_holds(&self, host: &str) -> bool {
        match &self.host {
            HostMatch::Any => true,
            HostMatch::Exact(name) => host == name,
            HostMatch::Under(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }

    pub(super) fn path_holds(&self, path: &str) -> bool {
        match (&self.path, &self.regex) {
            (PathMatch::Any, _) => true,
            (PathMatch::Exact(exact), _) => path == exact,
            (PathMatch::Prefix(prefix), _) => lies_under(path, prefix),
            (PathMatch::Regex(_), regex) => regex.as_ref().is_some_and(|regex| regex.is_match(path.as_bytes())),
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
