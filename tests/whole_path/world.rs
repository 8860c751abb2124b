//! Everything together: what happens, who asks, and the laws of what becomes of it.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rhumb::health::forced::Order;
use rhumb::model::EndpointId;
use rhumb::model::Family;
use rhumb::model::Model;
use rhumb::model::Moment;
use rhumb::model::PoolId;
use rhumb::model::VipId;
use rhumb::steering::Decision;
use rhumb::steering::Reason;

use crate::clients::Answer;
use crate::clients::Client;
use crate::clients::Keeps;
use crate::dice::Dice;
use crate::layout::REGIONS;
use crate::layout::configuration;
use crate::layout::region_of;
use crate::play;
use crate::play::Mood;
use crate::play::Play;
use crate::tiers::Fault;
use crate::tiers::Request;
use crate::tiers::Tiers;

/// Clients of each region; every third keeps its answers longer than it may.
const CLIENTS: u8 = 3;
/// Nobody notices shorter steps.
const STEP: Duration = Duration::from_millis(100);
/// Within so long it is found what is down, and what is up again: at most two seconds to the next probe of what is down,
/// its timeout, and the one that follows fast; rounded up.
const FOUND_WITHIN: Duration = Duration::from_millis(2_500);
const VIP: VipId = VipId(0);

pub struct World {
    pub play: Play,
    pub counted: Counted,
    tiers: Tiers,
    clients: Vec<Client>,
    /// When something last happened.
    happened: Moment,
    ticked: Moment,
}

/// What came of requests.
#[derive(Debug, Default, Clone)]
pub struct Counted {
    pub served: u64,
    pub failed: u64,
    pub sent_on: u64,
    pub ejections: u64,
    /// Of those that failed, by why they may have.
    pub excused: [u64; 4],
}

impl Counted {
    pub fn add(&mut self, other: &Counted) {
        (self.served, self.failed) = (self.served + other.served, self.failed + other.failed);
        (self.sent_on, self.ejections) = (self.sent_on + other.sent_on, self.ejections + other.ejections);
        self.excused.iter_mut().zip(other.excused).for_each(|(sum, more)| *sum += more);
    }
}

impl World {
    /// A day that begins well.
    pub fn start(dice: &mut Dice, seed: u64) -> Self {
        let mut play = Play::start(&play::model(&configuration(dice)), seed);
        play.run_first_round();
        let end = play.now + 2 * FOUND_WITHIN;
        play.run_until(end);
        let client = |region: usize, number: u8| {
            let keeps = if number % 3 == 2 { Keeps::Longer } else { Keeps::ItsTtl };
            Client::new(REGIONS[region].client(number), keeps, play.now)
        };
        let clients = (0..REGIONS.len()).flat_map(|region| (0..CLIENTS).map(move |number| (region, number)));
        let clients = clients.map(|(region, number)| client(region, number)).collect();
        let tiers = Tiers::of(&play, None);
        World { counted: Counted::default(), tiers, clients, happened: play.now, ticked: play.now, play }
    }

