//! Regions, pools, endpoints, VIPs, zones and sockets: all of a kind, or one.

use std::collections::HashMap;

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::Stretch;
use crate::admin::asked::json;
use crate::admin::counted::Proxied;
use crate::admin::dto;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::look::Believed;
use crate::admin::look::Look;
use crate::health::belief::Standing;
use crate::health::ledger::Ledger;
use crate::health::standings::Subject;
use crate::model::EndpointId;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::model::RegionId;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::server::Listening;
use crate::world::World;
use crate::zone::tree::Zone;

/// VIPs named beside one pool.
const VIPS_MAX: usize = 100;

fn nothing(_: &Ledger, _: &World) {}

/// `GET /v1/regions`.
pub(crate) async fn regions(asked: Asked) -> Said {
    let stretch = asked.stretch()?;
    let (look, ()) = Look::take(&asked.admin, nothing).await?;
    let (items, rest) = stretch.pick(look.model().regions.len(), |at| Some(look.region(RegionId::from(at))));
    json(&stretch.list(look.world.generation, items, rest)?)
}

/// `GET /v1/regions/{name}`.
pub(crate) async fn region(asked: Asked) -> Said {
    let (look, ()) = Look::take(&asked.admin, nothing).await?;
    json(&look.region(region_named(look.model(), &asked.named[0])?))
}

/// `GET /v1/pools`.
pub(crate) async fn pools(asked: Asked) -> Said {
    let (stretch, up) = (asked.stretch()?, asked.flag("up")?);
    let (look, ()) = Look::take(&asked.admin, nothing).await?;
    let model = look.model();
    let region = asked.key("region").map(|name| region_named(model, name)).transpose()?;
    let (items, rest) = stretch.pick(model.pools.len(), |at| {
        let id = PoolId::from(at);
        let wanted = region.is_none_or(|region| model.pool(id).region == region)
            && up.is_none_or(|up| look.world.health.pool(id).usable == up);
        wanted.then(|| look.pool(id))
    });
    json(&stretch.list(look.world.generation, items, rest)?)
}

/// `GET /v1/pools/{name}`.
pub(crate) async fn pool(asked: Asked) -> Said {
    let name = asked.named[0].clone();
    let (look, members) = Look::take(&asked.admin, move |ledger, _| {
        let id = pool_named(ledger.model(), &name)?;
        let members = ledger.model().members(id).map(|(id, _)| (id, ledger.belief(id).clone()));
        Ok::<_, Failure>((id, members.collect::<Vec<Believed>>()))
    })
    .await?;
    let (id, members) = members?;
    let uses = |vip: &&crate::model::Vip| {
        vip.pools().contains(&id) || matches!(vip.when_all_down, WhenAllDown::Pool(last) if last == id)
    };
    let vips = look.model().vips.iter().filter(uses).take(VIPS_MAX).map(|vip| vip.name.clone()).collect();
    let members = members.iter().map(|believed| look.endpoint(believed)).collect();
    json(&dto::Pool { members: Some(members), vips: Some(vips), ..look.pool(id) })
}

/// Which endpoints are wanted.
struct Wanted {
    pool: Option<PoolId>,
    region: Option<RegionId>,
    observed: Option<Standing>,
    up: Option<bool>,
}

/// `GET /v1/endpoints`.
pub(crate) async fn endpoints(asked: Asked) -> Said {
    let (stretch, up) = (asked.stretch()?, asked.flag("up")?);
    let standings = [("up", Standing::Up), ("down", Standing::Down), ("unknown", Standing::Unknown)];
    let observed = asked.word("observed", &standings)?;
    let (pool, region) = (asked.key("pool").map(str::to_owned), asked.key("region").map(str::to_owned));
    let (look, picked) = Look::take(&asked.admin, move |ledger, world| {
        let model = ledger.model();
        let pool = pool.map(|name| pool_named(model, &name)).transpose()?;
        let region = region.map(|name| region_named(model, &name)).transpose()?;
        Ok::<_, Failure>(picked(ledger, world, &stretch, &Wanted { pool, region, observed, up }))
    })
    .await?;
    let (picked, rest) = picked?;
    let items = picked.iter().map(|believed| look.endpoint(believed)).collect();
    json(&stretch.list(look.world.generation, items, rest)?)
}

