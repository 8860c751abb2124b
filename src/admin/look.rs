//! What the server knows, as the API's shapes.
//!
//! A look at one moment: the world that queries see, and the orders and beliefs that go with it. It is taken from the
//! keeper in one short visit ([`Look::take`]); turning it into text happens here, outside, so that a long list holds up
//! no probe's result.

use std::collections::HashMap;
use std::sync::Arc;

use crate::admin::dto;
use crate::admin::dto::LastProbe;
use crate::admin::dto::Weight;
use crate::admin::failure::Failure;
use crate::admin::routes::Admin;
use crate::admin::when;
use crate::health::belief::Belief;
use crate::health::ejection::Ejection;
use crate::health::forced::Forced;
use crate::health::forced::Order;
use crate::health::ledger::Ledger;
use crate::health::names;
use crate::health::standings::Subject;
use crate::health::target::check_of;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::Moment;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::RegionId;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::proxy::core::Shared;
use crate::regional::tail::TailNow;
use crate::world::World;

/// One moment.
pub(super) struct Look {
    /// What queries see.
    pub(super) world: Arc<World>,
    /// Now.
    pub(super) now: Moment,
    orders: Vec<Listed>,
    /// Places in `orders`.
    by_subject: HashMap<Subject, Vec<usize>>,
    persistent: bool,
    proxied: Option<Arc<Shared>>,
}

/// An order and what it is about; nothing in the present model when absent.
struct Listed {
    subject: Option<Subject>,
    kind: &'static str,
    name: String,
    forced: Forced,
    phase: dto::Phase,
}

/// An endpoint, as the keeper believes of it.
pub(super) type Believed = (EndpointId, Belief);