    /// Something happens; in words.
    pub fn happen(&mut self, dice: &mut Dice) -> String {
        self.happened = self.play.now;
        let model = self.play.ledger.model().clone();
        let one = dice.pick(&model.endpoints).address;
        // Most is repaired soon, or a day is one long outage.
        let mood = *dice.pick(&[Mood::Passes, Mood::Passes, Mood::Passes, Mood::Fails, Mood::Hangs]);
        let region = dice.roll(REGIONS.len() as u64) as usize;
        let name = REGIONS[region].name;
        match dice.roll(16) {
            0..=4 => {
                self.play.set_mood(one, mood);
                format!("{one} {mood:?}")
            }
            5..=6 => {
                let apps = applications(&model).filter(|at| region_of(*at) == region);
                apps.for_each(|at| self.play.set_mood(at, mood));
                format!("all applications of {name} {mood:?}")
            }
            7 => {
                let mood = if self.broken().count() > 0 { Mood::Passes } else { mood };
                let all = model.endpoints.iter().map(|endpoint| endpoint.address);
                all.filter(|at| region_of(*at) == region).for_each(|at| self.play.set_mood(at, mood));
                format!("all of {name} {mood:?}")
            }
            8 => {
                let apps: Vec<IpAddr> = applications(&model).collect();
                let one = *dice.pick(&apps);
                let is_grey = self.tiers.grey.insert(one) || !self.tiers.grey.remove(&one);
                format!("{one} {} clients", if is_grey { "refuses" } else { "takes" })
            }
            9..=12 => {
                let subject = subject(&model, region, dice);
                let order = (dice.roll(3) == 0).then_some(Order::Drain);
                if order.is_none() && dice.roll(2) == 0 {
                    self.undrain();
                    return "no more orders".to_owned();
                }
                self.play.order(&subject, order, None);
                format!("{subject} {order:?}")
            }
            13 => {
                self.serve(&play::model(&configuration(dice)));
                "another configuration".to_owned()
            }
            14 => {
                self.serve(&Arc::new(Model::clone(&model)));
                "an equal reload".to_owned()
            }
            _ => self.flap(one, dice),
        }
    }

    /// One that goes to and fro, too fast to be found down or just not.
    fn flap(&mut self, one: IpAddr, dice: &mut Dice) -> String {
        for _ in 0..6 {
            self.play.set_mood(one, Mood::Fails);
            self.happened = self.play.now;
            self.run_for(Duration::from_millis(100 + dice.roll(600)), dice);
            self.play.set_mood(one, Mood::Passes);
            self.happened = self.play.now;
            self.run_for(Duration::from_millis(100 + dice.roll(600)), dice);
        }
        format!("{one} flapped")
    }

    fn serve(&mut self, model: &Arc<Model>) {
        self.play.reload(model);
        let tiers = std::mem::replace(&mut self.tiers, Tiers::of(&self.play, None));
        self.tiers = Tiers::of(&self.play, Some(tiers));
    }

    /// Time passes, and clients ask.
    pub fn run_for(&mut self, lasts: Duration, dice: &mut Dice) {
        let end = self.play.now + lasts;
        while self.play.now < end {
            let next = (self.play.now + STEP).min(end);
            self.play.run_until(next);
            if next.since(self.ticked) >= Duration::from_secs(1) {
                self.ticked = next;
                self.tiers.tick(&self.play);
            }
            for at in 0..self.clients.len() {
                if self.clients[at].next <= next {
                    self.ask(at, dice);
                    self.clients[at].rests(dice);
                }
            }
        }
    }

    /// A request of a client; where it was served.
    fn ask(&mut self, at: usize, dice: &mut Dice) -> Option<IpAddr> {
        let answer = self.clients[at].cached(self.play.now).or_else(|| self.resolve(at))?;
        let mut request = Request::of(self.clients[at].address);
        let rested = self.tiers.ejected();
        let came = self.came_to(answer, &mut request, dice);
        self.counted.ejections += self.tiers.ejected().saturating_sub(rested) as u64;
        self.counted.sent_on += request.hops as u64;
        self.vip_is_not_emptied();
        match came {
            Ok(application) => {
                self.counted.served += 1;
                Some(application)
            }
            Err(fault) => {
                self.counted.failed += 1;
                let excuse = self.excuse(at, answer, &request);
                let excuse = excuse.unwrap_or_else(|| {
                    let ago = self.play.now.since(self.happened);
                    let (client, pools) = (&self.clients[at], self.tiers.pools(&self.play));
                    panic!("{client:?} fails: {fault:?}, {ago:?} after all that happened; {request:?}\n{pools}")
                });
                self.counted.excused[excuse as usize] += 1;
                None
            }
        }
    }

