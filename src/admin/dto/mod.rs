//! The shapes of the admin API. They are a border: converted by hand from what the server knows, stable for those who
//! read them, and read back by our own command line.
//!
//! Times are RFC 3339 in UTC (`2026-11-18T09:30:00.250Z`, see [`crate::admin::when`]); shares are fractions of 1;
//! numbers carry their unit in the name where it is not a count. Readers ignore fields they do not know, so fields may
//! be added; none is taken away or changes its meaning within `/v1`.

mod event;
mod explanation;
mod list;
mod listener;
mod map;
mod overrides;
mod pool;
mod problem;
mod region;
mod reload;
mod status;
mod stream;
mod vip;
mod zone;

pub use event::EventSaid;
pub use explanation::AnswerSaid;
pub use explanation::ClientSaid;
pub use explanation::DecisionSaid;
pub use explanation::DrawSaid;
pub use explanation::Explanation;
pub use explanation::LocateSaid;
pub use explanation::NextSaid;
pub use explanation::OrderSaid;
pub use explanation::PoolSaid;
pub use explanation::RuleSaid;
pub use list::List;
pub use listener::Listener;
pub use map::CountrySaid;
pub use map::DestinationSaid;
pub use map::MapSaid;
pub use overrides::OrderState;
pub use overrides::Override;
pub use overrides::OverrideEnded;
pub use overrides::OverrideOrdered;
pub use overrides::OverrideTaken;
pub use overrides::Phase;
pub use pool::Endpoint;
pub use pool::LastProbe;
pub use pool::Pool;
pub use pool::Weight;
pub use problem::ConfigProblem;
pub use problem::ErrorSaid;
pub use problem::ProblemSaid;
pub use region::Region;
pub use reload::ConfigChecked;
pub use reload::ReloadSaid;
pub use reload::Reloaded;
pub use status::ConfigStatus;
pub use status::Counts;
pub use status::EndpointCounts;
pub use status::PoolCounts;
pub use status::Queries;
pub use status::Status;
pub use status::Suspicion;
pub use status::Trouble;
pub use stream::Hello;
pub use stream::Lost;
pub use stream::OverridesNow;
pub use stream::ShareSaid;
pub use stream::SharesSaid;
pub use vip::Vip;
pub use vip::VipPool;
pub use zone::Zone;
