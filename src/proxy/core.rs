//! All that one core needs to serve requests, and nothing that another core writes.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;

use arc_swap::ArcSwap;
use http::StatusCode;

use crate::balance::key::next_draw;
use crate::balance::live::Failure;
use crate::balance::live::Turned;
use crate::balance::live_pools::Believed;
use crate::balance::live_pools::LivePool;
use crate::balance::live_pools::LivePools;
use crate::health::ejection::Ejection;
use crate::model::Listener;
use crate::model::Moment;
use crate::model::PoolId;
use crate::proxy::access_log::AccessLog;
use crate::proxy::access_log::Lines;
use crate::proxy::buffers::Buffers;
use crate::proxy::client::Bounds;
use crate::proxy::client::Client;
use crate::proxy::client::Door;
use crate::proxy::counts::ProxyCounts;
use crate::proxy::deadline::Deadlines;
use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::pipes::Pipes;
use crate::proxy::flow::story::FlowStory;
use crate::proxy::story::Story;
use crate::proxy::tails::Tails;
use crate::proxy::upstream::connect::Way;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::pool::Look;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::queue::Queues;
use crate::proxy::upstream_tls::ClientTls;
use crate::regional::flow::FlowPlan;
use crate::regional::front::Front;
use crate::regional::pool::PoolPlan;
use crate::regional::which;
use crate::runtime::clock::Clock;
use crate::runtime::keeper;
use crate::runtime::swap::Reader;
use crate::snapshot::Snapshot;
use crate::world::World;

/// What a listener bears, and the rate of clients that it was made for.
type BoundsFor = (Option<u32>, Weak<Bounds>);

/// Endpoints by their pool's name and their address.
type Endpoints = HashMap<(Arc<str>, SocketAddr), Rc<Endpoint>>;

/// What all cores share.
#[derive(Debug)]
pub struct Shared {
    /// What time it is.
    pub clock: Clock,
    /// Where the world is, and who is told of endpoints that fail.
    pub keeper: keeper::Handle,
    /// How many cores serve.
    pub cores: u32,
    /// Those who wait.
    pub queues: Queues,
    /// What is counted.
    pub counts: Arc<ProxyCounts>,
    /// What is logged.
    pub log: Arc<AccessLog>,
    /// Who still comes to what was drained.
    pub tails: Tails,
    /// What listeners bear, by name, with the rate they were made for.
    bounds: Mutex<HashMap<String, BoundsFor>>,
    /// How pools are spoken to in TLS, by their names; changed before the snapshot that needs it.
    pub tls: ArcSwap<HashMap<Arc<str>, Arc<ClientTls>>>,
    /// The snapshot that `live` was made for, and it.
    live: Mutex<(Weak<Snapshot>, Arc<LivePools>)>,
}

impl Shared {
    /// For so many cores.
    pub fn new(
        clock: Clock,
        keeper: keeper::Handle,
        cores: u32,
        counts: Arc<ProxyCounts>,
        log: Arc<AccessLog>,
    ) -> Self {
        let (queues, bounds, tails) = (Queues::default(), Mutex::default(), Tails::default());
        let (tls, live) = (ArcSwap::default(), Mutex::default());
        Shared { clock, keeper, cores, queues, counts, log, tails, bounds, tls, live }
    }

    /// What requests tell of the endpoints of a snapshot: made by the first core that sees it.
    pub fn live(&self, snapshot: &Arc<Snapshot>) -> Arc<LivePools> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.0.as_ptr() != Arc::as_ptr(snapshot) {
            let is_proxied = |id: PoolId| snapshot.regional.pool(id).is_some();
            let pools = LivePools::of(&snapshot.model, is_proxied, &live.1);
            *live = (Arc::downgrade(snapshot), Arc::new(pools));
        }
        live.1.clone()
    }

    /// The same for those who only look: nothing is made, and nothing is known of a snapshot that no core has seen.
    pub fn live_of(&self, snapshot: &Arc<Snapshot>) -> Option<Arc<LivePools>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        (live.0.as_ptr() == Arc::as_ptr(snapshot)).then(|| live.1.clone())
    }

    /// What a listener bears, over all cores and snapshots.
    fn bounds(&self, listener: &Listener) -> Arc<Bounds> {
        let rate = listener.limits.client_rate;
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = bounds.get(&listener.name).filter(|(known, _)| *known == rate);
        if let Some(known) = known.and_then(|(_, known)| known.upgrade()) {
            return known;
        }
        bounds.retain(|_, (_, known)| known.strong_count() > 0);
        let made = Arc::new(Bounds::new(rate));
        bounds.insert(listener.name.clone(), (rate, Arc::downgrade(&made)));
        made
    }

    /// Once a second, by one of the cores.
    pub fn tick(&self, now: Moment) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        live.tick(now);
        let world = self.keeper.published.load();
        for turn in self.tails.look(&world, &self.counts, now) {
            let keeper = self.keeper.clone();
            tokio::task::spawn_local(async move { keeper.note(turn).await });
        }
    }
}

