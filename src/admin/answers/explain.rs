//! `explain` and `map`: what clients would be answered.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::asked::wrong;
use crate::admin::explain;
use crate::admin::explain::Question;
use crate::admin::explain::What;
use crate::admin::explain::Who;
use crate::admin::explain::asked::Beside;
use crate::admin::explain::asked::RequestAsked;
use crate::admin::explain::request::Proxied;
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
    let question = Question { what: what(&asked)?, rtype: asked.key("type").unwrap_or("A").to_owned(), who, down };
    let now = asked.admin.clock.now();
    let draw = Draw { random: Dice::new().roll(), seconds: now.secs() };
    let world = asked.admin.keeper.published.load();
    let live = asked.admin.proxied.as_ref().and_then(|shared| shared.live_of(&world.snapshot));
    let proxied = Proxied { live: live.as_deref(), now };
    let mut said = explain::explain(&world, proxied, &question, draw).map_err(misunderstood)?;
    if said.decision.iter().flat_map(|decision| &decision.pools).any(|pool| !pool.ejected.is_empty()) {
        let now = asked.admin.clock.now();
        let why = asked.admin.keeper.ask(move |ledger| ledger.why_ejected(now)).await;
        explain::tell_why_ejected(&mut said, &why.map_err(|_| Failure::stopping())?);
    }
    json(&said)
}

fn what(asked: &Asked) -> Result<What, Failure> {
    let (headers, cookies) = (asked.all("header"), asked.all("cookie"));
    let beside =
        Beside { method: asked.key("method"), headers: &headers, cookies: &cookies, listener: asked.key("listener") };
    match (asked.key("name"), asked.key("url")) {
        (None, None) => Err(wrong("name", "`name` is missing: the name to ask for; or `url`: a URL to request")),
        (Some(_), Some(_)) => Err(wrong("url", "`url` has a name already: give one of `name` and `url`")),
        (Some(_), None) if !beside.is_empty() => {
            Err(wrong("url", "`method`, `header`, `cookie` and `listener` are of a request: give its `url`"))
        }
        (Some(name), None) => Ok(What::Name(name.to_owned())),
        (None, Some(url)) => RequestAsked::read(url, beside).map(What::Request).map_err(|why| wrong("url", why)),
    }
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
