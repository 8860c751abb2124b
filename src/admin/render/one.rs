//! One item of `rhumb get KIND NAME`: its row turned upright, and what belongs to it.

use crate::admin::dto::Override;
use crate::admin::dto::Pool;
use crate::admin::render::lists::Listed;
use crate::admin::render::table::Cell;
use crate::admin::render::table::Paint;
use crate::admin::render::table::Table;
use crate::admin::render::table::Tone;

/// An item with a line for each of its columns, and the orders for it.
pub fn properties<T: Listed>(item: &T, orders: &[Override], paint: Paint) -> String {
    let mut out = T::table(std::slice::from_ref(item)).upright(paint);
    if !orders.is_empty() {
        out += &format!("\n{}", Override::table(orders).show(paint, None));
    }
    out
}

/// A pool with its endpoints and the VIPs that may answer from it.
pub fn pool(pool: &Pool, paint: Paint) -> String {
    let mut out = properties(pool, &pool.overrides, paint);
    if let Some(members) = pool.members.as_ref().filter(|members| !members.is_empty()) {
        out += &format!("\n{}", Listed::table(members).show(paint, None));
    }
    if let Some(vips) = pool.vips.as_ref().filter(|vips| !vips.is_empty()) {
        let mut table = Table::new(&["VIP"]);
        vips.iter().for_each(|vip| table.row([Cell::toned(vip, Tone::Plain)]));
        out += &format!("\n{}", table.show(paint, None));
    }
    out
}
