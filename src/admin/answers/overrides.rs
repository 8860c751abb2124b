//! Orders: listed, given, ended.

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::look::Look;
use crate::admin::order;
use crate::health::forced::Aspect;
use crate::health::forced::Change;

/// `GET /v1/overrides`.
pub(crate) async fn list(asked: Asked) -> Said {
    let stretch = asked.stretch()?;
    let (look, ()) = Look::take(&asked.admin, |_, _| ()).await?;
    let mut all: Vec<Option<dto::Override>> = look.overrides().map(Some).collect();
    let (items, rest) = stretch.pick(all.len(), |at| all[at].take());
    json(&stretch.list(look.world.generation, items, rest)?)
}

/// `GET /v1/overrides/{kind}/{name}`.
pub(crate) async fn of(asked: Asked) -> Said {
    let subject = subject(&asked)?;
    let (look, ()) = Look::take(&asked.admin, |_, _| ()).await?;
    let items = look.overrides_named(&subject)?;
    json(&dto::List { generation: look.world.generation, items, next: None })
}

/// `PUT /v1/overrides/{kind}/{name}`.
pub(crate) async fn put(asked: Asked) -> Said {
    let subject = subject(&asked)?;
    let admin = &asked.admin;
    let ordered = order::read(&asked.body, &asked.caller.name, admin.clock.now())
        .map_err(|(kind, errors)| Failure::of_errors(kind, errors))?;
    let aspect = ordered.forced.order.aspect();
    let (look, ()) = Look::take(admin, |_, _| ()).await?;
    // A name that is ambiguous is nothing that the body could mend.
    look.overrides_named(&subject)?;
    let set = admin.keeper.order(&subject, Change::Set(ordered.forced), ordered.anyway).await;
    set.map_err(|refusal| Failure::from(refusal).at("/state"))?;
    admin.ordered.send_modify(|count| *count += 1);
    let (look, ()) = Look::take(admin, |_, _| ()).await?;
    let is_weight = |said: &dto::Override| said.state == dto::OrderState::Weight;
    let kept = look.overrides_named(&subject)?;
    let kept = kept.into_iter().find(|said| is_weight(said) == (aspect == Aspect::Weight));
    // It may be over already: somebody else ended it, or its time was short.
    let taken = kept.ok_or_else(|| Failure::new(Kind::Unknown, "the order was taken, and is over already"))?;
    let warnings = match taken.persistent {
        true => Vec::new(),
        false => vec!["it does not survive a restart: [server] has no `state_dir`".to_owned()],
    };
    json(&dto::OverrideTaken { taken, warnings })
}

/// `DELETE /v1/overrides/{kind}/{name}`.
pub(crate) async fn delete(asked: Asked) -> Said {
    let subject = subject(&asked)?;
    let aspect = asked.word("aspect", &[("state", Aspect::State), ("weight", Aspect::Weight)])?;
    let anyway = asked.flag("force")?.unwrap_or(false);
    let admin = &asked.admin;
    let (look, ()) = Look::take(admin, |_, _| ()).await?;
    let before = look.overrides_named(&subject)?;
    let is = |said: &dto::Override| match said.state {
        dto::OrderState::Weight => Aspect::Weight,
        _ => Aspect::State,
    };
    let ended: Vec<_> = before.into_iter().filter(|said| aspect.is_none_or(|aspect| is(said) == aspect)).collect();
    if !ended.is_empty() {
        admin.keeper.order(&subject, Change::End { aspect, by: asked.caller.name.clone() }, anyway).await?;
        admin.ordered.send_modify(|count| *count += 1);
    }
    json(&dto::OverrideEnded { ended })
}

/// `endpoint/eu-web/192.0.2.10`.
fn subject(asked: &Asked) -> Result<String, Failure> {
    let (kind, name) = (&asked.named[0], &asked.named[1]);
    if ["region", "pool", "endpoint"].contains(&kind.as_str()) {
        return Ok(format!("{kind}/{name}"));
    }
    let detail = format!("there are orders for a region, a pool or an endpoint, not for a `{}`", kind.escape_debug());
    Err(Failure::new(Kind::Unknown, detail))
}
