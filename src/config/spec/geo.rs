//! `[geo]` and `[[geo.network]]` as they were written.

use std::path::PathBuf;

use crate::config::codes;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::Words;
use crate::config::forms;
use crate::config::forms::Prefix;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::model::ClientSubnet;
use crate::model::GeoCode;
use crate::model::Location;

/// `[geo]`.
#[derive(Debug, Default)]
pub struct Geo {
    /// MaxMind-format databases.
    pub databases: Option<List<PathBuf>>,
    /// Measured latencies.
    pub latency: Option<Written<PathBuf>>,
    /// Whether EDNS Client Subnet counts.
    pub client_subnet: Option<Written<ClientSubnet>>,
    /// `[[geo.network]]`.
    pub networks: Vec<Network>,
}

/// One `[[geo.network]]`.
#[derive(Debug)]
pub struct Network {
    /// Where it begins.
    pub span: Span,
    /// Its name, for rules.
    pub name: Option<Written<String>>,
    /// Its prefixes.
    pub cidr: Option<List<Prefix>>,
    /// Where it counts as being.
    pub geo: Option<Written<GeoCode>>,
    /// Where it is on the globe.
    pub location: Option<Written<Location>>,
}

const CLIENT_SUBNET: Words<ClientSubnet> =
    Words { words: &[("honour", ClientSubnet::Honour), ("ignore", ClientSubnet::Ignore)] };

impl Geo {
    /// Reads `[geo]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Geo {
        let databases = fields.paths(reports, "databases");
        let latency = fields.path(reports, "latency");
        let client_subnet = fields.word(reports, "client_subnet", &CLIENT_SUBNET);
        let example = "{ name = \"office\", cidr = [\"10.0.0.0/8\"], geo = \"EU-DE\" }";
        let networks = fields.tables(reports, "network", "a network", example);
        let networks = networks.map_or_else(Vec::new, |list| list.items);
        let networks = networks.into_iter().map(|network| Network::read(reports, network.value)).collect();
        fields.finish(reports);
        Geo { databases, latency, client_subnet, networks }
    }
}

impl Network {
    fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Network {
        fields.require("name", "\"office\"");
        fields.require("cidr", "[\"10.0.0.0/8\"]");
        let span = fields.span;
        let name = fields.name(reports, "name");
        if let Some(name) = &name
            && let Err(wrong) = forms::given_name(&name.value)
        {
            let fact = format!("`{}` cannot be the name of a network", name.value.escape_debug());
            reports.error(codes::NAME, name.span, fact).label(wrong.why).help(wrong.help);
        }
        let network = Network {
            span,
            name,
            cidr: fields.forms(reports, "cidr", &forms::PREFIX),
            geo: fields.form(reports, "geo", &forms::GEO),
            location: fields.location(reports, "location"),
        };
        fields.finish(reports);
        network
    }
}