impl Look {
    /// Takes a look, and with it what `more` picks from the ledger; `more` must be quick.
    pub(super) async fn take<T: Send + 'static>(
        admin: &Admin,
        more: impl FnOnce(&Ledger, &World) -> T + Send + 'static,
    ) -> Result<(Look, T), Failure> {
        let (published, now) = (admin.keeper.published.clone(), admin.clock.now());
        let taken = admin.keeper.ask(move |ledger| {
            // The keeper is the one that publishes: what it believes and what is published are of one model here.
            let world = published.load();
            let more = more(ledger, &world);
            (listed(ledger, now), world, more)
        });
        let (orders, world, more) = taken.await.map_err(|_| Failure::stopping())?;
        let mut by_subject: HashMap<Subject, Vec<usize>> = HashMap::new();
        for (at, order) in orders.iter().enumerate() {
            if let Some(subject) = order.subject {
                by_subject.entry(subject).or_default().push(at);
            }
        }
        let persistent = world.snapshot.model.server.state_dir.is_some();
        let proxied = admin.proxied.clone();
        Ok((Look { world, now, orders, by_subject, persistent, proxied }, more))
    }

    /// The model.
    pub(super) fn model(&self) -> &Model {
        &self.world.snapshot.model
    }

    /// Every order.
    pub(super) fn overrides(&self) -> impl ExactSizeIterator<Item = dto::Override> {
        self.orders.iter().map(|order| self.override_said(order))
    }

    /// The orders for a subject itself.
    pub(super) fn overrides_of(&self, subject: Subject) -> Vec<dto::Override> {
        let places = self.by_subject.get(&subject).into_iter().flatten();
        places.map(|at| self.override_said(&self.orders[*at])).collect()
    }

    /// The orders for a subject by its name as operators write it; of one that is not in the configuration, those that
    /// wait for its return.
    pub(super) fn overrides_named(&self, text: &str) -> Result<Vec<dto::Override>, Failure> {
        let refusal = match names::resolve(self.model(), text) {
            Ok(subject) => return Ok(self.overrides_of(subject)),
            Err(refusal) => refusal,
        };
        let of_it = |order: &&Listed| format!("{}/{}", order.kind, order.name) == text;
        let waiting: Vec<_> = self.orders.iter().filter(of_it).map(|order| self.override_said(order)).collect();
        if waiting.is_empty() {
            return Err(refusal.into());
        }
        Ok(waiting)
    }

    fn override_said(&self, listed: &Listed) -> dto::Override {
        let Forced { order, reason, by, since, begins, until } = &listed.forced;
        let (state, weight) = match *order {
            Order::Drain => (dto::OrderState::Drain, None),
            Order::Maint => (dto::OrderState::Maint, None),
            Order::Up => (dto::OrderState::Up, None),
            Order::Down => (dto::OrderState::Down, None),
            Order::Weight(weight) => (dto::OrderState::Weight, Some(weight)),
        };
        dto::Override {
            kind: listed.kind.to_owned(),
            name: listed.name.clone(),
            state,
            weight,
            reason: reason.clone(),
            by: by.clone(),
            since: when::said(*since),
            begins: when::said((*begins).max(*since)),
            until: until.map(when::said),
            phase: listed.phase,
            persistent: self.persistent,
        }
    }

    /// The order of state in force for a subject itself.
    fn order(&self, subject: Subject) -> Option<Order> {
        let places = self.by_subject.get(&subject).into_iter().flatten();
        let orders = places.map(|at| &self.orders[*at]).filter(|listed| listed.phase == dto::Phase::InForce);
        orders.map(|listed| listed.forced.order).find(|order| !matches!(order, Order::Weight(_)))
    }

    /// The harshest of the orders for these subjects; of equally harsh ones the first.
    fn harshest(&self, subjects: &[Subject]) -> Option<(Order, Subject)> {
        let mut found: Option<(Order, Subject)> = None;
        for subject in subjects {
            if let Some(order) = self.order(*subject)
                && found.is_none_or(|(before, _)| order.harshness() > before.harshness())
            {
                found = Some((order, *subject));
            }
        }
        found
    }

    /// Who still comes to what was drained.
    pub(super) fn tails(&self) -> Vec<dto::Tail> {
        let all = self.proxied.iter().flat_map(|proxied| proxied.tails.all(self.now));
        all.map(|(kind, name, tail)| tail_said(kind, &name, &tail)).collect()
    }

    fn tail_of(&self, kind: &'static str, name: &str) -> Option<dto::Tail> {
        Some(tail_said(kind, name, &self.proxied.as_ref()?.tails.of(kind, name, self.now)?))
    }

    /// A region.
    pub(super) fn region(&self, id: RegionId) -> dto::Region {
        let (model, region) = (self.model(), self.model().region(id));
        let pools = model.pools.iter().enumerate().filter(|(_, pool)| pool.region == id);
        let mut said = dto::Region {
            name: region.name.clone(),
            label: region.label.clone(),
            location: region.location.map(|spot| [spot.lat, spot.lon]),
            up: false,
            pools_up: 0,
            pools: 0,
            endpoints_up: 0,
            endpoints: 0,
            order: self.order(Subject::Region(id)).map(|order| order.words().to_owned()),
            overrides: self.overrides_of(Subject::Region(id)),
            tail: self.tail_of("region", &region.name),
        };
        for (at, pool) in pools {
            let health = self.world.health.pool(PoolId::from(at));
            said.pools += 1;
            said.pools_up += u32::from(health.usable);
            said.endpoints += pool.endpoints.len() as u32;
            said.endpoints_up += health.healthy;
        }
        said.up = said.pools_up > 0;
        said
    }

    /// A pool, without its members.
    pub(super) fn pool(&self, id: PoolId) -> dto::Pool {
        let (model, pool) = (self.model(), self.model().pool(id));
        let health = self.world.health.pool(id);
        let order = self.harshest(&[Subject::Pool(id), Subject::Region(pool.region)]);
        let found = if health.usable { "up" } else { "down" };
        dto::Pool {
            name: pool.name.clone(),
            region: model.region(pool.region).name.clone(),
            up: health.usable,
            effective: order.map_or(found, |(order, _)| order.words()).to_owned(),
            order: order.map(|(order, _)| order.words().to_owned()),
            order_of: order.map(|(_, subject)| self.subject_name(subject)),
            healthy: health.healthy,
            endpoints: pool.endpoints.len() as u32,
            min_healthy: pool.min_healthy,
            check: pool.check.map(|check| model.checks[check.index()].name.clone()),
            balance: pool.balance.words().to_owned(),
            fallback: pool.fallback.map(|pool| model.pool(pool).name.clone()),
            load: self.load(id),
            overrides: self.overrides_of(Subject::Pool(id)),
            tail: self.tail_of("pool", &pool.name),
            members: None,
            vips: None,
        }
    }

    /// How loaded a pool is, where that is read.
    pub(super) fn load(&self, id: PoolId) -> Option<dto::Load> {
        let feedback = self.model().pool(id).load.as_ref()?;
        let known = self.world.health.load(id).unwrap_or_default();
        let sources = match feedback.urls.is_empty() {
            true => vec!["this process".to_owned()],
            false => feedback.urls.clone(),
        };
        Some(dto::Load {
            load: known.percent.map(|percent| f64::from(percent) / 100.0),
            shed: (known.share() * 1e4).round() / 1e4,
            low: feedback.low(),
            high: feedback.high(),
            sources,
        })
    }

    /// An endpoint.
    pub(super) fn endpoint(&self, (id, belief): &Believed) -> dto::Endpoint {
        let (model, endpoint) = (self.model(), self.model().endpoint(*id));
        let pool = model.pool(endpoint.pool);
        let own = self.order(Subject::Endpoint(*id)).map(|order| (order, Subject::Endpoint(*id)));
        let above = self.harshest(&[Subject::Pool(endpoint.pool), Subject::Region(pool.region)]);
        // "Up" of a pool means "do not count"; it says nothing of one endpoint.
        let above = above.filter(|(order, _)| *order != Order::Up);
        let order = match (own, above) {
            (Some(own), Some(above)) if above.0.harshness() > own.0.harshness() => Some(above),
            (own, above) => own.or(above),
        };
        let health = self.world.health.endpoint(*id);
        let counts = || match health {
            _ if health.blocked => "blocked",
            _ if health.ejected && !health.usable => "ejected",
            _ => belief.counted().words(),
        };
        dto::Endpoint {
            name: Subject::Endpoint(*id).name(model),
            pool: pool.name.clone(),
            region: model.region(pool.region).name.clone(),
            address: endpoint.address.to_string(),
            port: endpoint.port,
            up: health.usable,
            observed: belief.standing().words().to_owned(),
            order: order.map(|(order, _)| order.words().to_owned()),
            order_of: order.map(|(_, subject)| self.subject_name(subject)),
            blocked: self.world.health.why_blocked(model, *id),
            ejected: belief.ejection.as_deref().map(|ejection| ejected(ejection, self.now)),
            effective: order.map_or_else(counts, |(order, _)| order.words()).to_owned(),
            since: when::said(belief.since()),
            last: check_of(model, *id).and(belief.last()).map(|last| LastProbe {
                passed: last.result.passed,
                code: last.result.reason.code().to_owned(),
                words: match last.result.detail.as_str() {
                    "" => last.result.reason.words().to_owned(),
                    detail => detail.to_owned(),
                },
                milliseconds: (last.result.took.as_secs_f64() * 1e6).round() / 1e3,
                at: when::said(last.at),
                in_a_row: last.in_a_row,
            }),
            weight: Weight { configured: endpoint.weight, effective: self.world.health.weight(model, *id) },
            overrides: self.overrides_of(Subject::Endpoint(*id)),
        }
    }

    /// A VIP.
    pub(super) fn vip(&self, id: VipId, shares: &HashMap<String, f64>) -> dto::Vip {
        let (model, vip) = (self.model(), self.model().vip(id));
        let pools: Vec<dto::VipPool> = vip
            .pools()
            .into_iter()
            .map(|id| {
                let pool = model.pool(id);
                dto::VipPool {
                    pool: pool.name.clone(),
                    region: model.region(pool.region).name.clone(),
                    up: self.world.health.pool(id).usable,
                    share: shares.get(&pool.name).copied(),
                }
            })
            .collect();
        dto::Vip {
            name: vip.name.clone(),
            policy: policy(&vip.policy).to_owned(),
            ttl: u32::try_from(vip.ttl.as_secs()).unwrap_or(u32::MAX),
            min_ttl: u32::try_from(vip.min_ttl.as_secs()).unwrap_or(u32::MAX),
            answers: vip.answers,
            when_all_down: match vip.when_all_down {
                WhenAllDown::All => "all".to_owned(),
                WhenAllDown::NoData => "nodata".to_owned(),
                WhenAllDown::ServFail => "servfail".to_owned(),
                WhenAllDown::Pool(pool) => format!("pool:{}", model.pool(pool).name),
            },
            up: pools.iter().any(|pool| pool.up),
            pools,
            place: vip.place.as_ref().map(ToString::to_string),
        }
    }

    fn subject_name(&self, subject: Subject) -> String {
        format!("{}/{}", subject.kind(), subject.name(self.model()))
    }
}