fn picked(ledger: &Ledger, world: &World, stretch: &Stretch, wanted: &Wanted) -> (Vec<Believed>, Option<usize>) {
    let model = ledger.model();
    stretch.pick(model.endpoints.len(), |at| {
        let id = EndpointId::from(at);
        let (pool, belief) = (model.endpoint(id).pool, ledger.belief(id));
        let keep = wanted.pool.is_none_or(|wanted| pool == wanted)
            && wanted.region.is_none_or(|wanted| model.pool(pool).region == wanted)
            && wanted.observed.is_none_or(|wanted| belief.standing() == wanted)
            && wanted.up.is_none_or(|wanted| world.health.endpoint(id).usable == wanted);
        keep.then(|| (id, belief.clone()))
    })
}

/// `GET /v1/endpoints/{pool}/{address}`.
pub(crate) async fn endpoint(asked: Asked) -> Said {
    let name = format!("endpoint/{}/{}", asked.named[0], asked.named[1]);
    let (look, believed) = Look::take(&asked.admin, move |ledger, _| match Subject::named(ledger.model(), &name) {
        Some(Subject::Endpoint(id)) => Ok((id, ledger.belief(id).clone())),
        _ => Err(Failure::new(Kind::Unknown, format!("there is no `{}`; see /v1/endpoints", name.escape_debug()))),
    })
    .await?;
    json(&look.endpoint(&believed?))
}

/// `GET /v1/vips`.
pub(crate) async fn vips(asked: Asked) -> Said {
    let (stretch, up) = (asked.stretch()?, asked.flag("up")?);
    let (look, ()) = Look::take(&asked.admin, nothing).await?;
    let model = look.model();
    let pool = asked.key("pool").map(|name| pool_named(model, name)).transpose()?;
    let shares = shares(&asked);
    let none = HashMap::new();
    let (items, rest) = stretch.pick(model.vips.len(), |at| {
        let vip = &model.vips[at];
        let answered = || vip.pools().iter().any(|pool| look.world.health.pool(*pool).usable);
        let wanted = pool.is_none_or(|pool| vip.pools().contains(&pool)) && up.is_none_or(|up| answered() == up);
        wanted.then(|| look.vip(VipId::from(at), shares.get(&vip.name).unwrap_or(&none)))
    });
    json(&stretch.list(look.world.generation, items, rest)?)
}

/// `GET /v1/vips/{name}`.
pub(crate) async fn vip(asked: Asked) -> Said {
    let (look, ()) = Look::take(&asked.admin, nothing).await?;
    let id = vip_named(look.model(), &asked.named[0])?;
    let shares = shares(&asked);
    let name = &look.model().vip(id).name;
    json(&look.vip(id, shares.get(name).unwrap_or(&HashMap::new())))
}

/// The part that each pool has of each VIP's answers.
fn shares(asked: &Asked) -> HashMap<String, HashMap<String, f64>> {
    let mut shares: HashMap<String, HashMap<String, f64>> = HashMap::new();
    let answers = asked.admin.counted.as_ref().map(|counted| counted.answers()).unwrap_or_default();
    for of in answers.into_iter().filter(|of| of.count > 0) {
        *shares.entry(of.vip).or_default().entry(of.pool).or_default() += of.count as f64;
    }
    for pools in shares.values_mut() {
        let sum: f64 = pools.values().sum();
        pools.values_mut().for_each(|share| *share = (*share / sum * 1e4).round() / 1e4);
    }
    shares
}

/// `GET /v1/zones`.
pub(crate) async fn zones(asked: Asked) -> Said {
    let stretch = asked.stretch()?;
    let world = asked.admin.keeper.published.load();
    let zones: Vec<_> = world.snapshot.zones.iter().collect();
    let (items, rest) = stretch.pick(zones.len(), |at| Some(zone_said(zones[at], &world)));
    json(&stretch.list(world.generation, items, rest)?)
}

/// `GET /v1/zones/{name}`.
pub(crate) async fn zone(asked: Asked) -> Said {
    let world = asked.admin.keeper.published.load();
    let name = absolute(&asked.named[0]);
    let found = world.snapshot.zones.iter().find(|zone| zone.apex().to_string() == name);
    json(&zone_said(found.ok_or_else(|| unknown("zone", &name, "/v1/zones"))?, &world))
}

fn zone_said(zone: &Zone, world: &World) -> dto::Zone {
    let name = zone.apex().to_string();
    let settings = &world.snapshot.model;
    let named = settings.zones.iter().find(|said| said.name == name).and_then(|said| said.file.clone());
    // As `zones_dir` is read: the file is called after the zone, unless [zone.*] says otherwise.
    let in_dir = || Some(settings.server.zones_dir.as_ref()?.join(format!("{}.zone", name.trim_end_matches('.'))));
    dto::Zone {
        serial: zone.serial(),
        records: zone.records() as u64,
        names: zone.names() as u64,
        file: named.or_else(in_dir).map(|path| path.display().to_string()),
        name,
    }
}

