//! Files: read again, or checked.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto::ConfigChecked;
use crate::admin::dto::ConfigProblem;
use crate::admin::dto::Reloaded;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::config::problem::Count;
use crate::runtime::load;

/// `POST /v1/reload`.
pub(crate) async fn reload(asked: Asked) -> Said {
    let reload = (asked.admin.reload)(asked.caller.name.clone());
    if asked.flag("wait")? == Some(false) {
        tokio::spawn(reload);
        return json(&Reloaded { generation: asked.admin.keeper.published.load().generation });
    }
    let generation = reload.await.map_err(|problems| Failure::of_files(&problems))?;
    json(&Reloaded { generation })
}

/// `POST /v1/config/check`.
pub(crate) async fn check(asked: Asked) -> Said {
    let path = asked.admin.config.clone();
    // One at a time: a check may read databases of hundreds of megabytes.
    let _turn = asked.admin.checking.lock().await;
    let checked = tokio::task::spawn_blocking(move || match load::load(&path, None) {
        Ok(loaded) => (true, loaded.warnings, format!("{}: ok: {}", path.display(), loaded.snapshot.inventory())),
        Err(refused) => {
            let summary = format!("{}; the running configuration is unchanged", Count::of(&refused.problems));
            (false, refused.problems, summary)
        }
    });
    let (ok, problems, summary) =
        checked.await.map_err(|_| Failure::new(Kind::Ours, "the check failed by a bug in rhumb; the log says more"))?;
    let Count { errors, warnings } = Count::of(&problems);
    let file = asked.admin.config.display().to_string();
    json(&ConfigChecked {
        ok,
        file,
        problems: problems.iter().map(ConfigProblem::from).collect(),
        errors,
        warnings,
        summary,
    })
}
