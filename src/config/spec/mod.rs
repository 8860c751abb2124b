//! What was written: every section with its values in their forms, and where each stands.
//!
//! Names of other sections are still texts, and what was left out is still absent; `check` resolves and fills in. A
//! value that could not be read has been reported and is absent.

pub mod access_log;
pub mod check_forms;
pub mod checks;
pub mod flows;
pub mod geo;
pub mod http_forms;
pub mod listeners;
pub mod loads;
pub mod pools;
pub mod quantities;
pub mod query_log;
pub mod routes;
pub mod server;
pub mod upstream;
pub mod vips;

use crate::dns::name::Name;

use super::codes;
use super::document::Table;
use super::document::Value;
use super::fields::Fields;
use super::fields::into_table;
use super::fields::wrong_type;
use super::forms;
use super::reports::Reports;
use super::source::Span;
use super::source::Written;

/// A whole configuration as it was written.
#[derive(Debug, Default)]
pub struct Spec {
    /// `[server]`.
    pub server: server::Server,
    /// `[geo]`.
    pub geo: geo::Geo,
    /// `[region.*]`.
    pub regions: Vec<Named<pools::Region>>,
    /// `[health_check.*]`.
    pub checks: Vec<Named<checks::HealthCheck>>,
    /// `[pool.*]`.
    pub pools: Vec<Named<pools::Pool>>,
    /// `[vip.*]`, whose names are domain names.
    pub vips: Vec<vips::Vip>,
    /// `[zone.*]`.
    pub zones: Vec<server::Zone>,
    /// `[tls.*]`.
    pub tls: Vec<Named<server::Tls>>,
    /// `[admin]`.
    pub admin: server::Admin,
    /// `[query_log]`.
    pub query_log: Option<query_log::QueryLog>,
    /// `[[listener]]`.
    pub listeners: Vec<listeners::Listener>,
    /// `[proxy]`.
    pub proxy: listeners::Proxy,
    /// `[access_log]`.
    pub access_log: Option<access_log::AccessLog>,
}

/// Something with a name of the operator's choice.
#[derive(Debug)]
pub struct Named<T> {
    /// The name and where it is defined.
    pub name: Written<String>,
    /// What it names.
    pub value: T,
}

const SECTIONS: [&str; 14] = [
    "server",
    "geo",
    "region",
    "health_check",
    "pool",
    "vip",
    "zone",
    "tls",
    "admin",
    "query_log",
    "listener",
    "proxy",
    "access_log",
    "include",
];

impl Spec {
    /// Reads the sections of all files together.
    pub fn read(reports: &mut Reports<'_>, document: Table) -> Spec {
        let mut spec = Spec::default();
        for (key, value) in document.entries {
            let named = matches!(key.value.as_str(), "region" | "health_check" | "pool" | "vip" | "zone" | "tls");
            let what = match key.value.as_str() {
                "vip" => "VIP".to_owned(),
                "tls" => "certificate".to_owned(),
                other if named => other.replace('_', " "),
                other => format!("[{other}]"),
            };
            let fields = match value.value {
                _ if key.value == "include" => continue,
                written if key.value == "listener" => {
                    let written = Written { value: written, span: value.span };
                    spec.listeners = listeners(reports, key.span, written);
                    continue;
                }
                Value::Table(table) => Fields::new(what, key.span, table),
                other if SECTIONS.contains(&key.value.as_str()) => {
                    let example = if named { format!("[{}.NAME]", key.value) } else { format!("[{}]", key.value) };
                    wrong_type(
                        reports,
                        value.span,
                        &format!("`{}`", key.value),
                        &format!("a section: `{example}`"),
                        &other,
                        None,
                    );
                    continue;
                }
                _ => {
                    unknown_section(reports, &key);
                    continue;
                }
            };
            spec.section(reports, &key, fields);
        }
        spec
    }

    fn section(&mut self, reports: &mut Reports<'_>, key: &Written<String>, fields: Fields) {
        match key.value.as_str() {
            "server" => self.server = server::Server::read(reports, fields),
            "geo" => self.geo = geo::Geo::read(reports, fields),
            "admin" => self.admin = server::Admin::read(reports, fields),
            "query_log" => self.query_log = Some(query_log::QueryLog::read(reports, fields)),
            "proxy" => self.proxy = listeners::Proxy::read(reports, fields),
            "access_log" => self.access_log = Some(access_log::AccessLog::read(reports, fields)),
            "region" => self.regions = read_named(reports, fields, pools::Region::read),
            "health_check" => self.checks = read_named(reports, fields, checks::HealthCheck::read),
            "pool" => self.pools = read_named(reports, fields, pools::Pool::read),
            "tls" => self.tls = read_named(reports, fields, server::Tls::read),
            "vip" => self.vips = read_domains(reports, fields, vips::Vip::read),
            "zone" => self.zones = read_domains(reports, fields, server::Zone::read),
            _ => unknown_section(reports, key),
        }
    }
}

fn read_named<T>(reports: &mut Reports<'_>, fields: Fields, read: fn(&mut Reports<'_>, Fields) -> T) -> Vec<Named<T>> {
    let kind = fields.what.clone();
    let mut out = Vec::new();
    for (name, fields) in fields.named(reports) {
        if let Err(wrong) = forms::given_name(&name.value) {
            let fact = format!("`{}` cannot be the name of a {kind}", name.value.escape_debug());
            reports.error(codes::NAME, name.span, fact).label(wrong.why).help(wrong.help);
        }
        out.push(Named { name, value: read(reports, fields) });
    }
    out
}

fn read_domains<T>(
    reports: &mut Reports<'_>,
    fields: Fields,
    read: fn(&mut Reports<'_>, Written<Name>, Fields) -> T,
) -> Vec<T> {
    let kind = fields.what.clone();
    let mut out = Vec::new();
    for (name, fields) in fields.named(reports) {
        match (forms::DOMAIN.read)(&name.value) {
            Ok(domain) => out.push(read(reports, name.map(|_| domain), fields)),
            Err(wrong) => {
                let fact = format!("`{}` cannot be the name of a {kind}", name.value.escape_debug());
                reports.error(codes::NAME, name.span, fact).label(wrong.why).help(wrong.help);
            }
        }
    }
    out
}

/// `[[listener]]`: the only section that is a list, since no key could name a listener better than its `name`.
fn listeners(reports: &mut Reports<'_>, key: Span, written: Written<Value>) -> Vec<listeners::Listener> {
    let takes = "sections with two brackets: `[[listener]]`";
    let items = match written.value {
        Value::List(items) => items,
        other => {
            let help = matches!(other, Value::Table(_)).then(|| "write `[[listener]]`, once for each".to_owned());
            wrong_type(reports, key, "`listener`", takes, &other, help);
            return Vec::new();
        }
    };
    let read = |item: Written<Value>| {
        let fields = into_table(reports, "a listener", takes, item)?;
        Some(listeners::Listener::read(reports, fields))
    };
    items.into_iter().filter_map(read).collect()
}

fn unknown_section(reports: &mut Reports<'_>, key: &Written<String>) {
    let name = key.value.as_str();
    let help = match reports.similar(name, SECTIONS) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("sections: {}", SECTIONS.join(", ")),
    };
    let fact = format!("there is no section `{}`", name.escape_debug());
    reports.error(codes::UNKNOWN_SECTION, key.span, fact).label("unknown section").help(help);
}

/// Where something that may be absent stands; the place of its owner otherwise.
pub fn span_or<T>(written: Option<&Written<T>>, owner: Span) -> Span {
    written.map_or(owner, |w| w.span)
}