    fn came_to(&mut self, answer: Answer, request: &mut Request, dice: &mut Dice) -> Result<IpAddr, Fault> {
        let at = SocketAddr::new(answer.address, 80);
        if !self.tiers.listens(at) {
            return Err(Fault::Unreachable);
        }
        self.tiers.serve(&mut self.play, at, request, dice)
    }

    fn resolve(&mut self, at: usize) -> Option<Answer> {
        let now = self.play.now;
        let decision = self.play.query(VIP, Family::V4, self.clients[at].address);
        self.names_nobody_drained(&decision);
        let first = *decision.endpoints().first()?;
        let address = self.play.plan.address(first);
        Some(self.clients[at].keep(address, Duration::from_secs(decision.ttl.into()), now))
    }

    /// The law of an answer.
    fn names_nobody_drained(&self, decision: &Decision) {
        let (model, table) = (self.play.ledger.model(), self.play.ledger.table());
        let is_out = |id: EndpointId| table.endpoint(id).withdrawn || table.pool(model.endpoint(id).pool).withdrawn;
        let webs = || (0..model.pools.len()).map(PoolId::from).filter(|id| model.pool(*id).name.starts_with("web-"));
        let mut left = webs().flat_map(|pool| model.members(pool)).filter(|(id, _)| !is_out(*id));
        let is_one_left = left.next().is_some();
        for id in decision.endpoints() {
            assert!(!is_out(*id) || !is_one_left, "{} was ordered out and is answered", self.play.plan.address(*id));
            assert!(
                decision.reason == Reason::AllDown || table.endpoint(*id).usable,
                "{} is answered and is {:?}",
                self.play.plan.address(*id),
                table.endpoint(*id)
            );
        }
        assert_eq!(webs().any(|pool| table.pool(pool).usable), decision.reason != Reason::AllDown);
    }

    /// The law of ejections: they leave the VIP a pool.
    fn vip_is_not_emptied(&self) {
        let (model, table) = (self.play.ledger.model(), self.play.ledger.table());
        let webs = || (0..model.pools.len()).map(PoolId::from).filter(|id| model.pool(*id).name.starts_with("web-"));
        let is_one_but_for_them = webs().any(|pool| table.pool(pool).is_up_without_ejection());
        assert!(!is_one_but_for_them || webs().any(|pool| table.pool(pool).usable), "ejections left no pool");
    }

    /// Why a request may have failed.
    fn excuse(&self, at: usize, answer: Answer, request: &Request) -> Option<Excuse> {
        let since = self.play.now.since(self.happened);
        if since <= FOUND_WITHIN {
            return Some(Excuse::NotFoundYet);
        }
        let at_listener = SocketAddr::new(answer.address, 80);
        let is_gone = !self.tiers.listens(at_listener) || self.play.mood(answer.address) != Mood::Passes;
        let came_before = answer.came.since(self.happened) <= FOUND_WITHIN;
        if is_gone && (self.clients[at].keeps == Keeps::Longer || came_before) {
            return Some(Excuse::OldAnswer);
        }
        if !(0..REGIONS.len()).any(|region| self.is_answered(region) && self.serves(region)) {
            return Some(Excuse::NobodyIsLeft);
        }
        // Probes pass, so it takes clients to find it out. Who else was there may rest for what they found before, and the last
        // that does not is asked whatever they find.
        let grey = request.way.iter().filter(|at| self.tiers.grey.contains(*at)).map(|at| region_of(*at));
        let is_all_there_is = |region: usize| !self.serves(region) || self.tiers.rests_in(region);
        grey.into_iter().any(is_all_there_is).then_some(Excuse::Grey)
    }

    /// Whether DNS may answer a listener of a region that is there.
    fn is_answered(&self, region: usize) -> bool {
        self.members(&format!("web-{}", REGIONS[region].name)).next().is_some()
    }