/// One core.
#[derive(Debug)]
pub struct Core {
    /// Its number.
    pub number: u32,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Those of its connections.
    pub deadlines: Deadlines,
    /// Spare room.
    pub buffers: Buffers,
    /// Spare pipes.
    pub pipes: Pipes,
    reader: RefCell<Reader>,
    view: RefCell<Option<Rc<View>>>,
    looks: Cell<u64>,
    draw: Cell<u64>,
    lines: RefCell<Lines>,
    endpoints: RefCell<Endpoints>,
    is_leaving: Cell<bool>,
}

/// The world as a request sees it, with this core's pools.
#[derive(Debug)]
pub struct View {
    /// Which look it is.
    number: u64,
    /// The world.
    pub world: Arc<World>,
    tables: Rc<Tables>,
}

/// What is made once for each snapshot.
#[derive(Debug)]
struct Tables {
    pools: Box<[Option<Rc<Pool>>]>,
    doors: HashMap<String, Rc<Door>>,
    gates: HashMap<String, Rc<Gate>>,
}

impl View {
    /// A pool that a listener reaches.
    #[inline]
    pub fn pool(&self, id: PoolId) -> Option<&Rc<Pool>> {
        self.tables.pools.get(id.index())?.as_ref()
    }

    /// The listener of that name.
    pub fn door(&self, listener: &str) -> Option<&Rc<Door>> {
        self.tables.doors.get(listener)
    }

    /// The listener at L4 of that name.
    pub fn gate(&self, listener: &str) -> Option<&Rc<Gate>> {
        self.tables.gates.get(listener)
    }

    /// What choices go by.
    pub fn look(&self) -> Look<'_> {
        Look { number: self.number, health: &self.world.health }
    }
}