/// `GET /v1/listeners`.
pub(crate) async fn listeners(asked: Asked) -> Said {
    let world = asked.admin.keeper.published.load();
    let proxied = asked.admin.counted.as_ref().map(|counted| counted.proxied()).unwrap_or_default();
    let sockets = asked.admin.listening.load();
    let mut items: Vec<dto::Listener> = sockets.iter().map(socket_said).collect();
    items.extend(world.snapshot.model.listeners.iter().map(|listener| listener_said(listener, &world, &proxied)));
    json(&dto::List { generation: world.generation, items, next: None })
}

fn socket_said(socket: &Listening) -> dto::Listener {
    dto::Listener {
        kind: "dns".to_owned(),
        transport: socket.transport.words().to_owned(),
        address: socket.address.to_string(),
        name: None,
        region: None,
        routes: None,
        connections: None,
        requests: None,
    }
}

fn listener_said(listener: &Listener, world: &World, proxied: &HashMap<String, Proxied>) -> dto::Listener {
    let (transport, routes) = match &listener.protocol {
        Protocol::Http(http) => (if http.tls.is_empty() { "HTTP" } else { "HTTPS" }, Some(http.routes.len() as u64)),
        Protocol::Tcp(_) => ("TCP", None),
        Protocol::Udp(_) => ("UDP", None),
        Protocol::TlsPassthrough(_) => ("TLS_PASSTHROUGH", None),
    };
    let counted = proxied.get(&listener.name);
    dto::Listener {
        kind: "proxy".to_owned(),
        transport: transport.to_owned(),
        address: listener.bind.to_string(),
        name: Some(listener.name.clone()),
        region: Some(world.snapshot.model.region(listener.region).name.clone()),
        routes,
        connections: counted.map(|counted| counted.connections),
        requests: counted.map(|counted| counted.requests),
    }
}

/// `www.example.com.`, however it was asked for.
fn absolute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.ends_with('.') { name } else { format!("{name}.") }
}

fn unknown(kind: &str, name: &str, see: &str) -> Failure {
    Failure::new(Kind::Unknown, format!("there is no {kind} `{}`; see {see}", name.escape_debug()))
}

fn region_named(model: &Model, name: &str) -> Result<RegionId, Failure> {
    let at = model.regions.iter().position(|region| region.name == name);
    at.map(RegionId::from).ok_or_else(|| unknown("region", name, "/v1/regions"))
}

fn pool_named(model: &Model, name: &str) -> Result<PoolId, Failure> {
    let at = model.pools.iter().position(|pool| pool.name == name);
    at.map(PoolId::from).ok_or_else(|| unknown("pool", name, "/v1/pools"))
}

/// The VIP of a name, with or without its last dot.
pub(crate) fn vip_named(model: &Model, name: &str) -> Result<VipId, Failure> {
    let name = absolute(name);
    let at = model.vips.iter().position(|vip| vip.name == name);
    at.map(VipId::from).ok_or_else(|| unknown("VIP", &name, "/v1/vips"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::geo::atlas::Atlas;
    use crate::geo::latency::LatencyTable;
    use crate::health::table::HealthTable;
    use crate::proxy::counts::samples::model;
    use crate::snapshot::Snapshot;

    #[test]
    fn a_proxys_listener_says_what_it_does() {
        let model = Arc::new(model(&["edge", "new"]));
        let (health, atlas) = (HealthTable::all_up(&model), Arc::new(Atlas::of_networks(&[])));
        let (snapshot, _) = Snapshot::compile(model, Vec::new(), atlas, &LatencyTable::default()).unwrap();
        let world = World { snapshot: Arc::new(snapshot), health, generation: 1 };
        let proxied = HashMap::from([("edge".to_owned(), Proxied { connections: 3, requests: 40 })]);
        let said = |at: usize| listener_said(&world.snapshot.model.listeners[at], &world, &proxied);
        let (edge, new) = (said(0), said(1));
        assert_eq!((&*edge.kind, &*edge.transport, &*edge.address), ("proxy", "HTTP", "192.0.2.10:80"));
        assert_eq!((edge.region.as_deref(), edge.routes), (Some("here"), Some(2)));
        assert_eq!((edge.connections, edge.requests), (Some(3), Some(40)));
        assert_eq!((new.name.as_deref(), new.connections, new.requests), (Some("new"), None, None));
    }
}
