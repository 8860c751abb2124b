//! Events: those that are kept, and those to come.

use axum::response::IntoResponse;

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto;
use crate::admin::failure::Failure;
use crate::admin::stream;
use crate::admin::when;
use crate::health::journal::Turn;

/// `GET /v1/events`.
pub(crate) async fn events(asked: Asked) -> Said {
    let from = asked.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let limit = asked.number("limit", 1..=crate::admin::asked::ITEMS_MAX as u64)?;
    let limit = limit.map_or(crate::admin::asked::ITEMS, |limit| limit as usize);
    let published = asked.admin.keeper.published.clone();
    let taken = asked.admin.keeper.ask(move |ledger| {
        let turns: Vec<(u64, Turn)> =
            ledger.journal().read(from).take(limit).map(|(n, turn)| (n, turn.clone())).collect();
        (turns, ledger.journal().written(), published.load().generation)
    });
    let (turns, written, generation) = taken.await.map_err(|_| Failure::stopping())?;
    let next = turns.last().map_or(written, |(number, _)| number + 1);
    let items = turns.iter().map(|(number, turn)| said(*number, turn)).collect();
    json(&dto::List::<dto::EventSaid> { generation, items, next: Some(next.to_string()) })
}

/// A turn of the journal.
pub(crate) fn said(number: u64, turn: &Turn) -> dto::EventSaid {
    dto::EventSaid {
        number,
        at: when::said(turn.at),
        kind: turn.kind.to_owned(),
        name: turn.name.clone(),
        from: turn.from.to_string(),
        to: turn.to.to_string(),
        after: turn.after,
        reason: turn.reason.clone(),
        effective: turn.effective.to_string(),
    }
}

/// `GET /v1/stream`.
pub(crate) async fn stream(asked: Asked) -> Said {
    let seen = match &asked.last_event {
        None => None,
        Some(id) => Some(id.trim().parse::<u64>().map_err(|_| {
            Failure::new(crate::admin::failure::Kind::Question, "`Last-Event-ID` is the number of an event")
        })?),
    };
    Ok(stream::open(asked.admin, asked.caller.role, seen).await?.into_response())
}
