//! What the admin API says, as people read it: shapes to text. Nothing here asks, prints or knows the time.

mod events;
mod explanation;
mod lists;
mod one;
mod orders;
mod request;
mod status;
pub mod table;
pub mod times;

pub use events::event;
pub use explanation::explanation;
pub use lists::Listed;
pub use one::pool;
pub use one::properties;
pub use orders::ended;
pub use orders::taken;
pub use status::Screen;
