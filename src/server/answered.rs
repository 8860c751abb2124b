//! What was asked and answered since the start, over all threads and reloads.
//!
//! Each UDP worker counts in [`Counts`] of its own, made for the snapshot it answers from. When it sees another snapshot
//! it takes new ones and lets go of the old; whatever nobody writes any more is added up here by name, since the numbers
//! of zones, VIPs and pools mean nothing in another snapshot. What a configuration no longer has is forgotten, so that
//! names which come and go for years take no memory; a name that stays never counts backwards.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::PoolId;
use crate::model::VipId;
use crate::runtime::swap::Published;
use crate::server::counters::RCODES;
use crate::server::counts::Counts;
use crate::server::counts::TRANSPORTS;
use crate::server::counts::TYPES;
use crate::server::counts::ZONE_CODES;
use crate::snapshot::Snapshot;
use crate::steering::Reason;

/// Between two looks whether workers have seen a new snapshot: a little more than an idle one takes.
const SETTLE_WAIT: Duration = Duration::from_millis(150);
/// Half a minute of looks.
const SETTLE_TRIES_MAX: usize = 200;

/// By [`ZONE_CODES`].
pub type ByCode = [u64; ZONE_CODES.len()];
/// By [`Reason::ALL`].
pub type ByReason = [u64; Reason::ALL.len()];

/// Everything counted of queries and answers.
#[derive(Debug)]
pub struct Answered {
    published: Arc<Published>,
    /// What streams count in.
    shared: ArcSwap<Counts>,
    /// Everything that is or was counted in, until it is added up. Held for a few instructions, by workers once for
    /// each snapshot.
    open: Mutex<Vec<Arc<Counts>>>,
    /// What is added up. Readers alone take it; they may hold it for long, and no worker ever waits for it.
    former: Mutex<Former>,
}

/// Sums of what no thread writes any more, by name.
#[derive(Debug, Default)]
struct Former {
    types: Vec<u64>,
    outside: Vec<u64>,
    zones: HashMap<String, ByCode>,
    /// By VIP, then by pool; an empty name: answered from none.
    vips: HashMap<String, HashMap<String, ByReason>>,
    /// The generation whose names are kept.
    generation: u64,
}

/// What was counted, by the numbers of the snapshot that is served now.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Which zones and VIPs are meant.
    pub snapshot: Arc<Snapshot>,
    /// Questions, by transport and type.
    pub types: Vec<u64>,
    /// Responses to what no zone holds, by code.
    pub outside: Vec<u64>,
    /// Responses of each zone.
    pub zones: Vec<ByCode>,
    /// Decisions, for those pairs of VIP and pool that had any. Without a pool: answered from none.
    pub answers: Vec<(VipId, Option<PoolId>, ByReason)>,
}

impl Answered {
    /// Nothing yet; what is counted will be told in the names of the world published there.
    pub fn new(published: Arc<Published>) -> Arc<Self> {
        let shared = Arc::new(Counts::new(published.load().snapshot.clone(), false));
        let (open, former) = (Mutex::new(vec![shared.clone()]), Mutex::default());
        Arc::new(Answered { published, shared: ArcSwap::new(shared), open, former })
    }

    /// Numbers for a thread that will be the only one to count in them, for this snapshot.
    pub fn alone(&self, snapshot: &Arc<Snapshot>) -> Arc<Counts> {
        let counts = Arc::new(Counts::new(snapshot.clone(), true));
        held(&self.open).push(counts.clone());
        counts
    }

    /// The numbers that streams count in, for this snapshot.
    pub fn shared(&self, snapshot: &Arc<Snapshot>) -> Arc<Counts> {
        let shared = self.shared.load_full();
        if Arc::ptr_eq(shared.snapshot(), snapshot) { shared } else { self.share(snapshot) }
    }