impl Core {
    /// The core of that number; `draw` begins its random numbers.
    pub fn new(number: u32, shared: Arc<Shared>, draw: u64) -> Self {
        let reader = RefCell::new(shared.keeper.published.reader());
        let deadlines = Deadlines::default();
        deadlines.sweep(shared.clock.now());
        let lines = RefCell::new(Lines::of(shared.log.clone()));
        Core {
            number,
            shared,
            deadlines,
            buffers: Buffers::default(),
            pipes: Pipes::default(),
            reader,
            view: RefCell::default(),
            looks: Cell::default(),
            draw: Cell::new(draw),
            lines,
            endpoints: RefCell::default(),
            is_leaving: Cell::default(),
        }
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// Random bits.
    #[inline]
    pub fn draw(&self) -> u64 {
        let draw = next_draw(self.draw.get());
        // SplitMix64: the state goes on by itself, the draw is its hash.
        self.draw.set(self.draw.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        draw
    }

    /// The world of this moment.
    #[inline]
    pub fn view(&self) -> Rc<View> {
        let mut reader = self.reader.borrow_mut();
        let world = reader.world();
        match &*self.view.borrow() {
            Some(view) if Arc::ptr_eq(&view.world, world) => return view.clone(),
            _ => {}
        }
        self.look_again(world.clone())
    }

    #[cold]
    fn look_again(&self, world: Arc<World>) -> Rc<View> {
        let former = self.view.borrow().clone();
        let same = former.filter(|view| Arc::ptr_eq(&view.world.snapshot, &world.snapshot));
        let tables = same.map_or_else(|| Rc::new(self.make_tables(&world)), |view| view.tables.clone());
        let number = self.looks.get() + 1;
        self.looks.set(number);
        let view = Rc::new(View { number, world, tables });
        *self.view.borrow_mut() = Some(view.clone());
        view
    }

    fn make_tables(&self, world: &World) -> Tables {
        // The log is switched just before a snapshot is published.
        self.lines.borrow_mut().follow();
        let fronts = world.snapshot.regional.fronts.iter().flatten();
        let doors = fronts.map(|front| (front.listener.name.clone(), Rc::new(self.make_door(front)))).collect();
        let flows = world.snapshot.regional.flows.iter().flatten();
        let gates = flows.map(|flow| (flow.listener.name.clone(), Rc::new(self.make_gate(flow)))).collect();
        Tables { pools: self.make_pools(world), doors, gates }
    }

    fn make_gate(&self, flow: &Arc<FlowPlan>) -> Gate {
        let cell = self.shared.counts.listener(self.number as usize, &flow.listener.name);
        Gate::new(flow.clone(), cell, self.shared.bounds(&flow.listener))
    }

    fn make_door(&self, front: &Arc<Front>) -> Door {
        Door {
            front: front.clone(),
            cell: self.shared.counts.listener(self.number as usize, &front.listener.name),
            bounds: self.shared.bounds(&front.listener),
            routes: RefCell::default(),
        }
    }

    fn make_pools(&self, world: &World) -> Box<[Option<Rc<Pool>>]> {
        let live = self.shared.live(&world.snapshot);
        let mut pools: Vec<Option<Rc<Pool>>> = vec![None; world.snapshot.model.pools.len()];
        let mut wanted = HashMap::new();
        for (id, plan) in world.snapshot.regional.pools() {
            if let Some(live) = live.pool(id) {
                pools[id.index()] = Some(Rc::new(self.make_pool(plan, live, &mut wanted)));
            }
        }
        let former = self.endpoints.replace(wanted);
        let kept = self.endpoints.borrow();
        for (key, endpoint) in former {
            match kept.get(&key) {
                None => endpoint.leave(),
                // It is reached in another way from now on.
                Some(kept) if !Rc::ptr_eq(kept, &endpoint) => endpoint.retire(),
                Some(_) => {}
            }
        }
        pools.into()
    }

    fn make_pool(&self, plan: &Arc<PoolPlan>, live: &Arc<LivePool>, wanted: &mut Endpoints) -> Pool {
        let tls = self.shared.tls.load().get(&plan.name).cloned().filter(|_| plan.upstream.tls.is_some());
        let former = self.endpoints.borrow();
        let queue = self.shared.queues.of(&plan.name);
        let endpoints = plan.members.iter().zip(live.members()).map(|(member, live)| {
            let key = (plan.name.clone(), member.address);
            let way = Way {
                speaks: plan.upstream.speaks,
                tls: tls.as_ref().map(|tls| (tls.clone(), tls.endpoint(member.address.ip()))),
                patience: plan.upstream.connect_timeout,
            };
            // What is reached in another way is another endpoint, whose connections are not to be mixed.
            let known = former.get(&key);
            let made = || {
                let cell = self.shared.counts.endpoint(self.number as usize, &plan.name, &member.name);
                Endpoint::new(member.address, live.clone(), way.clone(), (queue.clone(), cell))
            };
            let endpoint = match known {
                Some(known) if known.way.is_same(&way) && Arc::ptr_eq(&known.live, live) => known.clone(),
                Some(known) => Rc::new(made().instead_of(known)),
                None => Rc::new(made()),
            };
            wanted.insert(key, endpoint.clone());
            endpoint
        });
        let endpoints: Box<[Rc<Endpoint>]> = endpoints.collect();
        let cell = self.shared.counts.pool(self.number as usize, &plan.name);
        Pool::new(plan.clone(), endpoints, live.clone(), (queue, cell), (self.number, self.shared.cores))
    }

    /// Whether requests are logged at all.
    pub fn is_logged(&self) -> bool {
        self.lines.borrow().is_on()
    }

    /// A request is over.
    pub fn account(&self, client: &Client, story: &Story, bytes_out: u64) {
        let now = self.now();
        let door = &client.door;
        door.cell.request_ended(story.took(now));
        door.cell.bytes(story.bytes_in(), bytes_out);
        story.refusal().into_iter().for_each(|code| door.cell.refused(code));
        door.count(self, story);
        let mut lines = self.lines.borrow_mut();
        if lines.is_on() {
            lines.log(&story.record(client, bytes_out, now), self.draw(), now);
        }
    }

    /// A head that could not be read, or was refused before anything was understood.
    pub fn refused_head(&self, client: &Client, status: StatusCode, code: &'static str) {
        client.door.cell.request_begun();
        let mut story = Story::of_no_head(self.now());
        story.refused(code);
        story.gets(status);
        self.account(client, &story, 0);
    }

    /// A flow is over.
    pub fn account_flow(&self, gate: &Gate, story: &FlowStory) {
        gate.count(self, story.pool(), story.end());
        let mut lines = self.lines.borrow_mut();
        if lines.is_on() {
            let now = self.now();
            lines.log(&story.record(gate, now), self.draw(), now);
        }
    }

    /// A connection that was not served, for a reason with this code.
    pub fn refused_connection(&self, client: &Client, code: &'static str) {
        client.door.cell.refused(code);
    }

    /// Lines of the log that have waited are handed over.
    pub fn flush_lines(&self, now: Moment) {
        self.lines.borrow_mut().flush_if_due(now);
    }

    /// The endpoint at that place in the pool has done its part of what began then.
    #[inline]
    pub fn passed(&self, (pool, at): (&Pool, usize), began: Moment) {
        let turned = pool.endpoints[at].live.passed(began, self.deadlines.now().max(began));
        turned.into_iter().for_each(|turned| self.turned(pool, at, turned));
    }

    /// It has not; whether it rests from now on.
    pub fn failed(&self, view: &View, (pool, at): (&Pool, usize), failure: &Failure<'_>, now: Moment) -> bool {
        let believed = |at: usize| {
            let health = view.world.health.endpoint(pool.plan.members[at].id);
            match (health.withdrawn, health.is_up_without_ejection()) {
                (true, _) => Believed::Withdrawn,
                (_, true) => Believed::Up,
                _ => Believed::Down,
            }
        };
        let turned = pool.live.failed(at, failure, now, self.draw(), believed);
        let is_ejected = matches!(turned, Some(Turned::Ejected { .. }));
        turned.into_iter().for_each(|turned| self.turned(pool, at, turned));
        is_ejected
    }

    /// An endpoint rests, or no longer: the keeper is told, and tells DNS.
    fn turned(&self, pool: &Pool, at: usize, turned: Turned) {
        let endpoint = pool.endpoints[at].live.key().clone();
        let (keeper, now) = (self.shared.keeper.clone(), self.now());
        if let Turned::Ejected { .. } = &turned {
            pool.endpoints[at].cell.ejected();
        }
        tokio::task::spawn_local(async move {
            match turned {
                Turned::Ejected { until, reason } => {
                    keeper.ejected(endpoint, Ejection { until, reason, since: now }).await
                }
                Turned::Readmitted => keeper.readmitted(endpoint, now).await,
            }
        });
    }

    /// Nothing new is sent to endpoints: connections that wait are closed, and those in use when they are free.
    pub fn leave(&self) {
        self.is_leaving.set(true);
        self.look_at_endpoints(self.now());
    }

    /// Once a second: connections to endpoints that have waited too long, those that endpoints have closed, and those to endpoints
    /// that were taken out.
    pub fn look_at_endpoints(&self, now: Moment) {
        let view = self.view();
        let (model, health) = (&view.world.snapshot.model, &view.world.health);
        for pool in view.tables.pools.iter().flatten() {
            let id = pool.plan.id;
            // One that was taken out and has nobody to fall back to serves all the same.
            let is_left = self.is_leaving.get() || health.pool(id).withdrawn && which::pool(model, health, id) != id;
            pool.look_at_endpoints(health, is_left);
            for endpoint in &pool.endpoints {
                endpoint.close_idle(pool.plan.upstream.idle_timeout, now);
            }
        }
    }
}
