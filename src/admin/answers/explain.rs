//! `explain` and `map`: what clients would be answered.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::asked::wrong;
use crate::admin::explain;
use crate::admin::explain::Question;
use crate::admin::explain::Who;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::map;
use crate::model::Family;
use crate::server::dice::Dice;
use crate::steering::Draw;

use super::resources::vip_named;

/// Regions, pools and endpoints that one question takes to be down; each is looked for among all.
const DOWN_MAX: usize = 100;

/// `GET /v1/explain`.
pub(crate) async fn explained(asked: Asked) -> Said {
    let misunderstood = |sentence: String| Failure::new(Kind::Question, sentence);
    let who = Who::read(asked.key("client"), asked.key("geo"), asked.key("at")).map_err(misunderstood)?;
    let down = asked.key("down").unwrap_or_default();
    let down: Vec<String> = down.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    if down.len() > DOWN_MAX {
        return Err(wrong("down", format!("`down` names at most {DOWN_MAX}")));
    }
    let question = Question {
        name: asked.key("name").unwrap_or_default().to_owned(),
        rtype: asked.key("type").unwrap_or("A").to_owned(),
        who,
        down,
    };
    let draw = Draw { random: Dice::new().roll(), seconds: asked.admin.clock.now().secs() };
    let mut said = explain::explain(&asked.admin.keeper.published.load(), &question, draw).map_err(misunderstood)?;
    if said.decision.iter().flat_map(|decision| &decision.pools).any(|pool| !pool.ejected.is_empty()) {
        let now = asked.admin.clock.now();
        let why = asked.admin.keeper.ask(move |ledger| ledger.why_ejected(now)).await;
        explain::tell_why_ejected(&mut said, &why.map_err(|_| Failure::stopping())?);
    }
    json(&said)
}

/// `GET /v1/map`.
pub(crate) async fn map(asked: Asked) -> Said {
    let family = match asked.key("type").unwrap_or("A").to_ascii_uppercase().as_str() {
        "A" => Family::V4,
        "AAAA" => Family::V6,
        _ => return Err(wrong("type", "`type` is A or AAAA: a VIP steers no other")),
    };
    let world = asked.admin.keeper.published.load();
    let vip = vip_named(&world.snapshot.model, asked.key("vip").unwrap_or_default())?;
    // With a database of towns it takes some hundred milliseconds, which others must not wait for.
    let turn = asked.admin.turns.map().await;
    let said = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        map::map(&world, vip, family)
    })
    .await;
    json(&said.map_err(|_| Failure::new(Kind::Ours, "the map could not be made; the log says more"))?)
}
