//! What a reload would change, and what a failure would do.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::ConfigProblem;

/// `POST /v1/config/diff`: what a reload would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    /// What it is compared with: `generation 3`, or a file.
    pub from: String,
    /// The file that would be served.
    pub to: String,
    /// What differs, section by section; empty when nothing does.
    pub changes: Vec<ChangeSaid>,
    /// What is probably not as meant in the file that would be served.
    pub warnings: Vec<ConfigProblem>,
    /// Whose answers would move, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<ImpactSaid>,
}

/// A section, zone or database that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeSaid {
    /// `+` added, `-` removed, `~` changed.
    pub sign: String,
    /// `server admin tls geo database network region health_check pool vip zone`.
    pub kind: String,
    /// Its name; empty for `server`, `admin` and `geo`.
    pub name: String,
    /// What of it changed; of what is new, all that it is.
    pub details: Vec<DetailSaid>,
}

/// A key that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetailSaid {
    /// `+` added, `-` removed, `~` changed.
    pub sign: String,
    /// `ttl`, `endpoint 192.0.2.10`.
    pub key: String,
    /// What was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Whose answers would move. Shares are of the address space, averaged over the VIPs that are in both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImpactSaid {
    /// What is counted, in a sentence.
    pub counted: String,
    /// What was taken to be up, in a sentence.
    pub health: String,
    /// How many VIPs are in both.
    pub vips: usize,
    /// What moves from one pool to another.
    pub moved: ExtentSaid,
    /// What stays with its pool, whose addresses change.
    pub readdressed: ExtentSaid,
    /// What moves of each VIP's clients, most first; VIPs that nothing moves of are left out.
    pub by_vip: Vec<VipMovedSaid>,
    /// What moves in each country, most first.
    pub by_country: Vec<CountryMovedSaid>,
    /// What moves from where to where, most first.
    pub flows: Vec<FlowSaid>,
    /// Pools whose addresses change, with what stays there.
    pub readdressed_pools: Vec<PoolStaysSaid>,
    /// Moves of clients that no database places, who are not counted.
    pub unplaced: Vec<FlowSaid>,
    /// VIPs that begin to be answered.
    pub begin: Vec<String>,
    /// VIPs that are no longer answered.
    pub end: Vec<String>,
}

/// A share of the address space: of each family's own.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ExtentSaid {
    /// Of IPv4 addresses.
    pub ipv4: f64,
    /// Of IPv6 /48s.
    pub ipv6: f64,
}

/// What moves of a VIP's clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VipMovedSaid {
    /// The VIP.
    pub vip: String,
    /// Share of its clients.
    pub moved: ExtentSaid,
}

/// What moves in a country.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountryMovedSaid {
    /// `DE`; `EU (no country)`; a custom network's name; `nowhere`.
    pub country: String,
    /// Share of all clients.
    pub of_all: ExtentSaid,
    /// Share of the country's clients.
    pub of_its_own: ExtentSaid,
}

/// What moves from one pool to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowSaid {
    /// From here; none: no address was answered.
    pub from: Option<PoolNamed>,
    /// To there; none: no address is answered.
    pub to: Option<PoolNamed>,
    /// Share of all clients.
    pub share: ExtentSaid,
}

/// A pool and its region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolNamed {
    /// The pool.
    pub pool: String,
    /// Its region.
    pub region: String,
}

/// What stays with a pool whose addresses change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolStaysSaid {
    /// The pool.
    pub pool: PoolNamed,
    /// Share of all clients.
    pub share: ExtentSaid,
}

/// The body of `POST /v1/simulate`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Simulate {
    /// Taken to be down: `region/X`, `pool/X`, `endpoint/POOL/ADDRESS`. With neither this nor `drain`, each region in turn.
    pub down: Vec<String>,
    /// Taken to be drained.
    pub drain: Vec<String>,
    /// One VIP alone.
    pub vip: Option<String>,
    /// How much is asked from where: lines of `CIDR-or-place weight [VIP]`. Without it, the address space.
    pub demand: Option<String>,
    /// What `demand` is called in problems.
    pub demand_name: Option<String>,
    /// Without `demand`: how much is asked in all, in the unit of `capacity`.
    pub total: Option<f64>,
}

/// `POST /v1/simulate`: what each region bears before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Simulated {
    /// What is laid over the clients, in a sentence.
    pub demand: String,
    /// How much it is in all.
    pub total: f64,
    /// What was taken to be up before, in a sentence.
    pub health: String,
    /// How many VIPs it is divided among.
    pub vips: usize,
    /// What is probably not as meant in the demand.
    pub warnings: Vec<ConfigProblem>,
    /// One for the outage that was asked for, or one for each region.
    pub scenarios: Vec<ScenarioSaid>,
}

/// What an outage comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScenarioSaid {
    /// What was taken to be down.
    pub down: Vec<String>,
    /// What was taken to be drained.
    pub drain: Vec<String>,
    /// What each region bears, in the order of the configuration.
    pub regions: Vec<RegionLoadSaid>,
    /// What was sent to pools that are down, because no other was left, before and after.
    pub adrift: BeforeAfterSaid,
    /// What got no address, before and after.
    pub unanswered: BeforeAfterSaid,
    /// Regions that bear more than their capacity then and are taken to fail, one after the other.
    pub cascade: Vec<StepSaid>,
    /// Whether no region is left at its end.
    pub nothing_left: bool,
}

/// What a region bears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionLoadSaid {
    /// The region.
    pub region: String,
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// What it can bear, if that was configured.
    pub capacity: Option<u64>,
}

/// Before and after.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BeforeAfterSaid {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// A region that would fail next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepSaid {
    /// The region.
    pub region: String,
    /// What it would bear.
    pub load: f64,
    /// What it can.
    pub capacity: u64,
    /// What each region bears once it has failed, in the order of the configuration.
    pub after: Vec<f64>,
    /// What is sent to pools that are down then.
    pub adrift: f64,
    /// What gets no address then.
    pub unanswered: f64,
}
