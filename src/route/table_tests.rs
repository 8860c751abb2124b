use http::HeaderName;
use http::Method;
use proptest::prelude::*;

use super::*;
use crate::model::TextMatch;
use crate::route::explain;
use crate::route::head::testing::Request;

/// `host path` with `*` for any host, `*.name`, and `=`, `~` or nothing before the path; then predicates, `!GET` or `header`.
fn route(text: &str) -> RequestMatch {
    let mut words = text.split(' ');
    let (host, path) = (words.next().unwrap(), words.next().unwrap());
    let mut matches = RequestMatch {
        host: match (host, host.strip_prefix("*.")) {
            ("*", _) => HostMatch::Any,
            (_, Some(parent)) => HostMatch::Under(parent.to_owned()),
            (name, None) => HostMatch::Exact(name.to_owned()),
        },
        path: match path.split_at(1) {
            ("*", _) => PathMatch::Any,
            ("=", path) => PathMatch::Exact(path.to_owned()),
            ("~", path) => PathMatch::Regex(path.to_owned()),
            _ => PathMatch::Prefix(path.to_owned()),
        },
        ..RequestMatch::default()
    };
    for word in words {
        match word.strip_prefix('!') {
            Some(method) => matches.methods.push(method.parse::<Method>().unwrap()),
            None => matches.headers.push((word.parse::<HeaderName>().unwrap(), TextMatch::Present)),
        }
    }
    matches
}

fn table(routes: &[&str]) -> Table {
    Table::of(&routes.iter().map(|text| route(text)).collect::<Vec<_>>()).unwrap()
}

/// Which route a request finds, and that `explain` agrees.
fn found(table: &Table, target: &str, headers: &[(&str, &str)]) -> Option<usize> {
    let request = Request::get(target, headers);
    let found = table.find(&request.head());
    assert_eq!(explain::verdicts(table, &request.head()).winner, found, "{target}");
    found
}

#[test]
fn the_most_specific_wins_whatever_the_order() {
    let table = table(&[
        "* *",
        "* /a",
        "*.b.example *",
        "*.c.b.example *",
        "a.b.example *",
        "a.b.example =/x",
        "a.b.example ~/.*",
    ]);
    let found = |target| found(&table, target, &[]);
    assert_eq!(found("other.example/"), Some(0));
    assert_eq!(found("other.example/a/b"), Some(1));
    assert_eq!(found("z.b.example/a"), Some(2), "the host counts before the path");
    assert_eq!(found("y.c.b.example/"), Some(3));
    assert_eq!(found("c.b.example/"), Some(2));
    assert_eq!(found("b.example/"), Some(0), "a wildcard is not its parent");
    assert_eq!(found("a.b.example/x"), Some(5));
    assert_eq!(found("a.b.example/xy"), Some(6));
}

#[test]
fn exact_then_longest_prefix_then_expression_then_any() {
    let table = table(&["* *", "* ~/v[0-9]/.*", "* /v1", "* /v1/users", "* =/v1/users/me"]);
    let found = |target| found(&table, target, &[]);
    assert_eq!(
        ["a.example/v1/users/me", "a.example/v1/users/7", "a.example/v1/x", "a.example/v2/x", "a.example/v2"]
            .map(found),
        [Some(4), Some(3), Some(2), Some(1), Some(0)]
    );
}

#[test]
fn a_route_that_does_not_hold_leaves_the_request_to_the_next() {
    let table = table(&["api.example /v2/ x-canary", "* /static/", "* *"]);
    assert_eq!(found(&table, "api.example/v2/a", &[("x-canary", "true")]), Some(0));
    assert_eq!(found(&table, "api.example/v2/a", &[]), Some(2));
    assert_eq!(found(&table, "api.example/static/a", &[]), Some(1));
}

#[test]
fn who_asks_for_more_comes_first_and_between_equals_the_first() {
    let table = table(&["* *", "* * x-a", "* * x-b", "* * x-a !GET"]);
    assert_eq!(found(&table, "a.example/", &[("x-b", "1")]), Some(2));
    assert_eq!(found(&table, "a.example/", &[("x-a", "1"), ("x-b", "1")]), Some(3));
    let post = Request { method: Method::POST, ..Request::get("a.example/", &[("x-a", "1"), ("x-b", "1")]) };
    assert_eq!(table.find(&post.head()), Some(1), "the first of equals");
}

#[test]
fn a_prefix_of_nothing_is_any_path() {
    let table = table(&["* /", "* ~/a.*"]);
    assert_eq!(found(&table, "a.example/ab", &[]), Some(1));
    assert_eq!(found(&table, "a.example*", &[]), Some(0), "OPTIONS * has no path");
}

#[test]
fn nothing_may_be_for_a_request() {
    assert_eq!(found(&table(&["a.example /b"]), "a.example/c", &[]), None);
    assert_eq!(found(&table(&[]), "a.example/c", &[]), None);
}

#[test]
fn everything_wrong_is_told_with_its_route() {
    let routes = [route("* ~("), route("* /a"), route("* =x")];
    let defects = Table::of(&routes).unwrap_err();
    assert_eq!(defects.iter().map(|defect| defect.route).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(defects[1].fact, "path `x` does not begin with `/`");
}

#[test]
fn why_the_others_lost() {
    let table =
        table(&["b.example *", "* /v2", "* * x-canary", "* * !POST", "* /v1 x-a", "* /v1", "* /v1", "* ~/v1.*", "* *"]);
    let request = Request::get("a.example/v1/x", &[]);
    let told: Vec<String> = explain::verdicts(&table, &request.head()).lines().collect();
    assert_eq!(
        told,
        [
            "no: host is not b.example",
            "no: path is not under /v2",
            "no: not so: header x-canary is there",
            "no: not so: method is POST",
            "no: not so: header x-a is there",
            "yes",
            "no: #6 is equal and comes first",
            "no: #6 has the more specific path",
            "no: #6 has the more specific path",
        ]
    );
}

proptest! {
    /// The table finds what the ranks say, and every route that holds is at most as specific.
    #[test]
    fn the_table_is_the_ranks(
        routes in proptest::collection::vec(
            "(\\*|a\\.b|\\*\\.b|c\\.a\\.b|\\*\\.a\\.b) (\\*|=/a|=/a/b|/a|/a/|/a/b|~/a\\.\\*|~/\\[ab\\]/b)( x-a)?( x-b)?( !GET)?", 0..14),
        host in "(c\\.)?(a\\.)?b",
        path in "(/[ab]{0,1}){1,3}",
        headers in proptest::sample::subsequence(vec!["x-a", "x-b"], 0..=2),
    ) {
        let table = table(&routes.iter().map(String::as_str).collect::<Vec<_>>());
        let lines: Vec<(&str, &str)> = headers.into_iter().map(|name| (name, "1")).collect();
        found(&table, &format!("{host}{path}"), &lines);
    }
}
