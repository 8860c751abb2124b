//! Why this route, and why not the others?
//!
//! Asks every route in turn, so it is slow and shares nothing with the table's shortcuts: the tests hold both to one answer.

use crate::model::HostMatch;
use crate::model::PathMatch;
use crate::route::head::Head;
use crate::route::table::Compiled;
use crate::route::table::Rank;
use crate::route::table::Table;

/// What became of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request is for it.
    Wins,
    /// It does not hold, for this reason.
    DoesNotHold(String),
    /// It holds, and the winner is more specific in this.
    Outranked(&'static str),
}

/// What became of all routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The place of the route that wins.
    pub winner: Option<usize>,
    /// One for each route, in the order they were declared.
    pub routes: Vec<Verdict>,
}

/// Asks every route.
pub fn verdicts(table: &Table, head: &Head<'_>) -> Verdicts {
    let reasons: Vec<Option<String>> = table.routes().iter().map(|route| reason_against(route, head)).collect();
    let rank = |at: usize| table.routes()[at].rank(at);
    let winner = (0..reasons.len()).filter(|at| reasons[*at].is_none()).max_by_key(|at| rank(*at));
    let routes = reasons.into_iter().enumerate().map(|(at, reason)| match (reason, winner) {
        (Some(reason), _) => Verdict::DoesNotHold(reason),
        (None, Some(winner)) if winner != at => Verdict::Outranked(difference(rank(winner), rank(at))),
        (None, _) => Verdict::Wins,
    });
    Verdicts { routes: routes.collect(), winner }
}

impl Verdicts {
    /// One line for each route; routes count from 1.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.routes.iter().map(|verdict| match verdict {
            Verdict::Wins => "yes".to_owned(),
            Verdict::DoesNotHold(reason) => format!("no: {reason}"),
            Verdict::Outranked(how) => format!("no: #{} {how}", self.winner.map_or(0, |winner| winner + 1)),
        })
    }
}

/// The first thing that does not hold.
fn reason_against(route: &Compiled, head: &Head<'_>) -> Option<String> {
    if !route.host_holds(head.host) {
        return Some(match &route.host {
            HostMatch::Under(name) => format!("host is not under {name}"),
            HostMatch::Exact(name) => format!("host is not {name}"),
            HostMatch::Any => "host".to_owned(),
        });
    }
    if !route.path_holds(head.path) {
        return Some(match &route.path {
            PathMatch::Exact(path) => format!("path is not {path}"),
            PathMatch::Prefix(prefix) => format!("path is not under {prefix}"),
            PathMatch::Regex(pattern) => format!("path does not match `{pattern}`"),
            PathMatch::Any => "path".to_owned(),
        });
    }
    route
        .predicates
        .iter()
        .find(|predicate| !predicate.holds(head))
        .map(|predicate| format!("not so: {}", predicate.words()))
}

fn difference(winner: Rank, other: Rank) -> &'static str {
    if winner.host != other.host {
        "has the more specific host"
    } else if winner.path != other.path {
        "has the more specific path"
    } else if winner.predicates != other.predicates {
        "asks for more"
    } else {
        "is equal and comes first"
    }
}
