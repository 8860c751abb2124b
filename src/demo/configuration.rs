//! The demo's `rhumb.toml`, as an operator of three tiers would write it: text only, for `rhumb check` and `rhumb serve` as for
//! the demo itself.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use crate::demo::layout::DemoRegion;
use crate::demo::layout::Pools;
use crate::demo::layout::ZONES;

/// The header by which each edge says that a request went through it.
pub const EDGE_HEADER: &str = "x-rhumb-l7";

/// The whole file; all tiers are on `port`.
pub fn configuration(regions: &[DemoRegion], listen: SocketAddr, port: u16) -> String {
    let mut text = head(regions, listen, port);
    for region in regions {
        text += &clients(region);
    }
    text += HEALTH_CHECK;
    for region in regions {
        text += &tiers(region, regions, port);
    }
    text + &vips(regions)
}

fn head(regions: &[DemoRegion], listen: SocketAddr, port: u16) -> String {
    let count = regions.len();
    format!(
        "# The demo of rhumb: {count} regions on loopback, each with an edge (L7) and two zones (L4) of two applications.
#
#   DNS    www.example.com           which region's edge, for this client
#   L7     127.N.1.10:{port}           routes requests to the zones
#   L4     127.N.2.1, 127.N.2.2      carry connections to the zone's applications
#   app    127.N.3.x, 127.N.4.x      small HTTP servers that the demo runs
#
# `rhumb check -c rhumb.toml` and `rhumb serve -c rhumb.toml` take it as it is, while the demo itself does not run. Without
# applications every pool is down; these run them alone:
#
#   rhumb demo --apps-only --regions {count} --port {port}

[server]
listen    = [\"{listen}\"]
zones_dir = \"zones\"
state_dir = \"state\"

[admin]
socket = \"admin.sock\"
listen = \"127.0.0.1:0\"                # any free port; the log says which

[geo]
databases = [\"country.mmdb\"]
"
    )
}

fn clients(region: &DemoRegion) -> String {
    let DemoRegion { name, label, location: (lat, lon), clients, clients_geo, .. } = region;
    format!(
        "
# Clients near {label}: a documentation prefix, placed by hand.
[[geo.network]]
name     = \"{name}-clients\"
cidr     = [\"{clients}\"]
geo      = \"{clients_geo}\"
location = [{lat}, {lon}]
"
    )
}

/// Every tier is asked for the same page. What is refused three times, a fifth of a second apart, is down; a machine that is
/// merely busy has a second for each answer.
const HEALTH_CHECK: &str = "
# All tiers are asked for the same page: an edge is up when a request gets through it to an application.
[health_check.web]
type     = \"http\"
path     = \"/healthz\"
expect   = { status = \"200\", body = \"ok\" }
interval = \"1s\"
fast     = \"200ms\"
timeout  = \"1s\"
fall     = 3
rise     = 2
";

fn tiers(region: &DemoRegion, regions: &[DemoRegion], port: u16) -> String {
    let DemoRegion { name, label, location: (lat, lon), .. } = region;
    let Pools { edge, zones, own, apps } = region.pools();
    let at = region.edge();
    let member = |address: Ipv4Addr, more: &str| format!("  {{ address = \"{address}\", port = {port}{more} }},\n");
    let flows: String = ZONES.iter().map(|zone| member(region.flow(*zone), "")).collect();
    let (mut backup, mut fallback) = (String::new(), String::new());
    if let Some(nearest) = region.nearest(regions) {
        backup = member(nearest.edge(), ", backup = true");
        fallback = format!("fallback     = \"{}\"           # while this region is drained\n", nearest.pools().edge);
    }
    let mut text = format!(
        "
# ---------------------------------------------------------------------------------------------------------------------
# {label}

[region.{name}]
label    = \"{label}\"
location = [{lat}, {lon}]

# What VIPs answer with: the edge.
[pool.{edge}]
region       = \"{name}\"
health_check = \"web\"
endpoints    = [{{ address = \"{at}\", port = {port} }}]

# What the edge sends requests to: the zones, and the nearest region's edge once they cannot.
[pool.{zones}]
region       = \"{name}\"
health_check = \"web\"
balance      = \"round_robin\"
panic        = \"0%\"                    # a zone that is down is not asked while the backup is there
retry_budget = \"100%\"                  # the moment in which a whole region breaks is what the backup is for
{fallback}endpoints    = [
{flows}{backup}]

# The zones alone.
[pool.{own}]
region       = \"{name}\"
health_check = \"web\"
balance      = \"round_robin\"
endpoints    = [
{flows}]

[[listener]]
name     = \"edge-{name}\"
region   = \"{name}\"
bind     = \"{at}:{port}\"
protocol = \"http\"

# Health checks are about this region, and what another region's edge sends is not sent on: neither is for anybody else.
[[listener.routes]]
name = \"health\"
path = \"/healthz\"
pool = \"{own}\"

[[listener.routes]]
name            = \"forwarded\"
headers         = {{ {EDGE_HEADER} = {{ present = true }} }}
pool            = \"{own}\"
request_headers = {{ add = {{ {EDGE_HEADER} = \"edge-{name} {at}:{port}\" }} }}

[[listener.routes]]
name            = \"site\"
pool            = \"{zones}\"
retries         = 2                    # when one in each zone has failed: at the backup
request_headers = {{ add = {{ {EDGE_HEADER} = \"edge-{name} {at}:{port}\" }} }}
"
    );
    for (zone, pool) in ZONES.iter().zip(apps) {
        let (listener, bind) = (region.flow_name(*zone), region.flow(*zone));
        let apps = region.zone_apps(*zone).map(|app| member(app, "")).concat();
        let _ = write!(
            text,
            "
[pool.{pool}]
region       = \"{name}\"
health_check = \"web\"
balance      = \"round_robin\"
retry_budget = \"100%\"
endpoints    = [
{apps}]

[[listener]]
name           = \"{listener}\"
region         = \"{name}\"
bind           = \"{bind}:{port}\"
protocol       = \"tcp\"
pool           = \"{pool}\"
proxy_protocol = {{ send = \"v2\" }}       # tells applications by which listener a connection came
"
        );
    }
    text
}

fn vips(regions: &[DemoRegion]) -> String {
    let edge = |region: &DemoRegion| region.pools().edge;
    let [first, second, ..] = regions else { return String::new() };
    let members: Vec<String> = regions.iter().map(|region| format!("{{ pool = \"{}\" }}", edge(region))).collect();
    let members = members.join(", ");
    // The later regions are the more particular ones: their rules come first, and a continent belongs to the last that has it.
    let rule = |(at, region): (usize, &DemoRegion)| {
        let is_own = |continent: &&&str| !regions[at + 1..].iter().any(|later| later.continents.contains(*continent));
        let geos: Vec<String> = region.continents.iter().filter(is_own).map(|geo| format!("\"{geo}\"")).collect();
        format!("  {{ geos = [{}], pool = \"{}\" }},\n", geos.join(", "), edge(region))
    };
    let rules: String = regions.iter().enumerate().rev().map(rule).collect();
    let (first, second) = (edge(first), edge(second));
    format!(
        "
# ---------------------------------------------------------------------------------------------------------------------
# Names

[vip.\"www.example.com.\"]
policy = \"geolocation\"
ttl    = \"2s\"
rules  = [
{rules}  {{ pool = \"{first}\" }},
]

[vip.\"near.example.com.\"]
policy = \"geoproximity\"
ttl    = \"2s\"
pools  = [{members}]

[vip.\"cache.example.com.\"]
policy = \"hash\"
ttl    = \"2s\"
pools  = [{members}]

[vip.\"standby.example.com.\"]
policy = \"failover\"
ttl    = \"2s\"
pools  = [{members}]

[vip.\"canary.example.com.\"]
policy = \"weighted\"
ttl    = \"2s\"
pools  = [{{ pool = \"{first}\", weight = 95 }}, {{ pool = \"{second}\", weight = 5 }}]
"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::demo::layout::REGIONS;

    #[test]
    fn it_is_without_problems_for_any_number_of_regions() {
        for count in 2..=REGIONS.len() {
            let text = configuration(&REGIONS[..count], "127.0.0.1:5300".parse().unwrap(), 8080);
            let loaded = match config::read(Path::new("rhumb.toml"), &text) {
                Ok(loaded) => loaded,
                Err(refused) => panic!("{:#?}\n{text}", refused.problems),
            };
            assert_eq!(loaded.warnings, [], "{count} regions");
            assert_eq!(loaded.model.listeners.len(), count * 3);
        }
    }
}