fn ejected(ejection: &Ejection, now: Moment) -> dto::Ejected {
    dto::Ejected {
        reason: ejection.reason.clone(),
        since: when::said(ejection.since),
        until: when::said(ejection.until),
        words: ejection.words(now),
    }
}

fn tail_said(kind: &str, name: &str, tail: &TailNow) -> dto::Tail {
    dto::Tail {
        of: format!("{kind}/{name}"),
        since: when::said(tail.since),
        requests: tail.came,
        last_minute: tail.last_minute,
        last: tail.last.map(when::said),
        quiet_seconds: tail.quiet.as_secs(),
        gone: tail.gone.map(when::said),
    }
}

fn listed(ledger: &Ledger, now: Moment) -> Vec<Listed> {
    let (model, orders) = (ledger.model(), &ledger.standings().orders);
    let live = orders.live().flat_map(|(subject, given)| {
        let name = subject.name(model);
        given.each().map(move |forced| {
            let phase = if forced.in_force_at(now) { dto::Phase::InForce } else { dto::Phase::Planned };
            Listed { subject: Some(subject), kind: subject.kind(), name: name.clone(), forced: forced.clone(), phase }
        })
    });
    let dormant = orders.dormant().flat_map(|(of, given)| {
        given.each().map(move |forced| {
            let phase = dto::Phase::Dormant;
            Listed { subject: None, kind: of.kind(), name: of.name(), forced: forced.clone(), phase }
        })
    });
    live.chain(dormant).collect()
}

/// The operators' word for a policy.
pub(super) fn policy(policy: &Policy) -> &'static str {
    match policy {
        Policy::Geolocation(_) => "geolocation",
        Policy::Geoproximity(_) => "geoproximity",
        Policy::Latency(_) => "latency",
        Policy::Weighted(_) => "weighted",
        Policy::Hash(_) => "hash",
        Policy::Failover(_) => "failover",
    }
}