    /// Whether a request that comes to a listener of a region could be served in it.
    fn serves(&self, region: usize) -> bool {
        let name = REGIONS[region].name;
        self.members(&format!("l4-{name}")).any(|l4| {
            let listener = self.play.ledger.model().listeners.iter().find(|listener| listener.bind.ip() == l4);
            let pool =
                listener.and_then(|listener| listener.flow_pools().first().copied()).expect("it is an L4 listener");
            let pool = self.play.ledger.model().pool(pool).name.clone();
            self.members(&pool).any(|app| !self.tiers.grey.contains(&app))
        })
    }

    /// Members of a pool that are there and not ordered out, nor is the pool.
    fn members(&self, pool: &str) -> impl Iterator<Item = IpAddr> + '_ {
        let (model, table) = (self.play.ledger.model(), self.play.ledger.table());
        let at = model.pools.iter().position(|one| one.name == pool).map(PoolId::from).expect("the pool is there");
        let members =
            model.members(at).filter(move |(id, _)| !table.endpoint(*id).withdrawn && !table.pool(at).withdrawn);
        members.map(|(_, endpoint)| endpoint.address).filter(|at| self.play.mood(*at) == Mood::Passes)
    }

    /// Those that do not pass.
    fn broken(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let all = self.play.ledger.model().endpoints.iter().map(|endpoint| endpoint.address);
        all.filter(|at| self.play.mood(*at) != Mood::Passes)
    }

    /// All that was broken is whole, and nothing is ordered.
    pub fn mend(&mut self) {
        self.happened = self.play.now;
        self.tiers.grey.clear();
        for at in self.broken().collect::<Vec<_>>() {
            self.play.set_mood(at, Mood::Passes);
        }
        self.undrain();
    }

    fn undrain(&mut self) {
        let model = self.play.ledger.model().clone();
        let endpoints =
            model.endpoints.iter().map(|one| format!("endpoint/{}/{}", model.pool(one.pool).name, one.address));
        let pools = model.pools.iter().map(|pool| format!("pool/{}", pool.name));
        let regions = model.regions.iter().map(|region| format!("region/{}", region.name));
        endpoints.chain(pools).chain(regions).for_each(|subject| self.play.order(&subject, None, None));
    }

    /// Everything is believed to be what it is, and everyone is served at home.
    pub fn is_settled(&mut self, dice: &mut Dice) {
        let (model, table) = (self.play.ledger.model(), self.play.ledger.table());
        for id in (0..model.endpoints.len()).map(EndpointId::from) {
            let name = format!("{} of {}", model.endpoint(id).address, model.pool(model.endpoint(id).pool).name);
            assert!(table.endpoint(id).usable, "{name} is {:?}", table.endpoint(id));
        }
        assert!(self.tiers.is_admitting(self.play.now), "{}", self.tiers.pools(&self.play));
        for at in 0..self.clients.len() {
            self.clients[at].answer = None;
            let home = at / usize::from(CLIENTS);
            for _ in 0..5 {
                let served = self.ask(at, dice).map(region_of);
                assert_eq!(served, Some(home), "{:?}", self.clients[at]);
            }
        }
    }
}

/// Why a request may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// Something happened just now.
    NotFoundYet,
    /// It holds an answer from before.
    OldAnswer,
    /// Nobody could serve it.
    NobodyIsLeft,
    /// Where it came to, all that is left passes probes and refuses clients.
    Grey,
}

fn applications(model: &Model) -> impl Iterator<Item = IpAddr> + '_ {
    model.endpoints.iter().filter(|endpoint| endpoint.port == Some(9000)).map(|endpoint| endpoint.address)
}

/// What an operator orders something of.
fn subject(model: &Model, region: usize, dice: &mut Dice) -> String {
    let name = REGIONS[region].name;
    match dice.roll(5) {
        0 => format!("region/{name}"),
        1 => format!("pool/{}", dice.pick(&model.pools).name),
        _ => {
            let endpoint = dice.pick(&model.endpoints);
            format!("endpoint/{}/{}", model.pool(endpoint.pool).name, endpoint.address)
        }
    }
}
