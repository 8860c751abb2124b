//! What a reload would change, and what a failure would do. Both are asked with POST because they cost seconds, and a body;
//! neither changes anything.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto::ErrorSaid;
use crate::admin::dto::Simulate;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::what_if;
use crate::admin::what_if::Compared;
use crate::admin::what_if::Health;
use crate::admin::what_if::NotSimulated;
use crate::runtime::load;

/// `POST /v1/config/diff`.
pub(crate) async fn diff(asked: Asked) -> Said {
    let impact = asked.flag("impact")?.unwrap_or(false);
    let (path, old) = (asked.admin.config.clone(), asked.admin.keeper.published.load());
    // One at a time, as checks: it may read databases of hundreds of megabytes.
    let _turn = asked.admin.checking.lock().await;
    let compared = tokio::task::spawn_blocking(move || {
        let loaded = load::load(&path, None).map_err(|refused| Failure::of_files(&refused.problems))?;
        let new = what_if::world_to_come(&old, loaded.snapshot);
        let from = format!("what is served (generation {})", old.generation);
        let warnings = &loaded.warnings;
        Ok::<_, Failure>(
            Compared { old: &old, from, new: &new, warnings, to: &path, health: Health::AsItIs }.diff(impact),
        )
    });
    json(&compared.await.map_err(|_| bug())??)
}

/// `POST /v1/simulate`.
pub(crate) async fn simulated(asked: Asked) -> Said {
    let question: Simulate = serde_json::from_slice(&asked.body)
        .map_err(|error| Failure::new(Kind::Body, format!("the body is not a question for simulate: {error}")))?;
    let world = asked.admin.keeper.published.load();
    let _turn = asked.admin.checking.lock().await;
    let simulated = tokio::task::spawn_blocking(move || what_if::simulate(&world, &question, Health::AsItIs));
    match simulated.await.map_err(|_| bug())? {
        Ok(simulated) => json(&simulated),
        Err(NotSimulated::Question(sentences)) => {
            let error = |detail| ErrorSaid { detail, pointer: None, parameter: None };
            Err(Failure::of_errors(Kind::Body, sentences.into_iter().map(error).collect()))
        }
        Err(NotSimulated::Demand(problems)) => {
            let pointer = Some("/demand".to_owned());
            let error = |detail: String| ErrorSaid { detail, pointer: pointer.clone(), parameter: None };
            let errors = problems.iter().map(|problem| error(problem.to_string())).collect();
            Err(Failure::of_errors(Kind::Body, errors))
        }
    }
}

fn bug() -> Failure {
    Failure::new(Kind::Ours, "it failed by a bug in rhumb; the log says more")
}
