//! What each request answers, by theme; the table names them.

pub(super) mod events;
pub(super) mod explain;
pub(super) mod files;
pub(super) mod headroom;
pub(super) mod overrides;
pub(super) mod resources;
pub(super) mod status;
pub(super) mod what_if;

use axum::http::header;
use axum::response::IntoResponse;

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::openapi as document;
use crate::world::World;

/// `GET /v1/openapi.json`.
pub(super) async fn openapi(_: Asked) -> Said {
    json(document::document())
}

/// `GET /metrics`.
pub(super) async fn metrics(asked: Asked) -> Said {
    let Some(counted) = &asked.admin.counted else {
        return Err(Failure::new(Kind::Path, "nothing is counted by this server"));
    };
    let page = counted.exposition(&asked.accept).await.ok_or_else(Failure::stopping)?;
    Ok(([(header::CONTENT_TYPE, page.content_type)], page.text).into_response())
}

/// `GET /livez`.
pub(super) async fn alive(_: Asked) -> Said {
    Ok("ok\n".into_response())
}

/// `GET /readyz`.
pub(super) async fn ready(asked: Asked) -> Said {
    let keeper = &asked.admin.keeper;
    if !keeper.is_ready() {
        return Err(Failure::new(Kind::Busy, "the first round of probes is not over, or the server is about to stop"));
    }
    if sends_everybody_away(&keeper.published.load()) {
        return Err(Failure::new(Kind::Busy, "an operator took out the region that its listeners are in"));
    }
    Ok("ready\n".into_response())
}

/// Whether it is only there for clients of regions that were taken out. Who answers DNS is ready whatever region it stands in:
/// its answers are how clients leave one.
fn sends_everybody_away(world: &World) -> bool {
    let (model, server) = (&world.snapshot.model, &world.snapshot.model.server);
    let answers_dns = [&server.listen, &server.dot, &server.doq, &server.doh].iter().any(|sockets| !sockets.is_empty());
    let mut regions = model.listeners.iter().map(|listener| listener.region);
    !answers_dns && !model.listeners.is_empty() && regions.all(|region| world.health.is_withdrawn(region))
}

#[cfg(test)]
pub(super) async fn panics(_: Asked) -> Said {
    panic!("a test asked for it")
}