    #[cold]
    fn share(&self, snapshot: &Arc<Snapshot>) -> Arc<Counts> {
        let mut open = held(&self.open);
        let shared = self.shared.load_full();
        if Arc::ptr_eq(shared.snapshot(), snapshot) {
            return shared;
        }
        let counts = Arc::new(Counts::new(snapshot.clone(), false));
        open.push(counts.clone());
        self.shared.store(counts.clone());
        counts
    }

    /// Adds up what nobody counts in any more; whether nothing of an earlier snapshot is left to wait for. Called after a
    /// reload, so that a former snapshot does not live until somebody reads the totals.
    pub fn settle(&self) -> bool {
        let (current, late) = self.settle_into(&mut held(&self.former));
        drop(current);
        late.is_empty()
    }

    /// Waits until every worker has seen the present snapshot, which idle ones do within a tenth of a second, and adds up
    /// what they counted before; gives up on a worker that hangs, whose counts are added up some other time.
    pub async fn settled(self: Arc<Self>) {
        for _ in 0..SETTLE_TRIES_MAX {
            tokio::time::sleep(SETTLE_WAIT).await;
            let answered = self.clone();
            // An error means that the runtime is ending.
            if tokio::task::spawn_blocking(move || answered.settle()).await.unwrap_or(true) {
                return;
            }
        }
    }

    /// Everything counted so far. Takes milliseconds where there are a hundred thousand VIPs: not for an async thread.
    pub fn totals(&self) -> Totals {
        let mut former = held(&self.former);
        let (current, late) = self.settle_into(&mut former);
        let snapshot = current.first().map_or_else(|| self.published.load().snapshot.clone(), |c| c.snapshot().clone());
        let mut totals = Totals::of(snapshot, current.iter().map(|counts| &**counts));
        totals.add(&former);
        if !late.is_empty() {
            let mut names = Former::default();
            late.iter().for_each(|counts| names.add(counts));
            totals.add(&names);
        }
        totals
    }

    /// The numbers of the present snapshot, and those of earlier ones that are still written; the rest is added up.
    fn settle_into(&self, former: &mut Former) -> (Vec<Arc<Counts>>, Vec<Arc<Counts>>) {
        let world = self.published.load();
        // streams that are idle must not keep a former snapshot
        self.shared(&world.snapshot);
        let (mut current, mut late, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = held(&self.open);
        for counts in std::mem::take(&mut *open) {
            if Arc::ptr_eq(counts.snapshot(), &world.snapshot) {
                current.push(counts);
                continue;
            }
            // nobody but this list can hand out another share of it
            match Arc::try_unwrap(counts) {
                Ok(counts) => ended.push(counts),
                Err(counts) => late.push(counts),
            }
        }
        open.extend(current.iter().chain(&late).cloned());
        drop(open);
        ended.iter().for_each(|counts| former.add(counts));
        if std::mem::replace(&mut former.generation, world.generation) != world.generation || !ended.is_empty() {
            former.forget_all_but(&world.snapshot);
        }
        (current, late)
    }
}

impl Former {
    fn add(&mut self, counts: &Counts) {
        let snapshot = counts.snapshot();
        let model = &snapshot.model;
        self.types.resize(TRANSPORTS.len() * TYPES.len(), 0);
        self.outside.resize(RCODES, 0);
        counts.add_types(&mut self.types);
        counts.add_outside(&mut self.outside);
        let totals = Totals::of(snapshot.clone(), [counts]);
        for (zone, codes) in snapshot.zones.iter().zip(&totals.zones).filter(|(_, codes)| **codes != ByCode::default())
        {
            add_all(self.zones.entry(zone.apex().to_string()).or_default(), codes);
        }
        for (vip, pool, reasons) in &totals.answers {
            let pool = pool.map_or("", |pool| &model.pool(pool).name);
            let pools = entry(&mut self.vips, &model.vip(*vip).name);
            let sums: &mut ByReason = entry(pools, pool);
            add_all(sums, reasons);
        }
    }

