//! `GET /v1/headroom`: what this process's listeners have in hand, for a DNS tier that sends clients elsewhere before it is
//! too much.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto;
use crate::admin::when;
use crate::health::headroom::Room;

/// `GET /v1/headroom`.
pub(crate) async fn headroom(asked: Asked) -> Said {
    let admin = &asked.admin;
    let found = admin.counted.as_ref().map(|counted| counted.headroom()).unwrap_or_default();
    json(&dto::Headroom {
        now: when::said(admin.clock.now()),
        generation: admin.keeper.published.load().generation,
        regions: found.regions.iter().map(room).collect(),
        pools: found.pools.iter().map(room).collect(),
    })
}

fn room(room: &Room) -> dto::Room {
    let Room { name, in_flight, queue, capacity } = room.clone();
    // Four digits are as much as anybody reads.
    let load = (room.load() * 1e4).round() / 1e4;
    dto::Room { name, in_flight, queue, capacity, load }
}
