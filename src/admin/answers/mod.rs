//! What each request answers, by theme; the table names them.

pub(super) mod events;
pub(super) mod explain;
pub(super) mod files;
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
    match asked.admin.keeper.is_ready() {
        true => Ok("ready\n".into_response()),
        false => Err(Failure::new(Kind::Busy, "the first round of probes is not over")),
    }
}

#[cfg(test)]
pub(super) async fn panics(_: Asked) -> Said {
    panic!("a test asked for it")
}