    /// Drops the names that a snapshot does not have.
    fn forget_all_but(&mut self, snapshot: &Snapshot) {
        let zones: HashSet<String> = snapshot.zones.iter().map(|zone| zone.apex().to_string()).collect();
        self.zones.retain(|name, _| zones.contains(name));
        let vips: HashMap<&str, VipId> =
            (0..).zip(&snapshot.model.vips).map(|(at, vip)| (&*vip.name, VipId(at))).collect();
        self.vips.retain(|name, pools| {
            let Some(vip) = vips.get(&**name) else { return false };
            let used = snapshot.plan.uses().pools(*vip);
            pools.retain(|pool, _| pool.is_empty() || used.iter().any(|id| snapshot.model.pool(*id).name == *pool));
            true
        });
    }
}

/// The entry of a name, which is copied only when it is new.
fn entry<'m, V: Default>(map: &'m mut HashMap<String, V>, name: &str) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.get_mut(name).expect("it is there by now")
}

impl Totals {
    fn of<'c>(snapshot: Arc<Snapshot>, all: impl IntoIterator<Item = &'c Counts>) -> Self {
        let zones = snapshot.zones.iter().len();
        let mut types = vec![0; TRANSPORTS.len() * TYPES.len()];
        let mut outside = vec![0; RCODES];
        let mut by_zone = vec![ByCode::default(); zones];
        let mut by_pair = vec![ByReason::default(); snapshot.plan.uses().pairs()];
        for counts in all {
            counts.add_types(&mut types);
            counts.add_outside(&mut outside);
            counts.add_zones(by_zone.as_flattened_mut());
            counts.add_pairs(by_pair.as_flattened_mut());
        }
        let answers = snapshot.plan.uses().iter().zip(by_pair);
        let answers = answers.filter(|(_, reasons)| *reasons != ByReason::default());
        let answers = answers.map(|((vip, pool), reasons)| (vip, pool, reasons)).collect();
        Totals { snapshot, types, outside, zones: by_zone, answers }
    }

    /// Adds what was counted before, where the names are still the same.
    fn add(&mut self, former: &Former) {
        add_all(&mut self.types, &former.types);
        add_all(&mut self.outside, &former.outside);
        if !former.zones.is_empty() {
            for (zone, sums) in self.snapshot.zones.iter().zip(&mut self.zones) {
                if let Some(codes) = former.zones.get(&zone.apex().to_string()) {
                    add_all(sums, codes);
                }
            }
        }
        if !former.vips.is_empty() {
            self.add_vips(former);
        }
    }

    fn add_vips(&mut self, former: &Former) {
        let snapshot = self.snapshot.clone();
        let mut present = std::mem::take(&mut self.answers).into_iter().peekable();
        for (vip, pool) in snapshot.plan.uses().iter() {
            let now = present.next_if(|(v, p, _)| (*v, *p) == (vip, pool)).map(|(_, _, reasons)| reasons);
            let name = pool.map_or("", |pool| &snapshot.model.pool(pool).name);
            let before = former.vips.get(&snapshot.model.vip(vip).name).and_then(|pools| pools.get(name));
            if now.is_none() && before.is_none() {
                continue;
            }
            let mut sum = now.unwrap_or_default();
            add_all(&mut sum, before.unwrap_or(&ByReason::default()));
            self.answers.push((vip, pool, sum));
        }
    }

    /// How many answers came from each pool, by name, those with any.
    pub fn by_pool(&self) -> Vec<(PoolId, u64)> {
        let mut sums: HashMap<PoolId, u64> = HashMap::new();
        for (_, pool, reasons) in &self.answers {
            if let Some(pool) = pool {
                *sums.entry(*pool).or_default() += reasons.iter().sum::<u64>();
            }
        }
        let mut sums: Vec<(PoolId, u64)> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(pool, _)| *pool);
        sums
    }
}

fn add_all(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// A panic while adding up leaves numbers that are too small at worst.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
