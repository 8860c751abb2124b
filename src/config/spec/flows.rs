//! What a `[[listener]]` at L4 has, as it was written: a pool, or a pool for each server name.
//!
//! Everything that has a meaning for HTTP alone is told here, so that nobody believes it to be in force.

use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::http_forms::HOST;
use crate::config::spec::listeners::ProtocolWord;
use crate::model::HostMatch;

/// What L4 has.
#[derive(Debug, Default)]
pub struct Flows {
    /// `tcp` and `udp`: the name of the pool.
    pub pool: Option<Written<String>>,
    /// `tls-passthrough`: pools by server name.
    pub routes: Option<List<NameRoute>>,
}

/// One of the `routes` of a `tls-passthrough` listener.
#[derive(Debug)]
pub struct NameRoute {
    /// The server names.
    pub host: Option<Written<HostMatch>>,
    /// The name of the pool.
    pub pool: Option<Written<String>>,
    /// Where it begins.
    pub span: Span,
}

/// What only requests have.
const OF_REQUESTS: [&str; 9] =
    ["tls", "trusted_proxies", "max_body", "max_requests", "paths", "underscores", "upgrades", "trailers", "pools"];
/// What a datagram waits for in vain.
const OF_CONNECTIONS: [&str; 3] = ["proxy_protocol", "max_queue", "queue_timeout"];

impl Flows {
    /// Takes its keys out of those of a listener of that protocol.
    pub fn read(reports: &mut Reports<'_>, fields: &mut Fields, protocol: ProtocolWord) -> Flows {
        let why = format!("for `{}`, which carries bytes unread", protocol.word());
        fields.misplaced(reports, &OF_REQUESTS, &why, "leave it out, or write `protocol = \"http\"` or `\"https\"`");
        if protocol == ProtocolWord::Udp {
            fields.misplaced(reports, &OF_CONNECTIONS, "for `udp`, which has no connections", "leave it out");
        }
        let (mut pool, mut routes) = (None, None);
        if protocol == ProtocolWord::TlsPassthrough {
            let help =
                "write `routes = [{ host = \"www.example.com\", pool = \"POOL\" }]`; `host = \"*\"` is for all others";
            fields.misplaced(reports, &["pool"], "for `tls-passthrough`, whose routes name pools", help);
            fields.require("routes", "[{ host = \"*\", pool = \"POOL\" }]");
            routes = name_routes(reports, fields);
        } else {
            let help = "write `pool = \"POOL\"`";
            fields.misplaced(
                reports,
                &["routes"],
                &format!("for `{}`, which sends all to one pool", protocol.word()),
                help,
            );
            fields.require("pool", "\"POOL\"");
            pool = fields.name(reports, "pool");
        }
        Flows { pool, routes }
    }

    /// Of a listener whose protocol cannot be read it is not known whether it may have a pool.
    pub fn left_out(fields: &mut Fields) -> Flows {
        _ = fields.any("pool");
        Flows::default()
    }
}

fn name_routes(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<List<NameRoute>> {
    let list = fields.tables(reports, "routes", "a route", "{ host = \"www.example.com\", pool = \"POOL\" }")?;
    let items = list.items.into_iter();
    let items = items.map(|item| Written { span: item.span, value: NameRoute::read(reports, item.value) }).collect();
    Some(List { items, span: list.span, complete: list.complete })
}

impl NameRoute {
    fn read(reports: &mut Reports<'_>, mut fields: Fields) -> NameRoute {
        const UNSEEN: [&str; 7] = ["path", "path_prefix", "path_regex", "headers", "cookies", "query", "methods"];
        fields.require("host", "\"www.example.com\"");
        fields.require("pool", "\"POOL\"");
        let help = "leave it out, or write `protocol = \"https\"`, which ends TLS and sees it";
        fields.misplaced(reports, &UNSEEN, "for `tls-passthrough`, which sees the server's name alone", help);
        let span = fields.span;
        let route = NameRoute { host: fields.form(reports, "host", &HOST), pool: fields.name(reports, "pool"), span };
        fields.finish(reports);
        route
    }
}
